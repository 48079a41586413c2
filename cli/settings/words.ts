import type { z } from "zod";
import { hint } from "./nearest.ts";
import { expectation, settingsSchema, type Settings } from "./schema.ts";

/** Settings as sheer.efi takes them, `key=value`: the table and the key in sheer.toml that each stands for. */
export const words: Readonly<Record<string, readonly [table: string, key: string]>> = {
  log: ["log", "port"],
  "log.level": ["log", "level"],
  net: ["net", "mode"],
  "net.interrupts": ["net", "interrupts"],
  "net.mergeBuffers": ["net", "mergeBuffers"],
  "interrupts.intercept": ["interrupts", "intercept"],
  "memory.dma": ["memory", "dma"],
  stealth: ["announce", "stealth"],
  "threads.oneProcessor": ["threads", "oneProcessor"],
  then: ["boot", "then"],
};
/** Of these there may be several, and sheer.efi alone looks at what they say. */
const RULE = "device";

type Tables = Record<string, Record<string, unknown>>;
type Field = z.ZodType;

/** What sheer.toml says, but for its rules. */
export function toWords(settings: Settings): string[] {
  return Object.entries(words).flatMap(([word, [table, key]]) => {
    const value = (settings as Partial<Tables>)[table]?.[key];
    return value === undefined ? [] : [`${word}=${written(value)}`];
  });
}

function written(value: unknown): string {
  if (typeof value === "boolean") return value ? "on" : "off";
  return typeof value === "number" ? `0x${value.toString(16)}` : String(value);
}

/** A sentence for each word of a command line that sheer.efi would not take, and for those that do not go together. */
export function complaintsAbout(line: string): string[] {
  const complaints: string[] = [];
  const settings: Tables = {};
  for (const word of line.split(/\s+/).filter((part) => part !== "")) {
    const [name = "", text = ""] = word.split(/=(.*)/);
    const place = words[name];
    if (place === undefined) {
      if (name !== RULE) complaints.push(`there is no ${name}; ${hint(name, [...Object.keys(words), RULE])}`);
      continue;
    }
    const [table, key] = place;
    const field = fieldAt(table, key);
    const value = readings(text).find((reading) => field.safeParse(reading).success);
    if (value === undefined) complaints.push(`${name}: ${expectationOf(field, text)}`);
    else (settings[table] ??= {})[key] = value;
  }
  const { error } = settingsSchema.safeParse(settings);
  return [...complaints, ...(error?.issues ?? []).map(({ path, message }) => `${path.join(".")}: ${message}`)];
}

function fieldAt(table: string, key: string): Field {
  const { device: _, ...tables } = settingsSchema.shape;
  const fields: Record<string, Field> = tables[table as keyof typeof tables].unwrap().shape;
  return fields[key]!;
}

/** What the text of a value may mean in sheer.toml. */
function readings(text: string): unknown[] {
  const booleans = text === "on" ? [true] : text === "off" ? [false] : [];
  return [text, ...booleans, ...(text === "" ? [] : [Number(text)])];
}

function expectationOf(field: Field, text: string): string {
  if (field.safeParse(true).success) return 'write one of "on", "off"';
  return field.safeParse(text).error!.issues.map(expectation).join("; ");
}
