import { describe, expect, test } from "vitest";
import { PhysicalMemory } from "../../../machine/memory.ts";
import type { Width } from "../../../machine/bits.ts";

const MIB = 1 << 20;

/** A device that notes every access and answers with its own offset. */
function recorder(): { accesses: string[]; device: Parameters<PhysicalMemory["map"]>[2] } {
  const accesses: string[] = [];
  return {
    accesses,
    device: {
      readMmio: (offset: number, width: Width) => {
        accesses.push(`read ${offset} ${width}`);
        return offset;
      },
      writeMmio: (offset: number, width: Width, value: number) => accesses.push(`write ${offset} ${width} ${value}`),
    },
  };
}

describe("RAM", () => {
  test("is little-endian at every width", () => {
    const memory = new PhysicalMemory(MIB);
    memory.write64(0x1000, 0x8877_6655_4433_2211n);
    expect(memory.read8(0x1001)).toBe(0x22);
    expect(memory.read16(0x1002)).toBe(0x4433);
    expect(memory.read32(0x1004)).toBe(0x8877_6655);
  });

  test("carries accesses across page borders", () => {
    const memory = new PhysicalMemory(MIB);
    memory.write32(0x1ffe, 0x4433_2211);
    expect(memory.read8(0x2000)).toBe(0x33);
    expect(memory.read32(0x1ffe)).toBe(0x4433_2211);
    memory.write64(0x2ffc, 0x8877_6655_4433_2211n);
    expect(memory.read64(0x2ffc)).toBe(0x8877_6655_4433_2211n);
  });

  test("above 4 GiB is where it was put", () => {
    const memory = new PhysicalMemory(MIB);
    memory.addRam(2 ** 32, MIB);
    memory.write32(2 ** 32 + 0x10, 0x1234_5678);
    expect(memory.read32(2 ** 32 + 0x10)).toBe(0x1234_5678);
    expect(memory.read32(0x10)).toBe(0);
    expect(memory.read32(2 ** 32 + MIB)).toBe(0xffff_ffff);
  });

  test("copies ranges over many pages", () => {
    const memory = new PhysicalMemory(MIB);
    const bytes = Uint8Array.from({ length: 10_000 }, (_, i) => (i * 7) & 0xff);
    memory.writeBytes(0x1f01, bytes);
    expect(memory.readBytes(0x1f01, bytes.length)).toEqual(bytes);
    expect(memory.read8(0x1f00)).toBe(0);
  });
});

describe("what nobody claims", () => {
  test.each([0xa_0000, 2 * MIB, 0xffff_f000])("reads as ones and swallows writes at %i", (address) => {
    const memory = new PhysicalMemory(MIB);
    memory.punch(0xa_0000, 0x2_0000);
    memory.write32(address, 5);
    expect(memory.read8(address)).toBe(0xff);
    expect(memory.read16(address)).toBe(0xffff);
    expect(memory.read64(address)).toBe(0xffff_ffff_ffff_ffffn);
    expect(memory.isRam(address, 1)).toBe(false);
  });
});

test("the linear memory of the core is physical memory", () => {
  const memory = new PhysicalMemory(4 * MIB);
  const linear = new ArrayBuffer(0x2_0000);
  memory.mapLinear(0x20_0000, linear);
  memory.write32(0x20_1234, 0xcafe_f00d);
  expect(new DataView(linear).getUint32(0x1234, true)).toBe(0xcafe_f00d);
  new DataView(linear).setUint8(0x1_ffff, 7);
  expect(memory.read8(0x21_ffff)).toBe(7);
  expect(memory.read8(0x22_0000)).toBe(0);
  memory.write32(0x21_fffe, 0x4433_2211);
  expect(new DataView(linear).getUint16(0x1_fffe, true)).toBe(0x2211);
  expect(memory.read16(0x22_0000)).toBe(0x4433);
});

describe("devices", () => {
  test("answer at their range until they are taken away", () => {
    const memory = new PhysicalMemory(MIB);
    const { accesses, device } = recorder();
    const unmap = memory.map(0xc000_0000, 0x1000, device);
    expect(memory.read32(0xc000_0008)).toBe(8);
    memory.write8(0xc000_0003, 0x5a);
    expect(memory.read32(0xc000_1000)).toBe(0xffff_ffff);
    unmap();
    expect(memory.read32(0xc000_0008)).toBe(0xffff_ffff);
    expect(accesses).toEqual(["read 8 4", "write 3 1 90"]);
  });

  test("get accesses of 8 bytes as two of 4", () => {
    const memory = new PhysicalMemory(MIB);
    const { accesses, device } = recorder();
    memory.map(0xc000_0000, 0x1000, device);
    expect(memory.read64(0xc000_0010)).toBe(0x0000_0014_0000_0010n);
    memory.write64(0xc000_0020, 0x2_0000_0001n);
    expect(accesses).toEqual(["read 16 4", "read 20 4", "write 32 4 1", "write 36 4 2"]);
  });

  test("give way to RAM", () => {
    const memory = new PhysicalMemory(MIB);
    const { accesses, device } = recorder();
    memory.map(0x1000, 0x1000, device);
    memory.write32(0x1000, 3);
    expect(memory.read32(0x1000)).toBe(3);
    expect(accesses).toEqual([]);
  });
});
