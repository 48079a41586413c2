import { deviceRules, drivers, type DeviceRule } from "./devices.ts";

/** What BitVisor's rules for PCI devices (`vmm.driver.pci`) become here. */
export interface Imported {
  rules: DeviceRule[];
  /** A sentence for each thing that has no counterpart. */
  lost: string[];
}

type Selector = Exclude<keyof DeviceRule, "driver">;

const selectors: Record<string, Selector> = {
  slot: "slot",
  class: "class",
  id: "id",
  subsystem: "subsystem",
  revision: "revision",
  rev: "revision",
  programming_interface: "interface",
  if: "interface",
  header_type: "header",
  number: "number",
};
/** BitVisor's drivers for the cards that Sheer's drive. */
const driverNames: Record<string, string> = { pro1000: "intel", bnx: "broadcom" };
/** Options that say what Sheer does anyway. */
const granted = new Set(["virtio=1", "net=pass", "tty=0"]);

/** A part of the rules between commas; in `value` what was quoted or escaped stands without that. */
interface Part {
  name: string;
  /** Undefined for the word "and". */
  value?: string;
  /** Whether characters that would be wildcards were quoted. */
  literal: boolean;
}

/** Turns a string of rules, `[selector=pattern,...]driver=NAME[,option=value...][,and,...]`, into rules of sheer.toml. */
export function importRules(text: string): Imported {
  const imported: Imported = { rules: [], lost: [] };
  let chunk: Part[] = [];
  for (const part of [...splitParts(text), undefined]) {
    if (part !== undefined && (part.name !== "and" || part.value !== undefined)) chunk.push(part);
    else if (chunk.length > 0) {
      importRule(chunk, imported);
      chunk = [];
    }
  }
  return imported;
}

function importRule(parts: Part[], { rules, lost }: Imported): void {
  const source = parts.map(({ name, value }) => `${name}=${value ?? ""}`).join(", ");
  const problems: string[] = [];
  const at = parts.findIndex(({ name }) => name === "driver");
  const rule = { driver: at < 0 ? undefined : receiver(parts[at]!.value) } as Partial<DeviceRule>;
  if (at < 0) problems.push("it names no driver");
  else if (rule.driver === undefined) problems.push(`Sheer has no driver like ${parts[at]!.value}`);
  const chosen = at < 0 ? parts : parts.slice(0, at);
  chosen.forEach((part, index) => {
    const problem = addSelector(rule, part, index === chosen.length - 1);
    if (problem !== undefined) problems.push(problem);
  });
  const checked = deviceRules.element.safeParse(rule);
  if (problems.length === 0 && !checked.success) problems.push(...checked.error.issues.map(({ message }) => message));
  if (problems.length > 0) {
    lost.push(`"${source}" is left out: ${problems.join("; ")}.`);
    return;
  }
  rules.push(rule as DeviceRule);
  for (const { name, value } of parts.slice(at + 1))
    if (!granted.has(`${name}=${value}`)) lost.push(`"${source}" is taken without ${name}=${value}.`);
}

/** The part of a rule that says who gets the device. */
function receiver(name: string | undefined): DeviceRule["driver"] | undefined {
  if (name === "none") return "pass";
  if (name === "conceal" || name?.endsWith("_conceal") === true) return "conceal";
  return ownDriver(name);
}

function ownDriver(name = ""): (typeof drivers)[number] | undefined {
  return drivers.find((driver) => driver === driverNames[name]);
}

/** Adds what a part selects; or says why that cannot be. */
function addSelector(rule: Partial<DeviceRule>, part: Part, last: boolean): string | undefined {
  const { name, value = "", literal } = part;
  if (literal) return `the quoted wildcard in ${name}=${value} matches nothing`;
  if (name === "device") {
    const driver = ownDriver(value);
    if (driver === undefined) return `Sheer has no list of devices like that of ${value}`;
    return put(rule, "supportedBy", driver);
  }
  if (name === "class_code") return addClassCode(rule, value);
  const selector = selectors[name];
  if (selector === undefined) return `${name} is unknown`;
  if (selector === "number" && !last) return "number counts what all others match, and has to be the last";
  return put(rule, selector, value);
}

/** Sheer's rules have class and interface apart: a pattern of six characters can be cut, and one that ends with a star. */
function addClassCode(rule: Partial<DeviceRule>, value: string): string | undefined {
  const whole = /^([0-9a-f?]{4})([0-9a-f?]{2})$/i.exec(value);
  if (whole) return put(rule, "class", whole[1]!) ?? put(rule, "interface", whole[2]!);
  const start = /^([0-9a-f?]{0,4})\*$/i.exec(value);
  if (!start) return `class_code=${value} cannot be told apart into class and interface`;
  return put(rule, "class", start[1]!.length === 4 ? start[1]! : value);
}

function put(rule: Partial<DeviceRule>, selector: Selector, value: string): string | undefined {
  if (rule[selector] !== undefined) return `${selector} is asked for twice`;
  const patterns = value.split("|");
  Object.assign(rule, { [selector]: patterns.length > 1 ? patterns : value });
  return undefined;
}

/** Cuts the text at its commas, and each part at its first `=`. Blanks around either mean nothing unless they are quoted. */
function splitParts(text: string): Part[] {
  const parts: Part[] = [];
  let part: Part = { name: "", literal: false };
  let quote = "";
  const put = (character: string, quoted: boolean): void => {
    if (quoted && /[*?|]/.test(character)) part.literal = true;
    if (part.value === undefined) part.name += character;
    else part.value += character;
  };
  for (let i = 0; i < text.length; i++) {
    const character = text[i]!;
    if (character === "\\") put(text[++i] ?? "", true);
    else if (quote !== "") {
      if (character === quote) quote = "";
      else put(character, true);
    } else if (character === '"' || character === "'") quote = character;
    else if (character === ",") {
      parts.push(part);
      part = { name: "", literal: false };
    } else if (character === "=" && part.value === undefined) part.value = "";
    else if (!/\s/.test(character)) put(character, false);
  }
  return [...parts, part].filter(({ name, value }) => name !== "" || value !== undefined);
}

/** Rules as text for sheer.toml. */
export function toToml(rules: DeviceRule[]): string {
  const tables = rules.map((rule) => {
    const lines = Object.entries(rule).map(([key, value]) => `${key} = ${JSON.stringify(value)}`);
    return ["[[device]]", ...lines, ""].join("\n");
  });
  return tables.join("\n");
}

/** The rules in a bitvisor.conf, without the quotes around them; undefined if it has none. */
export function rulesIn(conf: string): string | undefined {
  const value = /^\s*vmm\.driver\.pci\s*=\s*(.*?)\s*$/m.exec(conf)?.[1];
  return value?.replace(/^"(.*)"$/, "$1");
}
