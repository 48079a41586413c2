import { existsSync } from "node:fs";
import { join } from "node:path";
import { locate, toolsFor } from "../environment/tools.ts";
import { kernelFolder } from "../paths.ts";
import type { Finding } from "./finding.ts";

const oldestNode = 20;

/** Is this machine ready to build Sheer and to run it in an emulated PC? */
export function examineHost(): Finding[] {
  const node = Number(process.versions.node.split(".")[0]);
  return [
    { what: `Node.js ${oldestNode} or later`, good: node >= oldestNode, advice: `this is ${process.versions.node}` },
    ...(["build", "run"] as const).flatMap((purpose) =>
      toolsFor(purpose).map(({ package: name, provides }) => ({
        what: `${provides}, to ${purpose}`,
        good: locate(provides) !== undefined,
        advice: `install the Debian package ${name}`,
      })),
    ),
    {
      what: "Debian's kernel, for the demonstration",
      good: existsSync(join(kernelFolder, "release")),
      advice: "run: node setup.mjs all",
    },
  ];
}
