import { write, writeNumber } from "./console";

/** These programs run no guest of their own. */
export function exit(_run: usize): void {
  // never called
}

/** Reports a trap of the program; it then ends with an error. */
export function trap(kind: u32, address: u64): bool {
  write("@@ trap ");
  writeNumber(kind);
  write(" ");
  writeNumber(address);
  write("\n");
  return false;
}
