import { readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../paths.ts";

/**
 * The network cards that Sheer has a driver for, as in "8086:10d3". They are read from the driver's own source, so
 * that there is one list.
 */
export const supportedCards: ReadonlySet<string> = new Set(readCards("src/drivers/net/intel/ids.ts", "8086"));

function readCards(source: string, vendor: string): string[] {
  const lists = readFileSync(join(root, source), "utf8").matchAll(/_IDS: StaticArray<u16> = \[([^\]]*)\]/g);
  return [...lists].flatMap(([, list]) => [...list!.matchAll(/0x([0-9a-f]{4})/g)].map(([, id]) => `${vendor}:${id}`));
}
