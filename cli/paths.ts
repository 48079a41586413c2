import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Where things are in the checkout. */
export const root = fileURLToPath(new URL("..", import.meta.url));

export const dist = join(root, "dist");
export const sheerEfi = join(dist, "sheer.efi");
export const coreWasm = join(dist, "core.wasm");
export const sheerctl = join(dist, "sheerctl");

export const guestFolder = join(root, "guest");
export const kernelFolder = join(root, ".cache", "kernel");
export const trixieFolder = join(root, ".cache", "trixie");
