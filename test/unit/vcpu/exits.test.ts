// What the guest gets for instructions that end its run, and for ports (AMD64 Architecture Programmer's Manual volume 2,
// 15.9 to 15.12, and appendix C).
import { describe, expect, test } from "vitest";
import { scanBus } from "../../../machine/driver/pci.ts";
import type { Machine } from "../../../machine/machine.ts";
import { Exit } from "../../../machine/svm/vmcb.ts";
import { boot, EXCEPTION } from "./setup.ts";

const RESET_CONTROL = 0xcf9;
const KEYBOARD_COMMAND = 0x64;

/** Notes what is written to ports, of which each reads zero. */
function watchPorts({ ports }: Machine, ...numbers: number[]): [number, number][] {
  const written: [number, number][] = [];
  for (const port of numbers) {
    ports.add(port, 1, { readPort: () => 0, writePort: (_offset, _width, value) => written.push([port, value]) });
  }
  return written;
}

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

describe("instructions of AMD-V are #UD:", () => {
  test.each(["vmrun", "vmload", "vmsave", "stgi", "clgi", "skinit", "invlpga"] as const)("%s", (name) => {
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

test("INVD may be called WBINVD by the processor", () => {
  const machine = boot();
  const { processor, code } = machine.guest;
  machine.memory.writeBytes(code, [0x0f, 0x08]);
  processor.rip = BigInt(code);
  processor.exit(0x89);
  expect(machine.cacheWriteBacks).toBe(1);
  expect(processor.rip).toBe(BigInt(code) + 2n);
});

describe("the ports of the log", () => {
  test.each([0, 1, 2, 3, 4, 5, 6, 7])("read all ones and swallow writes: %i", (offset) => {
    const machine = boot();
    const before = machine.log();
    machine.guest.out(0x3e8 + offset, 1, 0x41);
    expect(machine.guest.in(0x3e8 + offset, 1)).toBe(0xff);
    expect(machine.log()).toBe(before);
    expect(machine.guest.exits(Exit.Ioio)).toBe(2);
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
    expect(machine.guest.exits(Exit.Ioio)).toBe(0);
  });

  test("are the guest's without a log", () => {
    const machine = boot({ loadOptions: "sheer.efi" });
    machine.guest.out(0x3e8, 1, 0x41);
    expect(machine.log()).toBe("A");
    expect(machine.guest.exits(Exit.Ioio)).toBe(0);
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
    const bytes = width === 1 ? [0xec] : width === 2 ? [0x66, 0xed] : [0xed];
    guest.processor.memory.writeBytes(guest.code, bytes);
    processor.rip = BigInt(guest.code);
    processor.setGpr(0, 0x1122_3344_5566_7788n);
    processor.setGpr(2, 0x3e8n);
    const next = BigInt(guest.code + bytes.length);
    processor.exit(Exit.Ioio, { info1: (0x3e8 << 16) | (width << 4) | 1, info2: next });
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
    expect(machine.guest.exits(Exit.Ioio)).toBe(0);
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
    expect(machine.guest.exits(Exit.Ioio)).toBe(0);
    expect(machine.guest.exits(Exit.NestedPageFault)).toBe(0);
  });

  test("is found as it is beside a card that Sheer does mediate", () => {
    const { guest, cards } = boot({ cards: [{ model: "82574L" }, { model: "82540EM" }] });
    const other = scanBus(guest).find((pci) => pci.address === 3 << 3)!;
    expect(other.read(0, 4)).toBe(0x100e_8086);
    other.write(0x3c, 1, 0x0c);
    expect(cards[1]!.pci.readConfig(0x3c, 1)).toBe(0x0c);
  });
});
