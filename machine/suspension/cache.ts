// Files that are derived from others and named after what they come from.
import { existsSync, mkdirSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL("../../.cache/unit", import.meta.url));
const WAIT = 50;
/** A lock so old was left by a run that was stopped. */
const STALE = 60_000;

/** The path of a file that `make` is asked to write if it does not exist: by one process, while others wait for it. */
export function cachedFile(name: string, make: (path: string) => void): string {
  const path = join(folder, name);
  mkdirSync(folder, { recursive: true });
  while (!existsSync(path)) {
    if (isOurs(`${path}.lock`)) makeLocked(path, make);
    else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, WAIT);
  }
  return path;
}

function makeLocked(path: string, make: (path: string) => void): void {
  try {
    make(`${path}.part`);
    renameSync(`${path}.part`, path);
  } finally {
    rmSync(`${path}.lock`, { recursive: true });
  }
}

function isOurs(lock: string): boolean {
  try {
    if (Date.now() - statSync(lock).mtimeMs < STALE) return false;
    rmSync(lock, { recursive: true });
  } catch {
    // nobody holds it
  }
  try {
    mkdirSync(lock);
    return true;
  } catch {
    return false;
  }
}
