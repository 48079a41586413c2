import { toConfRule } from "./devices.ts";
import type { Settings } from "./schema.ts";
import { toWords } from "./words.ts";

/** Sheer's settings file on the EFI system partition: one "key=value" a line, as on sheer.efi's command line. */
export function toConf(settings: Settings): string {
  const rules = (settings.device ?? []).map((rule) => `device=${toConfRule(rule)}`);
  return ["# Written by the sheer command from sheer.toml.", ...toWords(settings), ...rules, ""].join("\n");
}
