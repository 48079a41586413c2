import { readFile } from "node:fs/promises";
import { TomlError, parse } from "smol-toml";
import type { z } from "zod";
import { SheerError } from "../errors.ts";
import { ruleKeys } from "./devices.ts";
import { hint } from "./nearest.ts";
import { expectation, settingsSchema, type Settings } from "./schema.ts";

export async function readSettings(file: string): Promise<Settings> {
  return parseSettings(await readText(file), file);
}

export async function readText(file: string): Promise<string> {
  return readFile(file, "utf8").catch((error: unknown) => {
    const { code } = error as { code?: string };
    throw new SheerError(
      code === "ENOENT" ? `There is no file ${file}; check its name.` : `${file} cannot be read (${code}).`,
    );
  });
}

/** Reads sheer.toml; every complaint begins with the file and the line. */
export function parseSettings(text: string, file: string): Settings {
  const checked = settingsSchema.safeParse(parseToml(text, file));
  if (checked.success) return checked.data;
  const complaints = checked.error.issues.flatMap((issue) => complaintsAbout(issue, text, file));
  throw new SheerError(complaints.join("\n"));
}

function parseToml(text: string, file: string): unknown {
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const reason = error.message.split("\n")[0]!.replace("Invalid TOML document: ", "");
    throw new SheerError(`${file}:${error.line}: this is not TOML (column ${error.column}): ${reason}`);
  }
}

function complaintsAbout(issue: z.core.$ZodIssue, text: string, file: string): string[] {
  const path = issue.path.map(String);
  if (issue.code !== "unrecognized_keys")
    return [`${file}:${lineOf(path, text)}: ${path.join(".")}: ${expectation(issue)}`];
  return issue.keys.map((key) => {
    const known = knownKeys(path);
    return `${file}:${lineOf([...path, key], text)}: there is no ${[...path, key].join(".")}; ${hint(key, known)}`;
  });
}

/** The keys that the schema has at the top (no path), in one of its tables, or in a rule for devices. */
function knownKeys(path: string[]): string[] {
  const { device: _, ...tables } = settingsSchema.shape;
  const [table] = path;
  if (table === undefined) return Object.keys(settingsSchema.shape);
  if (table === "device") return ruleKeys;
  return Object.keys(tables[table as keyof typeof tables].unwrap().shape);
}

/**
 * The parser keeps no places, so the line is looked up: the key behind its table's header, or the header itself. The
 * second part of a path is the number of the table where several have one name.
 */
function lineOf(path: string[], text: string): number {
  const [table = "", ...rest] = path;
  const lines = text.split("\n").map((line) => line.trim());
  const isArray = /^\d+$/.test(rest[0] ?? "");
  const key = isArray ? rest[1] : rest[0];
  const headers = lines.flatMap((line, index) => (isHeader(line, table) ? [index] : []));
  const header = headers[isArray ? Number(rest[0]) : 0] ?? headers.at(-1);
  if (key === undefined || header === undefined) return (header ?? 0) + 1;
  const below = lines.findIndex((line, index) => index > header && startsKey(line, key));
  return (below < 0 ? header : below) + 1;
}

function isHeader(line: string, table: string): boolean {
  return (
    line.startsWith(`[${table}]`) ||
    line.startsWith(`[[${table}]]`) ||
    line.startsWith(`${table}.`) ||
    startsKey(line, table)
  );
}

function startsKey(line: string, key: string): boolean {
  return line.startsWith(key) && /^\s*=/.test(line.slice(key.length));
}
