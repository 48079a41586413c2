import { beforeEach, describe, expect, test } from "vitest";
import { Guest, Outcome, Vector } from "./guest.ts";

// Moves of vector registers on a device, and when they fault instead. What they move is in effects.test.ts.

const guest = new Guest();
const DEVICE = 0x30_0000n;
const DATA = 0x20_0000n;
guest.core.hook(DEVICE, 0x40n);

const MOVUPS_LOAD = [0x0f, 0x10, 0x0b]; // movups (%rbx), %xmm1
const MOVAPS_STORE = [0x0f, 0x29, 0x0b];
const VMOVUPS_LOAD = [0xc5, 0xfc, 0x10, 0x0b]; // vmovups (%rbx), %ymm1
const VMOVAPS_STORE = [0xc5, 0xfc, 0x29, 0x0b];

const register = (index: number) => guest.vectors.subarray(32 * index, 32 * index + 32);

function step(code: number[]): number {
  guest.code(code);
  return guest.core.step();
}

beforeEach(() => {
  guest.longMode();
  guest.set("rflags", 2n);
  guest.set("rbx", DEVICE);
  guest.xcr0 = 7n;
  guest.accesses.length = 0;
  guest.vectors.forEach((_, i) => (guest.vectors[i] = i & 0xff));
  guest.deviceValue = (address) => 0x0101_0101_0101_0101n * (address & 0xffn) + 1n;
});

describe("a device", () => {
  test("sees eight bytes of a vector at a time, in order", () => {
    expect(step(VMOVUPS_LOAD)).toBe(Outcome.Done);
    expect(guest.accesses).toEqual([0n, 8n, 16n, 24n].map((at) => ({ address: DEVICE + at, width: 8 })));
    expect([...register(1)].filter((_, i) => i % 8 === 7)).toEqual([0, 8, 16, 24]);
    guest.accesses.length = 0;
    expect(step(MOVAPS_STORE)).toBe(Outcome.Done);
    expect(guest.accesses.map(({ address, width, value }) => [address - DEVICE, width, value])).toEqual([
      [0n, 8, 1n],
      [8n, 8, 0x0808_0808_0808_0809n],
    ]);
  });

  test("sees a vector that straddles its border only as far as it is the device's", () => {
    guest.set("rbx", DEVICE + 0x38n);
    guest.memory.fill(0x99, Number(DEVICE) + 0x40, Number(DEVICE) + 0x50);
    expect(step(MOVUPS_LOAD)).toBe(Outcome.Done);
    expect(guest.accesses).toEqual([{ address: DEVICE + 0x38n, width: 8 }]);
    expect([...register(1).subarray(8, 16)]).toEqual(new Array(8).fill(0x99));
  });
});

describe("a vector register faults", () => {
  const outcome = (code: number[]) => [step(code), guest.exception];
  const faultsWith = (exception: number) => [Outcome.Faulted, exception];

  test("with #UD where the guest has not enabled it", () => {
    guest.setControl({ cr4: 0x4_0420n }); // without OSFXSR, which AVX does not ask for
    expect(outcome(MOVUPS_LOAD)).toEqual(faultsWith(Vector.InvalidOpcode));
    expect(outcome(VMOVUPS_LOAD)[0]).toBe(Outcome.Done);
    guest.setControl({ cr4: 0x620n }); // without OSXSAVE
    expect(outcome(VMOVUPS_LOAD)).toEqual(faultsWith(Vector.InvalidOpcode));
    guest.longMode();
    guest.xcr0 = 3n;
    expect(outcome(VMOVUPS_LOAD)).toEqual(faultsWith(Vector.InvalidOpcode));
    expect(outcome(MOVUPS_LOAD)[0]).toBe(Outcome.Done);
    guest.setControl({ cr0: 0x8001_0037n }); // EM
    expect(outcome(MOVUPS_LOAD)).toEqual(faultsWith(Vector.InvalidOpcode));
  });

  test("with #UD in real mode behind a VEX prefix only", () => {
    guest.realMode();
    guest.set("rbx", 0x8000n);
    expect(outcome([0x0f, 0x10, 0x0f])[0]).toBe(Outcome.Done); // movups (%bx), %xmm1
    expect(outcome([0xc5, 0xf8, 0x10, 0x0f])).toEqual(faultsWith(Vector.InvalidOpcode));
  });

  test("with #NM while CR0.TS is set", () => {
    guest.setControl({ cr0: 0x8001_003bn });
    expect(outcome(MOVUPS_LOAD)).toEqual(faultsWith(Vector.DeviceNotAvailable));
    expect(outcome(VMOVUPS_LOAD)).toEqual(faultsWith(Vector.DeviceNotAvailable));
  });

  test("with #GP where an aligned move is not", () => {
    guest.set("rbx", DEVICE + 8n);
    expect(outcome(MOVAPS_STORE)).toEqual(faultsWith(Vector.GeneralProtection));
    guest.set("rbx", DEVICE + 16n);
    expect(outcome(VMOVAPS_STORE)).toEqual(faultsWith(Vector.GeneralProtection));
    expect(outcome(MOVAPS_STORE)[0]).toBe(Outcome.Done);
  });

  test("with #PF in the second page, and then nothing has been read or written", () => {
    const [directory, table] = [0x10_2000, 0x10_3000];
    guest.view.setBigUint64(0x10_1000, BigInt(directory) | 7n, true);
    guest.view.setBigUint64(directory, 0xe7n, true);
    guest.view.setBigUint64(directory + 8, BigInt(table) | 7n, true);
    guest.view.setBigUint64(table, DATA | 7n, true);
    guest.view.setBigUint64(table + 8, 0n, true);
    guest.memory.fill(0x77, Number(DATA), Number(DATA) + 0x1000);
    guest.set("rbx", DATA + 0xff8n);
    const before = register(1).slice();
    expect(outcome(VMOVUPS_LOAD)).toEqual(faultsWith(Vector.PageFault));
    expect([guest.cr2, guest.error]).toEqual([DATA + 0x1000n, 0]);
    expect(register(1)).toEqual(before);
    expect(outcome([0xc5, 0xfc, 0x11, 0x0b])).toEqual(faultsWith(Vector.PageFault));
    expect(guest.memory[Number(DATA) + 0xff8]).toBe(0x77);
  });
});

test("other instructions with vector operands, and prefixes that VEX does not take, are unknown", () => {
  for (const code of [
    [0x0f, 0x58, 0x0b], // addps (%rbx), %xmm1
    [0x0f, 0x6f, 0x0b], // movq (%rbx), %mm1
    [0x66, ...VMOVUPS_LOAD],
    [0xf3, ...VMOVUPS_LOAD],
    [0xf0, ...VMOVUPS_LOAD],
    [0x48, ...VMOVUPS_LOAD],
    [0xf0, ...MOVUPS_LOAD],
    [0xc5, 0xfc, 0x90, 0x0b], // the opcode is SETO's without VEX
  ]) {
    expect(step(code)).toBe(Outcome.Unknown);
    expect(guest.get("rip")).toBe(0x1000n);
  }
  expect(guest.accesses).toEqual([]);
});
