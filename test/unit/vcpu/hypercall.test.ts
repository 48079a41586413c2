// The calls that the guest may make of Sheer.
import { describe, expect, test } from "vitest";
import { Msr } from "../../../machine/msrs.ts";
import { Gpr, Segment } from "../../../machine/guest/state.ts";
import { type Boot, EXCEPTION, readCounters, text, VENDORS } from "./setup.ts";

const VERSION = 0x5348_0000n;
const COUNTER = 0x5348_0001n;
const READ_LOG = 0x5348_0002n;
const { invalidOpcode } = EXCEPTION;

describe.each(VENDORS)("%s", (vendor, boot) => {
  test("the version is the interface's and Sheer's", () => {
    const { guest } = boot();
    const rip = BigInt(guest.code);
    expect(guest.hypercall({ [Gpr.Rax]: VERSION })).toBe((1n << 32n) | 0x100n);
    expect(guest.processor.rip).toBe(rip + 3n);
  });

  describe("counters", () => {
    test("count exits by their reason", () => {
      const machine = boot();
      const { guest } = machine;
      const types = guest.rdmsr(Msr.MtrrDefType);
      const before = readCounters(machine);
      for (let i = 0; i < 3; i++) guest.cpuid(0);
      for (let i = 0; i < 2; i++) guest.wrmsr(Msr.MtrrDefType, types);
      for (let i = 0; i < 4; i++) guest.in(0x3e8, 1);
      guest.read32(0xfee0_0030);
      guest.plain("invd");
      guest.write(machine.block.base, 8, 1n);
      for (const name of ["vmrun", "vmclear"] as const) guest.fault(() => guest.plain(name));
      const after = readCounters(machine);
      const grown = [...after].flatMap(([name, value]) =>
        value === before.get(name) ? [] : [[name, Number(value - before.get(name)!)]],
      );
      // The counter of the calls themselves is read at the same place among them both times.
      const calls = after.size + 1;
      expect(Object.fromEntries(grown)).toEqual({
        "exits.cpuid": 3,
        "exits.msr": 2,
        "exits.port": 4,
        "exits.nested-page-fault": 2,
        "exits.invd": 1,
        "exits.vmmcall": calls,
        "block.writes-dropped": 1,
        ...(vendor === "VT-x" && { "exits.other": 1 }), // VMCLEAR; AMD's codes are kept apart, without a name for VMRUN's
      });
    });

    test("agree with the processor's count", () => {
      const machine = boot();
      machine.guest.cpuid(0);
      machine.guest.in(0x3ef, 1);
      const counters = readCounters(machine);
      expect(counters.get("exits.cpuid")).toBe(BigInt(machine.guest.exits("cpuid")));
      expect(counters.get("exits.port")).toBe(BigInt(machine.guest.exits("port")));
    });

    test("have names of their own, at most 24 bytes long", () => {
      const names = [...readCounters(boot()).keys()];
      expect(names.length).toBeGreaterThan(13);
      for (const name of names) expect(name).toMatch(/^[a-zA-Z.-]{1,24}$/);
    });

    test.each([1000n, 1n << 31n, 1n << 32n, (1n << 64n) - 1n])("number %i is none: all registers are zero", (index) => {
      const { guest } = boot();
      expect(guest.hypercall({ [Gpr.Rax]: COUNTER, [Gpr.Rbx]: index, [Gpr.Rcx]: 7n, [Gpr.Rdx]: 7n })).toBe(0n);
      expect([Gpr.Rbx, Gpr.Rcx, Gpr.Rdx].map((register) => guest.processor.gpr(register))).toEqual([0n, 0n, 0n]);
    });
  });

  describe("the log", () => {
    const readLog = ({ guest }: ReturnType<Boot>, from = 0n): string => {
      let content = "";
      for (let at = from; ;) {
        const count = guest.hypercall({ [Gpr.Rax]: READ_LOG, [Gpr.Rbx]: at });
        const words = [Gpr.Rcx, Gpr.Rdx, Gpr.Rsi].map((register) => guest.processor.gpr(register));
        at = guest.processor.gpr(Gpr.Rbx) + count;
        if (count === 0n) return content;
        expect(count).toBeLessThanOrEqual(24n);
        content += text(words).slice(0, Number(count));
      }
    };

    test("is read as it was written", () => {
      const machine = boot();
      expect(readLog(machine)).toBe(machine.log().replaceAll("\r", ""));
      expect(readLog(machine)).toContain(machine.coreHash);
    });

    test("beyond its end has nothing", () => {
      const { guest } = boot();
      for (const from of [1n << 20n, 1n << 63n, (1n << 64n) - 1n]) {
        expect(guest.hypercall({ [Gpr.Rax]: READ_LOG, [Gpr.Rbx]: from })).toBe(0n);
        expect(guest.processor.gpr(Gpr.Rbx)).toBe(from);
        expect(guest.processor.gpr(Gpr.Rcx)).toBe(0n);
      }
    });

    test("that has run over is read from its oldest byte", () => {
      const machine = boot();
      for (let i = 0; i < 2000; i++) machine.core.trap(0x105, BigInt(i));
      machine.guest.processor.takeInjection(); // the #GP that such a row of traps ends in
      const lines = readLog(machine).split("\n");
      expect(lines.join("\n").length).toBe(65536);
      expect(lines.at(-2)).toContain("trap 0x105 at 0x7cf");
      expect(machine.log().replaceAll("\r", "").endsWith(readLog(machine))).toBe(true);
    });
  });

  describe("a call is #UD, as without Sheer,", () => {
    test.each([0n, 1n, 0x5348_0003n, 0x5348_ffffn, 0x5349_0000n])("if its number, %i, is none", (number) => {
      const { guest } = boot();
      expect(guest.fault(() => guest.hypercall({ [Gpr.Rax]: number, [Gpr.Rbx]: 5n }))).toMatchObject({
        vector: invalidOpcode,
        error: undefined,
      });
      expect(guest.processor.gpr(Gpr.Rax)).toBe(number);
      expect(guest.processor.gpr(Gpr.Rbx)).toBe(5n);
    });

    test("outside 64-bit mode", () => {
      const { guest } = boot();
      const { processor } = guest;
      const cs = processor.segment(Segment.Cs);
      processor.setSegment(Segment.Cs, { ...cs, attributes: (cs.attributes & ~0x200) | 0x400 });
      expect(guest.fault(() => guest.hypercall({ [Gpr.Rax]: VERSION }))).toMatchObject({ vector: invalidOpcode });
    });
  });

  test("a call may come from user code", () => {
    const { guest, memory, firmware } = boot();
    // From the firmware's tables on, everything on the way to the code's page is the user's.
    let table = firmware.context.cr3;
    for (const shift of [39, 30, 21]) {
      const entry = table + 8 * (Math.floor(guest.code / 2 ** shift) % 512);
      memory.write64(entry, memory.read64(entry) | 4n);
      table = Number(memory.read64(entry) & ~0xfffn);
    }
    guest.processor.cpl = 3;
    expect(guest.hypercall({ [Gpr.Rax]: VERSION })).toBe((1n << 32n) | 0x100n);
  });
});
