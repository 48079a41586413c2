import { write, writeNumber } from "./console";

/** These programs run no guest of their own. */
export function exit(_run: usize): bool {
  return false; // never called
}
export function vmxExit(_run: usize): bool {
  return false; // never called
}
export function vmxWake(_run: usize): bool {
  return false; // never called
}
export function thread(_stack: u32): void {
  unreachable();
}
export function wake(_run: usize): bool {
  return false; // never called
}
export function processor(_index: u32): void {
  // never called
}

/** Reports a trap of the program; it then ends with an error. */
export function trap(kind: u32, address: u64): u32 {
  write("@@ trap ");
  writeNumber(kind);
  write(" ");
  writeNumber(address);
  write("\n");
  return 0;
}
