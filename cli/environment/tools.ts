import { execFile } from "node:child_process";
import { accessSync, constants, existsSync, readFileSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { promisify } from "node:util";
import { MissingEnvironmentError, SheerError, messageOf } from "../errors.ts";

interface Tool {
  package: string;
  /** A program to be found on the PATH, or the absolute name of a file. */
  provides: string;
}

type Purpose = "build" | "run";

const tools = JSON.parse(readFileSync(new URL("packages.json", import.meta.url), "utf8")) as Record<Purpose, Tool[]>;

/** The full name of a program or file, or undefined when this machine lacks it. */
export function locate(provides: string): string | undefined {
  if (isAbsolute(provides)) return existsSync(provides) ? provides : undefined;
  // Debian keeps sgdisk and depmod where an ordinary user's PATH does not look.
  const searchPath = [...(process.env["PATH"] ?? "").split(":"), "/usr/sbin", "/sbin"];
  return searchPath.map((folder) => join(folder, provides)).find(isExecutable);
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

export function toolsFor(purpose: Purpose): Tool[] {
  return tools[purpose];
}

export function missingTools(purpose: Purpose): Tool[] {
  return tools[purpose].filter((tool) => locate(tool.provides) === undefined);
}

/** As `locate`, but ends the command with the name of the package when the thing is missing. */
export function need(provides: string): string {
  const found = locate(provides);
  if (found !== undefined) return found;
  const tool = [...tools.build, ...tools.run].find((candidate) => candidate.provides === provides);
  const advice =
    tool === undefined
      ? "install it"
      : `install the Debian package ${tool.package} (npm run build and npm start do it)`;
  throw new MissingEnvironmentError(`${provides} is not on this machine; ${advice}.`);
}

/** Runs a tool to its end and returns what it printed; its own message becomes the error's. */
export async function runTool(program: string, args: string[], environment: NodeJS.ProcessEnv = {}): Promise<string> {
  try {
    const options = { env: { ...process.env, ...environment }, maxBuffer: 64 * 1024 * 1024 };
    return (await promisify(execFile)(need(program), args, options)).stdout;
  } catch (error) {
    if (error instanceof SheerError) throw error;
    const { stderr } = error as { stderr?: string };
    throw new SheerError(`${program} failed: ${stderr?.trim() || messageOf(error)}`);
  }
}
