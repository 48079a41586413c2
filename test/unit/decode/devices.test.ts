import { isDeepStrictEqual } from "node:util";
import { beforeEach, describe, expect, test } from "vitest";
import { Guest, Outcome, Vector, randomNumbers } from "./guest.ts";

// Instructions on hooked memory: what reaches the device, the short way for plain MOVs, and hostile bytes.

const guest = new Guest();
const DEVICE = 0x30_0000n;
const LENGTH = 0x100n;
guest.core.hook(DEVICE, LENGTH);

beforeEach(() => {
  guest.longMode();
  guest.accesses.length = 0;
  guest.deviceValue = () => 0x8877_6655_4433_2211n;
  for (let i = 0; i < 16; i++) guest.setRegister(i, 0n);
  guest.set("rflags", 2n);
  guest.set("rbx", DEVICE);
  guest.memory.fill(0, Number(DEVICE) - 0x1000, Number(DEVICE) + 0x1000);
});

describe("a device", () => {
  test("gets one access of the instruction's width", () => {
    guest.set("rax", 0x1122_3344_5566_7788n);
    const cases: [number[], number, bigint | undefined][] = [
      [[0x88, 0x43, 0x04], 1, 0x88n],
      [[0x66, 0x89, 0x43, 0x04], 2, 0x7788n],
      [[0x89, 0x43, 0x04], 4, 0x5566_7788n],
      [[0x48, 0x89, 0x43, 0x04], 8, 0x1122_3344_5566_7788n],
      [[0x48, 0x8b, 0x43, 0x04], 8, undefined],
      [[0x0f, 0xb7, 0x43, 0x04], 2, undefined],
    ];
    for (const [code, width, value] of cases) {
      guest.accesses.length = 0;
      guest.code(code);
      expect(guest.core.step()).toBe(Outcome.Done);
      const access = { address: DEVICE + 4n, width };
      expect(guest.accesses).toEqual([value === undefined ? access : { ...access, value }]);
    }
  });

  test("is not read by MOV to it, and is read and written once by a read-modify-write", () => {
    guest.code([0xc6, 0x03, 0x99]); // movb $0x99, (%rbx)
    guest.core.step();
    guest.code([0x80, 0x0b, 0x08]); // orb $8, (%rbx)
    guest.core.step();
    expect(guest.accesses).toEqual([
      { address: DEVICE, width: 1, value: 0x99n },
      { address: DEVICE, width: 1 },
      { address: DEVICE, width: 1, value: (0x2211n & 0xffn) | 8n },
    ]);
  });

  test("gets only its bytes of an access across its border", () => {
    guest.deviceValue = (address) => address & 0xffn;
    guest.memory.set([0xa1, 0xa2], Number(DEVICE) - 2);
    guest.set("rbx", DEVICE - 2n);
    guest.code([0x8b, 0x03]);
    guest.core.step();
    expect(guest.get("rax")).toBe(0x0100_a2a1n);
    guest.set("rax", 0xd4c3_b2a1n);
    guest.set("rbx", DEVICE + LENGTH - 2n);
    guest.code([0x89, 0x03]);
    guest.core.step();
    expect(guest.accesses.slice(2).map((a) => a.value)).toEqual([0xa1n, 0xb2n]);
    expect(guest.view.getUint16(Number(DEVICE + LENGTH), true)).toBe(0xd4c3);
  });

  test("is filled by REP STOS and copied by REP MOVS, one access a repetition", () => {
    guest.set("rdi", DEVICE);
    guest.set("rcx", 3n);
    guest.set("rax", 0x5566_7788n);
    guest.code([0xf3, 0xab]);
    guest.core.step();
    expect(guest.accesses.map((a) => [a.address - DEVICE, a.width, a.value])).toEqual(
      [0n, 4n, 8n].map((offset) => [offset, 4, 0x5566_7788n]),
    );
    guest.set("rsi", DEVICE);
    guest.set("rdi", DEVICE + 0x800n);
    guest.set("rcx", 2n);
    guest.code([0xf3, 0x48, 0xa5]);
    guest.core.step();
    expect(guest.view.getBigUint64(Number(DEVICE) + 0x808, true)).toBe(0x8877_6655_4433_2211n);
  });
});

test("a processor knows the hook that it last found until the guest's address space changes", () => {
  const end = DEVICE + LENGTH;
  const remembered = () => [DEVICE - 1n, DEVICE, end - 1n, end].map((address) => guest.core.remembersHook(address));
  expect(guest.core.findRecent(end - 1n)).toBe(1);
  expect(remembered()).toEqual([0, 1, 1, 0]);
  expect(guest.core.findRecent(end)).toBe(0);
  expect(remembered()).toEqual([0, 0, 0, 0]);
  guest.core.findRecent(DEVICE);
  guest.core.enterAfterChange();
  expect(remembered()).toEqual([0, 0, 0, 0]);
});

test("Sheer's own block reads as zero and takes no writes", () => {
  guest.memory.fill(0x55, 0xf0_0000, 0xf0_0010);
  guest.set("rbx", 0xf0_0000n);
  guest.set("rax", 0xffn);
  guest.code([0x48, 0x89, 0x03]);
  expect(guest.core.step()).toBe(Outcome.Done);
  guest.code([0x48, 0x8b, 0x03]);
  expect(guest.core.step()).toBe(Outcome.Done);
  expect(guest.get("rax")).toBe(0n);
  expect(guest.memory.subarray(0xf0_0000, 0xf0_0010).every((byte) => byte === 0x55)).toBe(true);
});

describe("the short way", () => {
  /** Everything an instruction may change, after one step. */
  const snapshot = (outcome: number) => ({
    outcome,
    registers: Array.from({ length: 18 }, (_, i) => guest.register(i)),
    accesses: [...guest.accesses],
  });

  test("does what the long way does, for every form of address", () => {
    const random = randomNumbers(0xfa57);
    let short = 0;
    const wrong: string[] = [];
    for (let n = 0; n < 4000; n++) {
      const rex = random() & 1 ? [0x40 | (random() & 15)] : [];
      const opcode = [0x89, 0x8b, 0xc7][random() % 3]!;
      const modRm = random() & (opcode === 0xc7 ? 0xc7 : 0xff);
      const tail = Array.from({ length: 10 }, () => random() >>> 24);
      const code = [...rex, opcode, modRm, ...tail];
      const registers = Array.from({ length: 16 }, () => DEVICE + BigInt(random() & 0x7c));
      const run = (step: () => number) => {
        guest.accesses.length = 0;
        registers.forEach((value, i) => guest.setRegister(i, value));
        guest.set("rflags", 0x10246n);
        guest.code(code);
        return snapshot(step());
      };
      const long = run(() => guest.core.step());
      // Where the processor would have stopped: wherever the long way went, if it went to the device at all
      const fault = long.accesses[0]?.address ?? DEVICE;
      if (long.accesses.length === 1 && long.accesses[0]!.width === 4) short++;
      if (
        !isDeepStrictEqual(
          run(() => guest.core.stepAt(fault)),
          long,
        )
      )
        wrong.push(Buffer.from(code).toString("hex"));
    }
    expect(wrong).toEqual([]);
    expect(short).toBeGreaterThan(100);
  });

  test("is not taken when the operand is not where the processor stopped", () => {
    guest.code([0x89, 0x03]);
    guest.set("rax", 1n);
    expect(guest.core.stepAt(DEVICE + 0x10n)).toBe(Outcome.Done);
    expect(guest.accesses).toEqual([{ address: DEVICE, width: 4, value: 1n }]);
  });

  test("follows large pages and 5 levels, and leaves broken tables to the long way", () => {
    guest.setControl({ cr3: 0x11_0000n, cr4: 0x1620n });
    guest.view.setBigUint64(0x11_0000, 0x10_0007n, true);
    guest.code([0x89, 0x43, 0x08]);
    expect(guest.core.stepAt(DEVICE + 8n)).toBe(Outcome.Done);
    expect(guest.get("rip")).toBe(0x1003n);
    guest.setControl({ cr3: 0x11_2000n });
    guest.code([0x89, 0x43, 0x08]);
    expect(guest.core.stepAt(DEVICE + 8n)).toBe(Outcome.Faulted);
    expect([guest.exception, guest.error, guest.cr2]).toEqual([14, 16, 0x1000n]);
  });

  test("knows a place again by RIP and CR3, and reads what lies there anew", () => {
    // A second CR3, under which the code's page is another one
    const tables = [0x12_0000, 0x12_1000, 0x12_2000];
    guest.view.setBigUint64(tables[0]!, 0x12_1007n, true);
    guest.view.setBigUint64(tables[1]!, 0x12_2007n, true);
    guest.view.setBigUint64(tables[2]!, 0x20_00e7n, true);
    guest.view.setBigUint64(tables[2]! + 8, 0x20_00e7n, true);
    guest.set("rcx", 1n);
    guest.set("rdx", 2n);
    guest.set("rsi", 3n);
    for (let turn = 0; turn < 3; turn++) {
      for (const [cr3, physical, register] of [
        [0x10_0000n, 0x1000, 1],
        [0x12_0000n, 0x20_1000, 2],
        [0x12_0000n, 0x20_1000, 6],
      ] as const) {
        guest.setControl({ cr3 });
        guest.memory.set([0x89, 0x03 | (register << 3)], physical);
        guest.set("rip", 0x1000n);
        guest.accesses.length = 0;
        expect(guest.core.stepAt(DEVICE)).toBe(Outcome.Done);
        expect(guest.accesses).toEqual([{ address: DEVICE, width: 4, value: guest.register(register) }]);
      }
    }
  });

  test.each([0xff0, 0xff4, 0xff5, 0xff8, 0xffc, 0xffe, 0xfff])("is left at the end of a page: %i", (offset) => {
    const code = [0x41, 0xc7, 0x84, 0x1b, 0x10, 0, 0, 0, 0x44, 0x33, 0x22, 0x11]; // movl $0x11223344, 0x10(%r11,%rbx)
    for (let turn = 0; turn < 2; turn++) {
      guest.accesses.length = 0;
      guest.code(code, 0x4000 + offset);
      expect(guest.core.stepAt(DEVICE + 0x10n)).toBe(Outcome.Done);
      expect(guest.accesses).toEqual([{ address: DEVICE + 0x10n, width: 4, value: 0x1122_3344n }]);
      expect(guest.get("rip")).toBe(BigInt(0x4000 + offset + code.length));
    }
  });

  test.each(["protectedMode", "realMode"] as const)("is not taken at a place known from 64-bit mode: %s", (mode) => {
    for (const code of [
      [0x89, 0x03],
      [0x41, 0x89, 0x03],
      [0x67, 0x89, 0x03],
      [0x8b, 0x04, 0x24],
    ]) {
      const run = (step: () => number) => {
        guest.accesses.length = 0;
        for (let i = 0; i < 16; i++) guest.setRegister(i, BigInt(0x100 * i));
        guest.set("rbx", DEVICE);
        guest.code(code, 0x5000);
        return snapshot(step());
      };
      guest.longMode();
      run(() => guest.core.stepAt(DEVICE));
      guest[mode]();
      const long = run(() => guest.core.step());
      expect(run(() => guest.core.stepAt(DEVICE))).toEqual(long);
    }
  });
});

test("no bytes and no state make it trap", () => {
  const random = randomNumbers(0xdead);
  const prefixes = [0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x48, 0x4f, 0x0f, 0x64, 0x36, 0xc4, 0xc5];
  const wide = () => (BigInt(random()) << 32n) | BigInt(random());
  const registers = () => Array.from({ length: 18 }, (_, i) => guest.register(i));
  const outcomes = new Set<number>();
  let [unknownChanged, unexplained] = [0, 0];
  for (let n = 0; n < 30_000; n++) {
    if (n % 100 === 0) {
      if (n % 300 === 0) guest.longMode();
      else if (n % 300 === 100) guest.protectedMode();
      else guest.realMode();
      for (let i = 0; i < 6; i++) guest.setSegment(i, { base: wide() & 0xf0_0000n, attributes: random() & 0xfff });
      if (n % 1000 > 500) guest.setControl({ cr0: 0x8001_0033n, cr3: wide() & 0x1f_f000n, cr4: wide(), efer: wide() });
    }
    const bytes = Array.from({ length: 16 }, () => random() >>> 24);
    for (let i = random() & 3; i > 0; i--) bytes[i - 1] = prefixes[random() % prefixes.length]!;
    for (let i = 0; i < 16; i++) guest.setRegister(i, random() & 1 ? wide() : BigInt(random() & 0xff_ffff));
    guest.set("rflags", wide());
    const address = random() & 7 ? random() & 0xff_fff0 : 0xff_fff8;
    guest.code(bytes.slice(0, 0x100_0000 - address), address);
    if ((random() & 15) === 0) guest.set("rip", wide());
    const before = registers();
    const outcome = random() & 1 ? guest.core.step() : guest.core.stepAt(wide() & 0xff_ffffn);
    outcomes.add(outcome);
    if (outcome === Outcome.Unknown) unknownChanged += Number(registers().some((value, i) => value !== before[i]));
    if ((outcome === Outcome.Faulted) !== (guest.exception !== Vector.None)) unexplained++;
  }
  expect([unknownChanged, unexplained]).toEqual([0, 0]);
  expect([...outcomes].sort()).toEqual([Outcome.Done, Outcome.Faulted, Outcome.Unfinished, Outcome.Unknown]);
});
