// Cores for tests alone, compiled once for each state of the sources, though several test files want one at the same time.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { cachedFile } from "../machine/suspension/cache.ts";

const root = fileURLToPath(new URL("../", import.meta.url));

/** Compiles `entry`, a file of the AssemblyScript dialect named from the project's root; returns the path of its wasm. */
export function compileCore(name: string, entry: string): string {
  const hash = createHash("sha256");
  for (const folder of [join(root, "src"), join(root, dirname(entry))]) {
    const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((f) => f.endsWith(".ts"));
    for (const file of files.sort()) hash.update(readFileSync(join(folder, file)));
  }
  return cachedFile(`${name}-${hash.digest("hex").slice(0, 16)}.wasm`, (path) => compileTo(entry, path));
}

function compileTo(entry: string, path: string): void {
  const asc = join(dirname(createRequire(import.meta.url).resolve("assemblyscript/package.json")), "bin/asc.js");
  const flags =
    `--runtime stub --optimizeLevel 1 --shrinkLevel 0 --noAssert --debug --memoryBase 8192 --enable threads ` +
    `--initialMemory 32 --maximumMemory 32 --use abort=src/runtime/abort/onAbort`;
  const args = [asc, entry, "src/runtime/abort.ts", "-o", path, ...flags.split(" ")];
  execFileSync(process.execPath, args, { cwd: root, stdio: ["ignore", "inherit", "inherit"] });
}
