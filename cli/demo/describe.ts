import type { Transfer } from "../guest/transfers.ts";
import { isContained } from "../guest/report.ts";
import type { DemoResult } from "./demo.ts";

/** The demonstration's report for people. */
export function describe(result: DemoResult): string {
  const { guest, times, core } = result;
  const seconds = (time: number | undefined): string => (time === undefined ? "not seen" : `${time.toFixed(1)} s`);
  const lines: [string, string][] = [
    ["Guest", guest.kernel === undefined ? "not seen" : `Linux ${guest.kernel}, ${guest.memory ?? "?"} KiB of memory`],
    ["Processors", `${guest.processors.length}, ${guest.processors.filter(isContained).length} of them on Sheer`],
    ...guest.cards.map((card): [string, string] => ["Network card", `${card.slot} ${card.id} class ${card.class}`]),
    ...guest.interrupts.map((line): [string, string] => ["Interrupt", line]),
    ["Address", guest.lease ?? "none"],
    ["Ping", guest.ping ? "answered" : "not answered"],
    ["Download", transferLine(result.download, guest.download?.sha256)],
    ["Upload", transferLine(result.upload, guest.upload?.sha256)],
    ...(result.withSheer ? [["Power-on to Sheer", seconds(times.Sheer)] as [string, string]] : []),
    ["Power-on to kernel", seconds(times.kernel)],
    ["Power-on to init", seconds(times.init)],
    ...(result.withSheer ? sheerLines(guest.sheer, core) : []),
  ];
  const width = Math.max(...lines.map(([name]) => name.length));
  return lines.map(([name, value]) => `${name.padEnd(width)}  ${value}`).join("\n");
}

function sheerLines(sheer: Record<string, string>, core: DemoResult["core"]): [string, string][] {
  const exits = Object.entries(sheer)
    .filter(([name]) => name.startsWith("exits."))
    .map(([name, count]): [string, number] => [name.slice("exits.".length), Number(count)])
    .sort(([, a], [, b]) => b - a);
  return [
    ["Sheer", sheer["version"] ?? "not seen"],
    ["core.wasm", core.logged ?? "not seen"],
    ...exits.map(([reason, count]): [string, string] => [`Exits ${reason}`, String(count)]),
  ];
}

function transferLine(transfer: Transfer | undefined, guestHash: string | undefined): string {
  if (transfer === undefined) return "none";
  const speed = transfer.bytes / 1e6 / transfer.took;
  const same = transfer.sha256 === guestHash ? "same SHA-256 on both sides" : "DIFFERENT SHA-256 on both sides";
  return `${transfer.bytes} bytes in ${transfer.took.toFixed(2)} s, ${speed.toFixed(1)} MB/s, ${same}`;
}
