// The guest's physical memory (AMD64 Architecture Programmer's Manual volume 2, 15.25).
import { describe, expect, test } from "vitest";
import type { Machine } from "../../../machine/machine.ts";
import { APIC_BASE, Apic } from "../../../machine/apic.ts";
import { MemoryType } from "../../../machine/firmware/uefi.ts";
import { Gpr } from "../../../machine/guest/state.ts";
import { nestedPage, readCounters, VENDORS } from "./setup.ts";

const TERABYTE = 2 ** 40;
const PRESENT_WRITABLE = 3n;
const LARGE = 0x80n;

/** Has the guest map the GiB around an address beyond what its firmware maps, by tables in free memory. */
function mapGigabyte({ memory, firmware }: Machine, address: number, table: number): void {
  const gigabyte = address - (address % 2 ** 30);
  memory.write64(firmware.context.cr3 + 8 * (Math.floor(address / 2 ** 39) % 512), BigInt(table) | PRESENT_WRITABLE);
  memory.write64(table + 8 * (Math.floor(address / 2 ** 30) % 512), BigInt(gigabyte) | LARGE | PRESENT_WRITABLE);
}

describe.each(VENDORS)("%s", (_vendor, boot) => {
  test("ordinary memory never faults, wherever memory types change", () => {
    const machine = boot({ memory: 256, highMemory: 64 });
    const { guest, block } = machine;
    const pages = [0, 0x7_f000, 0x8_0000, 0x9_f000, 0xc_0000, 0xf_f000, 0x10_0000, 0x1f_f000, 0x20_0000, 0xfff_f000];
    const places = [...pages, block.base - 4096, block.base + block.size, 2 ** 32, 2 ** 32 + 0x3ff_f000];
    for (const place of places) {
      guest.write(place + 8, 8, BigInt(place) + 1n);
      expect(guest.read(place + 8, 8)).toBe(BigInt(place) + 1n);
    }
    // The video window, a device's registers, ROM that is not there.
    for (const place of [0xa_0000, 0xb_f000, 0xc000_0000, 0xfec0_0000, 0xffff_f000]) guest.read(place, 4);
    expect(guest.exits("nested page fault")).toBe(0);
  });

  describe("Sheer's block", () => {
    test("reads as zeros from its first to its last byte, without an exit", () => {
      const { guest, block } = boot();
      for (let at = 0; at < block.size; at += 0x1_0000) expect(guest.read(block.base + at, 8)).toBe(0n);
      expect(guest.read(block.base + block.size - 8, 8)).toBe(0n);
      expect(guest.exits("nested page fault")).toBe(0);
    });

    test.each([1, 2, 4, 8] as const)("drops and counts writes of %i bytes", (width) => {
      const machine = boot();
      const { guest, block, memory } = machine;
      for (const offset of [0, 0x1000, 0x12_3450, block.size - 8]) {
        const before = memory.readBytes(block.base + offset, 8);
        guest.write(block.base + offset, width, 0xa5a5_a5a5_a5a5_a5a5n);
        expect(memory.readBytes(block.base + offset, 8)).toEqual(before);
        expect(guest.read(block.base + offset, 8)).toBe(0n);
      }
      expect(readCounters(machine).get("block.writes-dropped")).toBe(4n);
      expect(guest.exits("nested page fault")).toBe(4);
    });

    test("ends where it says: the guest's memory on both sides is written", () => {
      const machine = boot();
      const { guest, block, memory } = machine;
      for (const at of [block.base - 8, block.base + block.size]) {
        guest.write(at, 8, 0x55n);
        expect(memory.read64(at)).toBe(0x55n);
      }
      expect(readCounters(machine).get("block.writes-dropped")).toBe(0n);
    });

    test("is not reached by a write that begins before it", () => {
      const { guest, block, memory } = boot();
      const before = memory.readBytes(block.base, 4);
      guest.execute(
        [0x48, 0x89, 0x08],
        [
          { address: block.base - 4, write: true },
          { address: block.base, write: true },
        ],
      );
      expect(memory.readBytes(block.base, 4)).toEqual(before);
    });

    test.each([
      ["fxsave (%rax)", [0x0f, 0xae, 0x00], 512],
      ["stmxcsr (%rax)", [0x0f, 0xae, 0x18], 4],
      ["sgdt (%rax)", [0x0f, 0x01, 0x00], 10],
      ["movntq %mm1, (%rax)", [0x0f, 0xe7, 0x08], 8],
      ["vmaskmovps %ymm1, %ymm2, (%rax)", [0xc4, 0xe2, 0x6d, 0x2e, 0x08], 32],
    ])("drops what %s stores, which Sheer does not carry out", (_name, bytes, length) => {
      const machine = boot();
      const { guest, block, memory } = machine;
      const before = memory.readBytes(block.base, length);
      guest.processor.setGpr(Gpr.Rax, BigInt(block.base));
      expect(guest.execute(bytes, [{ address: block.base, write: true }])).toBe(true);
      expect(memory.readBytes(block.base, length)).toEqual(before);
      expect(readCounters(machine).get("block.writes-dropped")).toBe(1n);
      expect(readCounters(machine).get("hooks.unknown")).toBe(0n);
    });

    test("takes no instruction that does more than store, and that Sheer does not carry out", () => {
      const { guest, block } = boot();
      guest.processor.setGpr(Gpr.Rax, BigInt(block.base));
      // fstpl (%rax): it would leave the register stack as it is
      expect(guest.fault(() => guest.execute([0xdd, 0x18], [{ address: block.base, write: true }]))).toMatchObject({
        vector: 6,
      });
    });

    test("is zeros for the guest's own page tables too", () => {
      const machine = boot();
      const { guest, block, memory, firmware } = machine;
      memory.write64(firmware.context.cr3 + 8, BigInt(block.base) | PRESENT_WRITABLE);
      expect(guest.fault(() => guest.read(2 ** 39, 8))).toMatchObject({ vector: 14 });
    });
  });

  describe("a hooked page", () => {
    test.each([1, 2, 4, 8] as const)("is read by the device in accesses of %i bytes", (width) => {
      const { guest, apic } = boot();
      const version = BigInt(apic.readMmio(Apic.Version));
      const twice = version | (version << 32n);
      expect(guest.read(APIC_BASE + Apic.Version, width)).toBe(BigInt.asUintN(8 * width, twice));
      expect(guest.exits("nested page fault")).toBe(1);
    });

    test("is written by the device, once for each instruction", () => {
      const { guest, apic } = boot();
      for (let i = 0; i < 3; i++) guest.write32(APIC_BASE + Apic.LvtError, 0xe0 + i);
      expect(apic.readMmio(Apic.LvtError)).toBe(0xe2);
      expect(guest.exits("nested page fault")).toBe(3);
    });

    test("does not make its neighbours fault", () => {
      const { guest } = boot();
      guest.read(APIC_BASE - 8, 8);
      guest.read(APIC_BASE + 0x1000, 8);
      expect(guest.exits("nested page fault")).toBe(0);
    });
  });

  describe("mapped at boot", () => {
    test("is what the firmware reports above 1 TiB, memory and device registers alike", () => {
      const machine = boot({ memory: 256, cpu: { physicalBits: 44 } }, ({ memory, firmware }) => {
        memory.addRam(2 * TERABYTE, 0x1000);
        firmware.map.set(2 * TERABYTE, 0x1000, MemoryType.Conventional);
        firmware.map.set(5 * TERABYTE, 0x20_0000, MemoryType.MemoryMappedIo);
      });
      const { guest, memory } = machine;
      mapGigabyte(machine, 2 * TERABYTE, 0x30_0000);
      mapGigabyte(machine, 5 * TERABYTE, 0x30_1000);
      guest.write(2 * TERABYTE, 8, 0x1234n);
      expect(memory.read64(2 * TERABYTE)).toBe(0x1234n);
      guest.read(5 * TERABYTE + 0x1f_f000, 4);
      expect(guest.exits("nested page fault")).toBe(0);
    });

    test("is all memory also on a processor without pages of 1 GiB", () => {
      const machine = boot(
        { memory: 256, cpu: { leaves: { 0x8000_0001: [0, 0, 1 << 2, (1 << 29) | (1 << 20)] } } },
        ({ memory, firmware }) => {
          memory.addRam(2 ** 32, 0x20_0000);
          firmware.map.set(2 ** 32, 0x20_0000, MemoryType.Conventional);
        },
      );
      const { guest, block } = machine;
      for (const at of [
        0,
        0x9_f000,
        0x100_0000,
        block.base - 8,
        block.base + block.size,
        2 ** 32,
        2 ** 32 + 0x1f_f000,
      ]) {
        guest.write(at, 8, 0x77n);
        expect(guest.read(at, 8)).toBe(0x77n);
      }
      guest.read(0xfec0_0000, 4);
      expect(guest.exits("nested page fault")).toBe(0);
      expect(nestedPage(machine, 2 ** 31)).toMatchObject({ address: 2 ** 31, size: 2 ** 21 });
    });
  });

  describe("beyond what is mapped at boot", () => {
    test("memory is mapped when it is first touched, a gigabyte at a time", () => {
      const machine = boot({ cpu: { physicalBits: 44 } });
      const { guest, memory } = machine;
      memory.addRam(2 * TERABYTE, 0x1000);
      mapGigabyte(machine, 2 * TERABYTE, 0x30_0000);
      guest.write(2 * TERABYTE, 8, 0x1234n);
      expect(memory.read64(2 * TERABYTE)).toBe(0x1234n);
      guest.read(2 * TERABYTE, 8);
      guest.read(2 * TERABYTE + 2 ** 30 - 8, 8);
      expect(guest.exits("nested page fault")).toBe(1);
      expect(readCounters(machine).get("block.writes-dropped")).toBe(0n);
    });

    test("a guest that touches more places than there are tables still reads and writes them", () => {
      const machine = boot({ cpu: { physicalBits: 48 } });
      const { guest, memory } = machine;
      const last = 250 * 2 ** 39;
      memory.addRam(last, 0x1000);
      for (let region = 2; region < 250; region++) {
        mapGigabyte(machine, region * 2 ** 39, 0x30_0000);
        guest.read(region * 2 ** 39, 8);
      }
      mapGigabyte(machine, last, 0x30_0000);
      guest.write(last, 8, 0x77n);
      expect(memory.read64(last)).toBe(0x77n);
      expect(guest.read(last, 8)).toBe(0x77n);
      // What was mapped at boot is still there.
      const before = guest.exits("nested page fault");
      for (const at of [0, 0x9_f000, 0x100_0000, 0xfec0_0000]) guest.read(at, 4);
      expect(guest.exits("nested page fault")).toBe(before);
    });
  });
});
