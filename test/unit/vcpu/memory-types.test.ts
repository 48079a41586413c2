// What the guest writes to the registers that say what types memory has: it holds for the machine, and no page is larger
// than a stretch of one type (AMD64 Architecture Programmer's Manual volume 2, 7.7, 7.9.4 and 15.25.8).
import { describe, expect, test } from "vitest";
import type { Machine } from "../../../machine/machine.ts";
import { Msr } from "../../../machine/msrs.ts";
import { GIB, MIB, PAGE } from "../memory/tables.ts";
import { settle, unsteady } from "../processors/setup.ts";
import { boot as bootAmd, EXCEPTION, nestedPage, VENDORS } from "./setup.ts";

const UC = 0n;
const WB = 6n;
const VALID = 1n << 11n;
/** The first range that the firmware leaves free. */
const BASE = Msr.MtrrPhysBase0 + 2;
const MASK = BASE + 1;
const TOM2 = (1n << 21n) | (1n << 22n);

const maskOf = (size: number): bigint => BigInt.asUintN(40, ~BigInt(size - 1)) | VALID;

/** How large the nested page is around an address; undefined if there is none. */
function pageSize(machine: Machine, address: number): number | undefined {
  return nestedPage(machine, address)?.size;
}

function setRange({ guest }: Machine, from: number, size: number, type: bigint): void {
  guest.wrmsr(BASE, BigInt(from) | type);
  guest.wrmsr(MASK, maskOf(size));
}

describe.each(VENDORS)("%s", (_vendor, boot) => {
  test("a range of another type is mapped by pages of its own, and what is around it together again when it goes", () => {
    const machine = boot({ memory: 256, highMemory: 64 });
    const { guest, msrs } = machine;
    const at = 5 * GIB + 3 * PAGE;
    expect(pageSize(machine, at)).toBe(GIB);
    setRange(machine, at, PAGE, UC);
    expect(msrs.read(BASE)).toBe(BigInt(at) | UC);
    expect(guest.rdmsr(MASK)).toBe(maskOf(PAGE));
    expect([at - PAGE, at, at + PAGE, 5 * GIB + 2 * MIB, 6 * GIB].map((each) => pageSize(machine, each))).toEqual([
      PAGE,
      PAGE,
      PAGE,
      2 * MIB,
      GIB,
    ]);
    guest.wrmsr(MASK, 0n);
    expect(pageSize(machine, at)).toBe(GIB);
    guest.read(2 ** 32, 8);
    expect(guest.exits("nested page fault")).toBe(0);
  });

  test("what is written as it was costs an exit, and other processors nothing", () => {
    const machine = boot({ processors: 2 });
    machine.processors.choose = ([first]) => first;
    const nmis = (): number => machine.guests[1]!.exits("nmi");
    const before = nmis();
    for (const index of [Msr.MtrrDefType, 0x250, BASE, MASK]) machine.guest.wrmsr(index, machine.guest.rdmsr(index));
    expect(machine.guest.exits("msr")).toBe(4);
    settle(machine);
    expect(nmis()).toBe(before);
  });

  test("whichever processor writes, and whenever the others take note", () => {
    const machine = boot({ processors: 4, memory: 256 });
    machine.processors.choose = unsteady(5);
    const at = 5 * GIB + 7 * PAGE;
    machine.guests.forEach((guest, number) => {
      const from = at + number * 2 * MIB;
      for (const other of machine.guests) other.read(16 * MIB, 4);
      guest.wrmsr(BASE, BigInt(from) | UC);
      guest.wrmsr(MASK, maskOf(PAGE));
      expect([from, from + 2 * MIB, from + 12 * MIB].map((each) => pageSize(machine, each))).toEqual([
        PAGE,
        2 * MIB,
        2 * MIB,
      ]);
      guest.wrmsr(MASK, 0n);
      expect(pageSize(machine, from)).toBe(GIB);
    });
    settle(machine);
  });

  test("what the machine refuses changes nothing", () => {
    const machine = boot();
    const { guest } = machine;
    setRange(machine, 5 * GIB, PAGE, UC);
    for (const [index, value] of [
      [BASE, BigInt(5 * GIB) | 2n],
      [MASK, 1n << 60n],
      [Msr.MtrrDefType, 0xff00n],
      [0x250, 0x02n],
      [Msr.TopMem2, 1n],
    ] as const) {
      expect(guest.fault(() => guest.wrmsr(index, value))).toMatchObject({ vector: EXCEPTION.generalProtection });
    }
    expect(pageSize(machine, 5 * GIB)).toBe(PAGE);
    expect(pageSize(machine, 5 * GIB + 2 * MIB)).toBe(2 * MIB);
  });

  describe("the first MiB", () => {
    const FIXED = [0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f];

    test("becomes part of a large page when all of it has one type, and small ones when it has not", () => {
      const machine = boot();
      const { guest } = machine;
      expect(pageSize(machine, 0)).toBe(PAGE);
      for (const index of FIXED) guest.wrmsr(index, 0x0606_0606_0606_0606n);
      expect(pageSize(machine, 0)).toBe(2 * MIB);
      guest.wrmsr(0x26f, 0x0006_0606_0606_0606n);
      expect(pageSize(machine, 0xf_f000)).toBe(PAGE);
    });

    test("is as other memory while MTRRs are off, as Linux has them when it changes some", () => {
      const machine = boot();
      const { guest } = machine;
      const before = guest.rdmsr(Msr.MtrrDefType);
      guest.wrmsr(Msr.MtrrDefType, before & ~VALID);
      expect(pageSize(machine, 0)).toBe(2 * MIB);
      guest.wrmsr(Msr.MtrrDefType, before);
      expect(pageSize(machine, 0)).toBe(PAGE);
    });
  });

  test("a mask with holes that parts all of memory does not stop the guest", () => {
    const machine = boot({ memory: 64, highMemory: 64 });
    const { guest, memory } = machine;
    guest.wrmsr(BASE, UC);
    guest.wrmsr(MASK, VALID | (1n << 12n)); // every second page, everywhere
    for (let i = 0; i < 300; i++) {
      const at = (i % 2 ? 2 ** 32 : 0x20_0000) + i * 0x2_1000;
      guest.write(at + 8, 8, BigInt(i));
      expect(guest.read(at + 8, 8)).toBe(BigInt(i));
      expect(memory.read64(at + 8)).toBe(BigInt(i));
      expect([PAGE, undefined]).toContain(pageSize(machine, at));
    }
    guest.wrmsr(MASK, 0n);
    guest.read(2 ** 32, 8);
    expect(pageSize(machine, 2 ** 32)).toBe(GIB);
    expect(guest.rdmsr(Msr.MtrrDefType) & 0xffn).toBe(WB);
  });
});

test("TOP_MEM2 parts memory where it makes it write-back, and as far as SYSCFG lets it", () => {
  const machine = bootAmd({ memory: 256 });
  const { guest, msrs } = machine;
  guest.wrmsr(Msr.MtrrDefType, 0xc00n | UC);
  const end = 6 * GIB + 8 * MIB;
  guest.wrmsr(Msr.TopMem2, BigInt(end));
  expect(pageSize(machine, end)).toBe(GIB);
  guest.wrmsr(Msr.SysCfg, TOM2);
  expect([msrs.read(Msr.TopMem2), msrs.read(Msr.SysCfg)]).toEqual([BigInt(end), TOM2]);
  expect([5 * GIB, end - 1, end, 7 * GIB].map((each) => pageSize(machine, each))).toEqual([GIB, 2 * MIB, 2 * MIB, GIB]);
  guest.wrmsr(Msr.TopMem2, BigInt(7 * GIB));
  expect(pageSize(machine, end)).toBe(GIB);
});
