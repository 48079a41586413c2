import { toConfRule } from "./devices.ts";
import type { Settings } from "./schema.ts";

/** Sheer's settings file on the EFI system partition: one "key=value" a line, as on sheer.efi's command line. */
export function toConf(settings: Settings): string {
  const { log, net, interrupts, memory, announce, threads, boot, device } = settings;
  const values: [string, string | undefined][] = [
    ["log", typeof log?.port === "number" ? `0x${log.port.toString(16)}` : log?.port],
    ["log.level", log?.level],
    ["net", net?.mode],
    ["net.interrupts", net?.interrupts],
    ["interrupts.intercept", onOrOff(interrupts?.intercept)],
    ["memory.dma", memory?.dma],
    ["stealth", onOrOff(announce?.stealth)],
    ["threads.oneProcessor", onOrOff(threads?.oneProcessor)],
    ["then", boot?.then],
    ...(device ?? []).map((rule): [string, string] => ["device", toConfRule(rule)]),
  ];
  const lines = values.filter(([, value]) => value !== undefined).map(([key, value]) => `${key}=${value}`);
  return ["# Written by the sheer command from sheer.toml.", ...lines, ""].join("\n");
}

function onOrOff(value: boolean | undefined): string | undefined {
  return value === undefined ? undefined : value ? "on" : "off";
}
