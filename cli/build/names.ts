/** A function of the linked program: offset from the image's base, and its name in the core's source. */
export interface FunctionName {
  address: number;
  name: string;
}

/** wasm2c's C name of a core function back to the source's: `w2c_core_src0x2Flog0x2Flog0x2FLog0x23text` → `src/log/log/Log#text`. */
function sourceName(symbol: string): string {
  const name = symbol
    .replace(/^w2c_core_/, "")
    .replace(/_?0x([0-9A-F]{2})/g, (_, code: string) => String.fromCharCode(parseInt(code, 16)));
  return name.replace(/^~?src\//, "");
}

/** The functions of the program from the linker's map file, in order of address. */
export function functionNames(map: string): FunctionName[] {
  const names = new Map<number, string>();
  const base = /Preferred load address is ([0-9a-f]+)/i.exec(map)?.[1];
  if (base === undefined)
    throw new Error("The linker's map file has no load address: the format of lld-link's map has changed.");
  for (const line of map.split("\n")) {
    const match = /^ ([0-9a-f]{4}):[0-9a-f]{8}\s+(\S+)\s+([0-9a-f]{16})\s/.exec(line);
    if (!match || match[1] !== "0001") continue; // section 1 is .text
    const [, , symbol, address] = match as unknown as [string, string, string, string];
    names.set(Number(BigInt(`0x${address}`) - BigInt(`0x${base}`)), sourceName(symbol));
  }
  return [...names].map(([address, name]) => ({ address, name })).sort((a, b) => a.address - b.address);
}

/** The table of metal/names.h as C. */
export function namesSource(names: FunctionName[]): string {
  let at = 0;
  const rows = names.map(({ address, name }) => {
    const row = `{${address}u,${at}u}`;
    at += Buffer.byteLength(name) + 1;
    return row;
  });
  const text = names.map(({ name }) => JSON.stringify(name + "\0").replaceAll("\\u0000", "\\0"));
  return [
    '#include "names.h"',
    '#define LAST __attribute__((section(".znames"), used))',
    `LAST const u32 names_count = ${names.length};`,
    `LAST const struct name names[] = {${rows.join(",\n") || "{0,0}"}};`,
    `LAST const char names_text[] =\n${text.join("\n") || '""'};`,
    "",
  ].join("\n");
}
