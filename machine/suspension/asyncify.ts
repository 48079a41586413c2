// Code that can be left in the middle and gone on with later, which WebAssembly itself has no means for: Binaryen's
// Asyncify pass has every function on the way to certain imports save its locals there, return, and come back.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { cachedFile } from "./cache.ts";

/** What the pass adds to a module's exports. */
export interface Suspensions {
  asyncify_start_unwind(buffer: number): void;
  asyncify_stop_unwind(): void;
  asyncify_start_rewind(buffer: number): void;
  asyncify_stop_rewind(): void;
}

/** The path of a module like the one at `path`, in which calls of these imports (`module.name`) can be left. */
export function suspendable(path: string, imports: readonly string[]): string {
  const hash = createHash("sha256").update(readFileSync(path)).update(imports.join());
  return cachedFile(`suspendable-${hash.digest("hex").slice(0, 16)}.wasm`, (output) => {
    const binaryen = dirname(createRequire(import.meta.url).resolve("binaryen/package.json"));
    const features = ["threads", "bulk-memory", "mutable-globals", "sign-ext", "nontrapping-float-to-int"];
    const passes = ["-g", "--asyncify", `--pass-arg=asyncify-imports@${imports.join()}`, "-O1"];
    const args = [
      join(binaryen, "bin/wasm-opt"),
      path,
      ...passes,
      ...features.map((name) => `--enable-${name}`),
      "-o",
      output,
    ];
    execFileSync(process.execPath, args, { stdio: ["ignore", "inherit", "inherit"] });
  });
}

/** Makes room for a suspended call at `buffer`, `size` bytes. */
export function emptyBuffer(view: DataView, buffer: number, size: number): void {
  view.setUint32(buffer, buffer + 8, true);
  view.setUint32(buffer + 4, buffer + size, true);
}
