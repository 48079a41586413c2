// INS and OUTS at ports that Sheer answers for: the decoder carries them out, as the processor tells neither the
// segment nor the address size.
import { describe, expect, test } from "vitest";
import { Gpr } from "../../../machine/guest/state.ts";
import { VENDORS } from "./setup.ts";

const CONFIG_ADDRESS = 0xcf8;
const CONFIG_DATA = 0xcfc;
/** Bus 0, device 2, function 0: the card that Sheer mediates. */
const CARD = 0x8000_1000;
const BUFFER = 0x20_0000;

describe.each(VENDORS)("%s", (_vendor, boot) => {
  test("REP INS reads a hooked port once for each element, as IN does", () => {
    const { guest, memory } = boot({ cards: [{ model: "82574L" }] });
    guest.out(CONFIG_ADDRESS, 4, CARD);
    const id = guest.in(CONFIG_DATA, 4);
    expect(id).toBe(0x1000_1af4);
    guest.string("in", CONFIG_DATA, 4, BUFFER, 3);
    expect([0, 4, 8, 12].map((offset) => memory.read(BUFFER + offset, 4))).toEqual([id, id, id, 0]);
    expect(guest.processor.gpr(Gpr.Rcx)).toBe(0n);
    expect(guest.processor.gpr(Gpr.Rdi)).toBe(BigInt(BUFFER + 12));
  });

  test("REP OUTS writes a hooked port, and the last element stays", () => {
    const { guest, memory } = boot({ cards: [{ model: "82574L" }] });
    guest.out(CONFIG_ADDRESS, 4, CARD + 0x3c); // the interrupt line
    memory.write(BUFFER, 1, 5);
    memory.write(BUFFER + 1, 1, 7);
    guest.string("out", CONFIG_DATA, 1, BUFFER, 2);
    expect(guest.in(CONFIG_DATA, 1)).toBe(7);
    expect(guest.processor.gpr(Gpr.Rsi)).toBe(BigInt(BUFFER + 2));
  });

  test("a string longer than one exit may take goes on in the next", () => {
    const { guest, memory } = boot({ cards: [{ model: "82574L" }] });
    guest.out(CONFIG_ADDRESS, 4, CARD);
    guest.string("in", CONFIG_DATA, 2, BUFFER, 600);
    expect(memory.read(BUFFER + 599 * 2, 2)).toBe(0x1af4);
    expect(memory.read(BUFFER + 600 * 2, 2)).toBe(0);
  });
});
