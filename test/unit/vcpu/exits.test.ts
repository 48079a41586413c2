// What the guest gets for instructions that end its run, and for ports (AMD64 Architecture Programmer's Manual volume 2,
// 15.9 to 15.12, and appendix C).
import { describe, expect, test } from "vitest";
import { scanBus } from "../../../machine/driver/pci.ts";
import { Code } from "../../../machine/guest/code.ts";
import { Gpr } from "../../../machine/guest/state.ts";
import type { Machine } from "../../../machine/machine.ts";
import { EXCEPTION, VENDORS } from "./setup.ts";

const RESET_CONTROL = 0xcf9;
const KEYBOARD_COMMAND = 0x64;

const OF_AMD = ["vmrun", "vmload", "vmsave", "stgi", "clgi", "skinit", "invlpga"] as const;
const OF_INTEL = ["vmclear", "vmlaunch", "vmptrld", "vmptrst", "vmread", "vmresume", "vmwrite", "vmxoff", "vmxon", "invept", "invvpid"] as const; // prettier-ignore

/** Notes what is written to ports, of which each reads zero. */
function watchPorts({ ports }: Machine, ...numbers: number[]): [number, number][] {
  const written: [number, number][] = [];
  for (const port of numbers) {
    ports.add(port, 1, { readPort: () => 0, writePort: (_offset, _width, value) => written.push([port, value]) });
  }
  return written;
}

describe.each(VENDORS)("%s", (_vendor, boot) => {
  describe("a triple fault", () => {
    test("resets the machine by its reset register, then by its keyboard controller", () => {
      const machine = boot();
      const written = watchPorts(machine, RESET_CONTROL, KEYBOARD_COMMAND);
      machine.guest.tripleFault();
      expect(written).toEqual([
        [RESET_CONTROL, 0x02],
        [RESET_CONTROL, 0x06],
        [KEYBOARD_COMMAND, 0xfe],
      ]);
      expect(machine.log()).toContain("the guest's processor shut down");
    });

    test("resets it though the keyboard controller never takes a command", () => {
      const machine = boot();
      const written = watchPorts(machine, RESET_CONTROL);
      const start = machine.clock.now;
      machine.guest.tripleFault();
      expect(written.at(-1)).toEqual([RESET_CONTROL, 0x06]);
      expect(machine.clock.now - start).toBeLessThan(1e9);
    });
  });

  describe("instructions of virtualization are #UD, whichever vendor's:", () => {
    test.each([...OF_AMD, ...OF_INTEL])("%s", (name) => {
      const { guest } = boot();
      const before = BigInt(guest.code);
      expect(guest.fault(() => guest.plain(name))).toMatchObject({
        vector: EXCEPTION.invalidOpcode,
        error: undefined,
      });
      expect(guest.processor.rip).toBe(before);
    });
  });

  test("INVD writes the caches back: Sheer's own lines are among them", () => {
    const machine = boot();
    machine.guest.plain("invd");
    expect(machine.cacheWriteBacks).toBe(1);
    expect(machine.guest.processor.rip).toBe(BigInt(machine.guest.code) + 2n);
  });

  describe("XSETBV", () => {
    test.each([
      ["without x87", 0, 6n],
      ["with AVX but not SSE", 0, 5n],
      ["with state that the processor lacks", 0, 0x207n],
      ["with a bit beyond 31 that the processor lacks", 0, (1n << 62n) | 7n],
      ["of a register that there is none of", 1, 1n],
    ])("%s is #GP", (_name, index, value) => {
      const machine = boot();
      const { guest } = machine;
      expect(guest.fault(() => guest.xsetbv(index, value))).toMatchObject({
        vector: EXCEPTION.generalProtection,
        error: 0,
      });
      expect(guest.processor.rip).toBe(BigInt(guest.code));
      expect(machine.processors.boot.unswitched.xcr0).toBe(7n);
    });

    test.each([1n, 3n, 7n])("of what the processor has is done: %i", (value) => {
      const machine = boot();
      machine.guest.xsetbv(0, value);
      expect(machine.processors.boot.unswitched.xcr0).toBe(value);
    });
  });

  describe("the ports of the log", () => {
    test.each([0, 1, 2, 3, 4, 5, 6, 7])("read all ones and swallow writes: %i", (offset) => {
      const machine = boot();
      const before = machine.log();
      machine.guest.out(0x3e8 + offset, 1, 0x41);
      expect(machine.guest.in(0x3e8 + offset, 1)).toBe(0xff);
      expect(machine.log()).toBe(before);
      expect(machine.guest.exits("port")).toBe(2);
    });

    test.each([
      [2, 0xffff],
      [4, 0xffff_ffff],
    ] as const)("in accesses of %i bytes too", (width, ones) => {
      const { guest } = boot();
      expect(guest.in(0x3e8, width)).toBe(ones);
    });

    test("are only those: the neighbours are the machine's", () => {
      const machine = boot();
      const written = watchPorts(machine, 0x3e7, 0x3f0);
      machine.guest.out(0x3e7, 1, 1);
      machine.guest.out(0x3f0, 1, 2);
      expect(written).toEqual([
        [0x3e7, 1],
        [0x3f0, 2],
      ]);
      expect(machine.guest.exits("port")).toBe(0);
    });

    test("are the guest's without a log", () => {
      const machine = boot({ loadOptions: "sheer.efi" });
      machine.guest.out(0x3e8, 1, 0x41);
      expect(machine.log()).toBe("A");
      expect(machine.guest.exits("port")).toBe(0);
    });
  });

  describe("an IN", () => {
    test.each([
      [1, 0x1122_3344_5566_77ffn],
      [2, 0x1122_3344_5566_ffffn],
      [4, 0xffff_ffffn],
    ] as const)("of %i bytes changes as much of RAX as the processor does", (width, expected) => {
      const { guest } = boot();
      const { processor } = guest;
      const bytes = Code.in(width);
      processor.memory.writeBytes(guest.code, bytes);
      processor.rip = BigInt(guest.code);
      processor.setGpr(Gpr.Rax, 0x1122_3344_5566_7788n);
      processor.setGpr(Gpr.Rdx, 0x3e8n);
      const next = BigInt(guest.code + bytes.length);
      expect(processor.intercept({ kind: "port", port: 0x3e8, width, input: true, string: false }, next)).toBe(true);
      expect(processor.gpr(0)).toBe(expected);
      expect(processor.rip).toBe(next);
    });
  });

  describe("what Sheer does not mediate", () => {
    test("goes to the ports without an exit", () => {
      const machine = boot();
      machine.guest.out(0x3f8, 1, 0x42);
      expect(machine.log(0x3f8)).toBe("B");
      expect(machine.guest.in(0x3fd, 1)).toBe(machine.ports.read(0x3fd, 1));
      expect(machine.guest.exits("port")).toBe(0);
    });

    test("is found in configuration space as it is, by ports and by memory", () => {
      const machine = boot({ cards: [{ model: "82574L" }], loadOptions: "sheer.efi net=pass" });
      for (const way of ["ports", "ecam"] as const) {
        const found = scanBus(machine.guest, way);
        expect(found.map((pci) => pci.read(0, 4))).toEqual([0x29c0_8086, 0x10d3_8086]);
        found[1]!.write(0x3c, 1, 0x0b);
        expect(machine.card.pci.readConfig(0x3c, 1)).toBe(0x0b);
        found[1]!.write(0x3c, 1, 0x0a);
      }
      expect(machine.guest.exits("port")).toBe(0);
      expect(machine.guest.exits("nested page fault")).toBe(0);
    });

    test("is found as it is beside a card that Sheer does mediate", () => {
      const { guest, cards } = boot({ cards: [{ model: "82574L" }, { model: "82540EM" }] });
      const other = scanBus(guest).find((pci) => pci.address === 3 << 3)!;
      expect(other.read(0, 4)).toBe(0x100e_8086);
      other.write(0x3c, 1, 0x0c);
      expect(cards[1]!.pci.readConfig(0x3c, 1)).toBe(0x0c);
    });
  });
});
