import { access, constants } from "node:fs/promises";
import { delimiter, join } from "node:path";

export interface Tools {
  clang: string;
  lld: string;
}

/** A program that the build needs and the machine lacks. */
export class MissingTool extends Error {
  constructor(program: string, debianPackage: string) {
    super(`${program} is not installed. On Debian: apt-get install ${debianPackage}`);
  }
}

async function find(names: string[], debianPackage: string): Promise<string> {
  for (const name of names) {
    for (const folder of (process.env["PATH"] ?? "").split(delimiter)) {
      const path = join(folder, name);
      try {
        await access(path, constants.X_OK);
        return path;
      } catch {
        // not in this folder
      }
    }
  }
  throw new MissingTool(names[0] ?? "", debianPackage);
}

/** clang and lld of Debian, version 14 or later, by their plain names or with a version. */
export async function findTools(): Promise<Tools> {
  const versions = ["", "-19", "-18", "-17", "-16", "-15", "-14"];
  return {
    clang: await find(
      versions.map((v) => `clang${v}`),
      "clang",
    ),
    lld: await find(
      versions.map((v) => `lld-link${v}`),
      "lld",
    ),
  };
}
