// Sheer as a whole on the simulated machine: from the firmware's call to the guest, and every way not to start.
import { describe, expect, test } from "vitest";
import { scanBus } from "../../machine/driver/pci.ts";
import { VirtioNetDriver } from "../../machine/driver/virtio-net.ts";
import { Machine, type MachineOptions } from "../../machine/machine.ts";
import { Gpr } from "../../machine/guest/state.ts";
import { Save } from "../../machine/svm/vmcb.ts";
import { svmOf } from "./vcpu/setup.ts";

const ERROR = 1n << 63n;
const UNSUPPORTED = ERROR | 3n;
const ALREADY_STARTED = ERROR | 20n;
const LOG = "log=0x3e8";

function boot(options: MachineOptions = {}): Machine {
  const machine = new Machine({ loadOptions: `sheer.efi ${LOG}`, forbidTraps: true, ...options });
  expect(machine.boot()).toBe(0n);
  machine.clock.advance(5_000_000);
  return machine;
}

describe("the guest", () => {
  test("is the firmware, to which sheer.efi has returned success", () => {
    const { guest, firmware } = boot();
    const { processor } = guest;
    expect(processor.rip).toBe(BigInt(firmware.returnAddress));
    expect(processor.gpr(Gpr.Rsp)).toBe(BigInt(firmware.context.stack - 0x100));
    expect(processor.gpr(Gpr.Rax)).toBe(0n);
    expect(processor.controlRegister(3)).toBe(BigInt(firmware.context.cr3));
    const preserved = [3, 5, 6, 7, 12, 13, 14, 15];
    expect(preserved.map((register) => processor.gpr(register) & 0xffn)).toEqual(preserved.map(BigInt));
  });

  test("sees Sheer by CPUID, and no AMD-V", () => {
    const { guest } = boot();
    const [, b, c, d] = guest.cpuid(0x4000_0000);
    expect(String.fromCharCode(...new Uint8Array(new Uint32Array([b, c, d]).buffer)).slice(0, 5)).toBe("Sheer");
    expect(guest.cpuid(1)[2] >>> 31).toBe(1);
    expect(guest.cpuid(0x8000_0001)[2] & 4).toBe(0);
    expect(guest.cpuid(0)).toEqual([...new Machine().cpuid.query(0, 0)]);
  });

  test("with stealth sees neither", () => {
    const { guest } = boot({ loadOptions: `sheer.efi ${LOG} stealth=on` });
    expect(guest.cpuid(1)[2] >>> 31).toBe(0);
    expect(guest.cpuid(0x4000_0000)).toEqual([0, 0, 0, 0]);
  });

  test("cannot read or change what is in Sheer's block", () => {
    const { guest, block, memory } = boot();
    const at = block.base + 0x1000;
    const before = memory.read64(at);
    expect(before).not.toBe(0n);
    expect(guest.read(at, 8)).toBe(0n);
    guest.write(at, 8, 0x1234n);
    expect(memory.read64(at)).toBe(before);
  });

  test("has ordinary memory, all of it but the block, without an exit", () => {
    const { guest, block, memory } = boot({ highMemory: 16 });
    const addresses = [0x1000, 0x9_f000, 0x10_0000, block.base - 8, block.base + block.size, 2 ** 32 + 0x1000];
    for (const address of addresses) {
      guest.write(address, 8, BigInt(address));
      expect(memory.read64(address)).toBe(BigInt(address));
    }
    expect(guest.exits("nested page fault")).toBe(0);
  });

  test("meets #GP for what does not exist, as without Sheer", () => {
    const { guest } = boot();
    for (const action of [
      () => guest.rdmsr(0x1234),
      () => guest.wrmsr(0xc001_0117, 0n),
      () => guest.rdmsr(0x4000_0000),
    ]) {
      expect(guest.fault(action)).toMatchObject({ vector: 13, error: 0 });
    }
  });

  test("does not see or lose EFER.SVME", () => {
    const { guest } = boot();
    const efer = guest.rdmsr(0xc000_0080);
    expect(efer & 0x1000n).toBe(0n);
    guest.wrmsr(0xc000_0080, efer & ~0x800n);
    expect(guest.rdmsr(0xc000_0080)).toBe(efer & ~0x800n);
    expect(svmOf(guest).vmcb.get(Save.Efer) & 0x1000n).toBe(0x1000n);
  });

  test("keeps INIT and SIPI from the real local APIC", () => {
    const { guest, apic } = boot();
    const before = apic.sent.length;
    guest.write32(0xfee0_0300, 0x000c_4500);
    guest.write32(0xfee0_0300, 0x000c_4608);
    guest.write32(0xfee0_0300, 0x0004_4055);
    expect(apic.sent.slice(before).map(({ delivery }) => delivery)).toEqual([0]);
  });

  test("finds one network card, Sheer's", () => {
    const { guest } = boot({ cards: [{ model: "82540EM" }] });
    const ids = scanBus(guest).map((pci) => pci.read(0, 4));
    expect(ids).toEqual([0x29c0_8086, 0x1000_1af4]);
  });

  test("has no network card of Sheer's where the machine has none", () => {
    const { guest } = boot({ cards: [] });
    expect(scanBus(guest).map((pci) => pci.read(0, 4))).toEqual([0x29c0_8086]);
  });
});

describe("Sheer's start", () => {
  test("leaves nothing behind in the firmware", () => {
    const { firmware } = boot({ files: { "\\EFI\\sheer.conf": "" } });
    expect(firmware.bootServices.pool.size).toBe(0);
    expect(firmware.fileSystem.open).toBe(0);
  });

  test("logs its version and the hash of its core", () => {
    const machine = boot();
    expect(machine.log()).toContain(machine.coreHash);
  });

  test("writes to no port of a UART that it was not given", () => {
    const machine = boot({ loadOptions: "sheer.efi" });
    expect([0x3f8, 0x2f8, 0x3e8, 0x2e8].map((port) => machine.log(port))).toEqual(["", "", "", ""]);
  });

  test("takes the card from the firmware's driver before it uses it", () => {
    const machine = new Machine({ firmwareNicDriver: true, forbidTraps: true });
    let resetWhileHeld = false;
    machine.firmware.bootServices.onDisconnect = ((stop) => (controller: number) => {
      resetWhileHeld = machine.card.registers.get(0x100) === 0;
      stop(controller);
    })(machine.firmware.bootServices.onDisconnect);
    expect(machine.boot()).toBe(0n);
    expect(machine.firmware.bootServices.disconnected.length).toBe(1);
    expect(resetWhileHeld).toBe(false);
    const outside: number[] = [];
    const { block } = machine;
    machine.bus.onDma = ({ address }) => {
      if (address < block.base || address >= block.base + block.size) outside.push(address);
    };
    machine.clock.advance(5_000_000);
    machine.card.wire.inject(Array.from({ length: 60 }, () => 0xff));
    expect(outside).toEqual([]);
  });

  test.each<[string, MachineOptions, bigint, string]>([
    ["AMD-V is missing", { cpu: { svm: false } }, UNSUPPORTED, "AMD-V"],
    ["AMD-V is disabled", { svmDisabled: true }, UNSUPPORTED, "disabled"],
    ["nested paging is missing", { cpu: { npt: false } }, UNSUPPORTED, "nested paging"],
  ])("does not happen when %s, and says so", (_name, options, status, word) => {
    const machine = new Machine({ forbidTraps: true, ...options });
    expect(machine.boot()).toBe(status);
    expect(machine.guestRuns).toBe(false);
    expect(machine.screen).toContain(word);
    expect(machine.firmware.bootServices.disconnected).toEqual([]);
  });

  test("does not happen twice", () => {
    const { guest } = boot();
    const leaves = Object.fromEntries([1, 0x4000_0000, 0x4000_0001].map((leaf) => [leaf, guest.cpuid(leaf)]));
    const second = new Machine({ cpu: { leaves }, forbidTraps: true });
    expect(second.boot()).toBe(ALREADY_STARTED);
    expect(second.screen).toContain("already running");
  });
});

describe("settings", () => {
  const FILE = "\\EFI\\sheer\\sheer.conf";

  test("come from the file", () => {
    const { guest } = boot({ files: { [FILE]: "# quiet\nstealth=on\n" } });
    expect(guest.cpuid(1)[2] >>> 31).toBe(0);
  });

  test("on the command line win over those in the file", () => {
    const { guest } = boot({ files: { [FILE]: "stealth=on" }, loadOptions: `sheer.efi ${LOG} stealth=off` });
    expect(guest.cpuid(1)[2] >>> 31).toBe(1);
  });

  test.each(["speed=9", "stealth=maybe", "log=0x1_0000", "=", "stealth"])(
    "%s is named in the log and ignored",
    (word) => {
      const machine = boot({ loadOptions: `sheer.efi ${word} ${LOG}` });
      expect(machine.log()).toContain(`: ${word}\r\n`);
      expect(machine.guest.cpuid(1)[2] >>> 31).toBe(1);
    },
  );

  test("net=pass leaves the card to the guest", () => {
    const machine = boot({ loadOptions: `sheer.efi ${LOG} net=pass` });
    expect(scanBus(machine.guest).map((pci) => pci.read(0, 4))).toEqual([0x29c0_8086, 0x10d3_8086]);
    expect(machine.firmware.bootServices.disconnected).toEqual([]);
  });

  test("in bytes that are no text change nothing", () => {
    const noise = Uint8Array.from({ length: 5000 }, (_, i) => (i * 151) & 0xff);
    const { guest } = boot({ files: { [FILE]: noise } });
    expect(guest.cpuid(1)[2] >>> 31).toBe(1);
  });
});

test("packets go both ways", () => {
  const { guest, card, clock } = boot();
  const driver = new VirtioNetDriver(guest, { vectors: { config: 0x51, receive: 0x52, transmit: 0x53 } });
  guest.enableInterrupts();
  driver.start();
  driver.offerBuffers(8);
  const frame = Uint8Array.from({ length: 200 }, (_, i) => i);
  driver.send(frame);
  expect(card.wire.take()).toEqual([frame]);
  clock.advance(1_000_000);
  card.wire.inject([...card.mac, ...frame.subarray(6)]);
  clock.advance(1_000_000);
  guest.in(0x80, 1);
  expect(driver.frames).toEqual([Uint8Array.of(...card.mac, ...frame.subarray(6))]);
  expect(driver.interrupts.receive).toBe(1);
});
