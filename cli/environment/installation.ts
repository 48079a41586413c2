import { existsSync } from "node:fs";
import { join } from "node:path";
import { MissingEnvironmentError } from "../errors.ts";
import { trixieFolder } from "../paths.ts";
import { need } from "./tools.ts";

/** Where an emulator comes from, with what it needs. */
export interface Installation {
  /** The words that start a program of a package, up to its arguments. */
  command(program: string): string[];
  /** The full name of a file, by the name that it has in its package. */
  file(name: string): string;
  /** What a program has to be told about where its own parts are. */
  environment: NodeJS.ProcessEnv;
}

/** What is installed on this machine. */
export const thisMachine: Installation = {
  command: (program) => [need(program)],
  file: need,
  environment: {},
};

const trixieLibraries = "/usr/lib/x86_64-linux-gnu";

/** Debian 13's emulators in the folder where setup.mjs has unpacked them, run by that Debian's own dynamic linker. */
export const trixie: Installation = {
  command: (program) => [
    ...[inTrixie(`${trixieLibraries}/ld-linux-x86-64.so.2`), "--library-path", inTrixie(trixieLibraries)],
    inTrixie(`/usr/bin/${program}`),
  ],
  file: inTrixie,
  environment: {
    LTDL_LIBRARY_PATH: join(trixieFolder, trixieLibraries, "bochs/plugins"),
    QEMU_MODULE_DIR: join(trixieFolder, trixieLibraries, "qemu"),
  },
};

function inTrixie(name: string): string {
  const file = join(trixieFolder, name);
  if (existsSync(file)) return file;
  throw new MissingEnvironmentError("Debian 13's emulators are not unpacked yet; run: node setup.mjs more");
}
