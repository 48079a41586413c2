import { beforeEach, describe, expect, test } from "vitest";
import { Guest, Outcome, Vector } from "./guest.ts";

// Faults in the middle of instructions, and what they leave behind; the modes with segments.

const guest = new Guest();
const DATA = 0x20_0000n;
const Segment = { Es: 0, Cs: 1, Ss: 2, Ds: 3, Fs: 4 } as const;

const read64 = (address: number) => guest.view.getBigUint64(address, true);

/** 4-KiB pages for the 2 MiB at DATA: all mapped to themselves, but for the one at `missing`. */
function mapDataBut(missing: number | undefined): void {
  guest.longMode();
  const [directory, table] = [0x10_2000, 0x10_3000];
  guest.view.setBigUint64(0x10_1000, BigInt(directory) | 7n, true);
  guest.view.setBigUint64(directory, 0xe7n, true);
  guest.view.setBigUint64(directory + 8, BigInt(table) | 7n, true);
  for (let i = 0; i < 512; i++) {
    const address = Number(DATA) + i * 0x1000;
    guest.view.setBigUint64(table + i * 8, address === missing ? 0n : BigInt(address) | 7n, true);
  }
}

beforeEach(() => {
  guest.longMode();
  guest.set("rflags", 2n);
  for (let i = 0; i < 16; i++) guest.setRegister(i, 0n);
  guest.memory.fill(0, Number(DATA), Number(DATA) + 0x10000);
});

describe("a fault in the middle", () => {
  test("of a write across pages writes nothing and reports the second page", () => {
    mapDataBut(0x20_1000);
    guest.code([0x48, 0x89, 0x03]); // mov %rax, (%rbx)
    guest.set("rax", 0xffff_ffff_ffff_ffffn);
    guest.set("rbx", DATA + 0xffcn);
    expect(guest.core.step()).toBe(Outcome.Faulted);
    expect([guest.exception, guest.error, guest.cr2]).toEqual([Vector.PageFault, 2, DATA + 0x1000n]);
    expect(read64(Number(DATA) + 0xff8)).toBe(0n);
    expect(guest.get("rip")).toBe(0x1000n);
  });

  test("of REP MOVS leaves rCX, rSI and rDI where it goes on", () => {
    mapDataBut(0x20_3000);
    guest.code([0xf3, 0xa5]); // rep movsd
    guest.memory.fill(0x5a, Number(DATA), Number(DATA) + 64);
    guest.set("rcx", 16n);
    guest.set("rsi", DATA);
    guest.set("rdi", DATA + 0x2ff0n);
    expect(guest.core.step()).toBe(Outcome.Faulted);
    expect([guest.exception, guest.error, guest.cr2]).toEqual([Vector.PageFault, 2, DATA + 0x3000n]);
    expect([guest.get("rcx"), guest.get("rsi"), guest.get("rdi")]).toEqual([12n, DATA + 16n, DATA + 0x3000n]);
    mapDataBut(undefined);
    expect(guest.core.step()).toBe(Outcome.Done);
    expect([guest.get("rcx"), guest.get("rip")]).toEqual([0n, 0x1002n]);
    expect(guest.memory.subarray(0x20_2ff0, 0x20_3030).every((byte) => byte === 0x5a)).toBe(true);
  });

  test("of PUSH and POP leaves rSP and memory", () => {
    mapDataBut(0x20_1000);
    guest.set("rsp", DATA + 0x2000n);
    guest.set("rbx", DATA);
    guest.code([0xff, 0x33]); // push (%rbx)
    expect(guest.core.step()).toBe(Outcome.Faulted);
    expect([guest.error, guest.cr2, guest.get("rsp")]).toEqual([2, DATA + 0x1ff8n, DATA + 0x2000n]);
    guest.code([0x8f, 0x83, 0x00, 0x10, 0x00, 0x00]); // pop 0x1000(%rbx)
    expect(guest.core.step()).toBe(Outcome.Faulted);
    expect([guest.error, guest.cr2, guest.get("rsp")]).toEqual([2, DATA + 0x1000n, DATA + 0x2000n]);
  });

  test("of an instruction's own bytes reports the second page, fetched only if it is needed", () => {
    mapDataBut(0x20_1000);
    guest.code([0x88], Number(DATA) + 0xfff); // mov %al, …
    expect(guest.core.step()).toBe(Outcome.Faulted);
    expect([guest.exception, guest.error, guest.cr2]).toEqual([Vector.PageFault, 16, DATA + 0x1000n]);
    guest.code([0x88, 0x03], Number(DATA) + 0xffe);
    guest.set("rbx", DATA);
    expect(guest.core.step()).toBe(Outcome.Done);
  });
});

test("a locked read-modify-write of a read-only page is a write fault", () => {
  mapDataBut(undefined);
  guest.view.setBigUint64(0x10_3000, DATA | 5n, true);
  guest.setControl({ cr0: 0x8001_0033n });
  guest.set("rbx", DATA);
  for (const code of [
    [0x87, 0x03],
    [0xf0, 0x0f, 0xb1, 0x03],
    [0x0f, 0xc7, 0x0b],
    [0x01, 0x03],
    [0xc7, 0x03, 1, 2, 3, 4],
  ]) {
    guest.code(code);
    expect(guest.core.step()).toBe(Outcome.Faulted);
    expect([guest.exception, guest.error, guest.cr2]).toEqual([Vector.PageFault, 3, DATA]);
  }
  guest.code([0x39, 0x03]); // cmp only reads
  expect(guest.core.step()).toBe(Outcome.Done);
});

test("LOCK is refused where the processor refuses it", () => {
  guest.set("rbx", DATA);
  for (const code of [
    [0xf0, 0x89, 0x03],
    [0xf0, 0x03, 0x03],
    [0xf0, 0x01, 0xc3],
    [0xf0, 0x39, 0x03],
    [0xf0, 0x0f, 0xa3, 0x03],
  ]) {
    guest.code(code);
    expect(guest.core.step()).toBe(Outcome.Unknown);
    expect(guest.get("rip")).toBe(0x1000n);
  }
});

test("CMPXCHG16B off its alignment raises #GP; alignment checking raises #AC at CPL 3 only", () => {
  guest.set("rbx", DATA + 8n);
  guest.code([0x48, 0x0f, 0xc7, 0x0b]);
  expect(guest.core.step()).toBe(Outcome.Faulted);
  expect(guest.exception).toBe(Vector.GeneralProtection);

  guest.setControl({ cr0: 0x8005_0033n });
  guest.set("rflags", 0x40002n);
  guest.set("rbx", DATA + 2n);
  guest.code([0x89, 0x03]);
  expect(guest.core.step()).toBe(Outcome.Done);
  guest.setMode(64, 3);
  guest.code([0x89, 0x03]);
  expect(guest.core.step()).toBe(Outcome.Faulted);
  expect(guest.exception).toBe(Vector.AlignmentCheck);
});

test("INS that memory stopped needs IOPL; after an exit for its port the processor has checked it", () => {
  guest.view.setBigUint64(0x10_1000, 0x27n | 0xc0n, true); // for CPL 3 too
  guest.setMode(64, 3);
  guest.set("rdx", 0x60n);
  const run = (flags: bigint, step: () => number) => {
    guest.set("rdi", DATA);
    guest.set("rflags", flags);
    guest.code([0x6c]);
    return step();
  };
  expect(run(0x2002n, () => guest.core.step())).toBe(Outcome.Faulted);
  expect([guest.exception, guest.error, guest.get("rdi")]).toEqual([Vector.GeneralProtection, 0, DATA]);
  expect(run(0x3002n, () => guest.core.step())).toBe(Outcome.Done);
  expect(run(0x2002n, () => guest.core.stepPort())).toBe(Outcome.Done);
  expect(guest.memory[Number(DATA)]).toBe(0xff);
  expect(run(0x3_3002n, () => guest.core.step())).toBe(Outcome.Faulted); // virtual-8086 mode asks the bitmap alone
  guest.setMode(64, 0);
  expect(run(0x2n, () => guest.core.step())).toBe(Outcome.Done);
});

test("a division by zero and a quotient without room raise #DE; BSF of zero leaves its destination", () => {
  guest.set("rbx", DATA);
  const divide = (code: number[], registers: { rax: bigint; rdx: bigint }, divisor: bigint) => {
    guest.set("rax", registers.rax);
    guest.set("rdx", registers.rdx);
    guest.view.setBigUint64(Number(DATA), divisor, true);
    guest.code(code);
    return guest.core.step() === Outcome.Faulted ? guest.exception : "done";
  };
  const [div64, idiv64, div8, idiv8] = [
    [0x48, 0xf7, 0x33],
    [0x48, 0xf7, 0x3b],
    [0xf6, 0x33],
    [0xf6, 0x3b],
  ];
  expect(divide(div64, { rax: 5n, rdx: 0n }, 0n)).toBe(Vector.DivideError);
  expect(divide(div64, { rax: 0n, rdx: 7n }, 7n)).toBe(Vector.DivideError);
  expect([guest.get("rax"), guest.get("rdx"), guest.get("rip")]).toEqual([0n, 7n, 0x1000n]);
  expect(divide(div64, { rax: 0xffff_ffff_ffff_ffffn, rdx: 6n }, 7n)).toBe("done");
  expect([guest.get("rax"), guest.get("rdx")]).toEqual([0xffff_ffff_ffff_ffffn, 6n]); // 7 * 2^64 - 1
  // -2^63 / -1 and 2^63 / 1 have no room, -2^63 / 1 has
  const lowest = 1n << 63n;
  expect(divide(idiv64, { rax: lowest, rdx: 0xffff_ffff_ffff_ffffn }, 0xffff_ffff_ffff_ffffn)).toBe(Vector.DivideError);
  expect(divide(idiv64, { rax: lowest, rdx: 0n }, 1n)).toBe(Vector.DivideError);
  expect(divide(idiv64, { rax: lowest, rdx: 0xffff_ffff_ffff_ffffn }, 1n)).toBe("done");
  expect(divide(div8, { rax: 0x100n, rdx: 0n }, 1n)).toBe(Vector.DivideError);
  expect(divide(idiv8, { rax: 0x80n, rdx: 0n }, 1n)).toBe(Vector.DivideError);
  expect(divide(idiv8, { rax: 0xff80n, rdx: 0n }, 1n)).toBe("done");
  expect(guest.get("rax")).toBe(0x80n);

  guest.set("rcx", 0x1234_5678_9abc_def0n);
  guest.view.setBigUint64(Number(DATA), 0n, true);
  guest.code([0x0f, 0xbc, 0x0b]); // bsf (%rbx), %ecx
  expect([guest.core.step(), guest.get("rcx")]).toEqual([Outcome.Done, 0x1234_5678_9abc_def0n]);
  expect(guest.get("rflags") & 0x40n).toBe(0x40n);
});

test("RFLAGS.RF is cleared, and a long REP stops between repetitions", () => {
  guest.set("rflags", 0x10002n);
  guest.set("rcx", 300n);
  guest.set("rdi", DATA);
  guest.set("rax", 0x77n);
  guest.code([0xf3, 0xaa]); // rep stosb
  expect(guest.core.step()).toBe(Outcome.Unfinished);
  expect([guest.get("rcx"), guest.get("rdi"), guest.get("rip")]).toEqual([44n, DATA + 256n, 0x1000n]);
  expect(guest.core.step()).toBe(Outcome.Done);
  expect(guest.get("rflags")).toBe(2n);
  expect(guest.memory.subarray(Number(DATA), Number(DATA) + 301).lastIndexOf(0x77)).toBe(299);
});

describe("segments", () => {
  test("have bases and limits in protected mode", () => {
    guest.protectedMode();
    guest.setSegment(Segment.Ds, { base: DATA, limit: 0xfff });
    guest.code([0x89, 0x03]); // mov %eax, (%ebx)
    guest.set("rax", 0x1234_5678n);
    guest.set("rbx", 0xdead_0000_0000_0ffcn); // the upper half does not count
    expect(guest.core.step()).toBe(Outcome.Done);
    expect(guest.view.getUint32(Number(DATA) + 0xffc, true)).toBe(0x1234_5678);
    guest.code([0x89, 0x03]);
    guest.set("rbx", 0xffdn);
    expect(guest.core.step()).toBe(Outcome.Faulted);
    expect([guest.exception, guest.error]).toEqual([Vector.GeneralProtection, 0]);
    guest.code([0x36, 0x89, 0x03]); // in SS
    guest.setSegment(Segment.Ss, { limit: 0xfff });
    expect(guest.core.step()).toBe(Outcome.Faulted);
    expect(guest.exception).toBe(Vector.StackFault);
  });

  test("that expand down end where others begin", () => {
    guest.protectedMode();
    guest.setSegment(Segment.Ds, { limit: 0x1f_ffff, attributes: 0xc97 });
    guest.code([0x89, 0x03]);
    guest.set("rbx", DATA);
    expect(guest.core.step()).toBe(Outcome.Done);
    guest.code([0x89, 0x03]);
    guest.set("rbx", DATA - 1n);
    expect(guest.core.step()).toBe(Outcome.Faulted);
    guest.set("rbx", 0xffff_fffdn);
    expect(guest.core.step()).toBe(Outcome.Faulted);
  });

  test("have rights in protected mode and none in real mode", () => {
    for (const [attributes, outcome] of [
      [0xc91, 1],
      [0xc9b, 1],
      [0xc13, 1],
      [0xc93, 0],
    ] as const) {
      guest.protectedMode();
      guest.setSegment(Segment.Ds, { attributes });
      guest.set("rbx", 0x8000n);
      guest.code([0x89, 0x03]);
      expect(guest.core.step()).toBe(outcome);
      guest.realMode();
      guest.setSegment(Segment.Ds, { limit: 0xffff, attributes: attributes & 0x9f });
      guest.code([0x89, 0x07]); // mov %ax, (%bx)
      expect(guest.core.step()).toBe(Outcome.Done);
    }
  });

  test("of real mode: 16-bit addresses and stack, RIP wraps, the code segment ends", () => {
    guest.realMode();
    guest.setSegment(Segment.Es, { base: 0x2_0000n, limit: 0xffff, attributes: 0x93 });
    guest.set("rdi", 0xffff_0000_fffen);
    guest.set("rax", 0xbeefn);
    guest.code([0xab]); // stosw
    expect(guest.core.step()).toBe(Outcome.Done);
    expect(guest.view.getUint16(0x2_fffe, true)).toBe(0xbeef);
    expect(guest.get("rdi")).toBe(0xffff_0000_0000n);

    guest.set("rsp", 0xabcd_0000n);
    guest.code([0x50]); // push %ax
    expect(guest.core.step()).toBe(Outcome.Done);
    expect(guest.get("rsp")).toBe(0xabcd_fffen);

    guest.code([0x50], 0xffff);
    expect(guest.core.step()).toBe(Outcome.Done);
    expect(guest.get("rip")).toBe(0n);
    guest.code([0x89], 0xffff);
    expect(guest.core.step()).toBe(Outcome.Faulted);
    expect(guest.exception).toBe(Vector.GeneralProtection);
  });

  test("MOV from a segment register stores its selector in 16 bits", () => {
    guest.setSegment(Segment.Fs, { selector: 0x53 });
    guest.view.setBigUint64(Number(DATA), 0xffff_ffff_ffff_ffffn, true);
    guest.set("rbx", DATA);
    guest.code([0x48, 0x8c, 0x23]); // mov %fs, (%rbx)
    expect(guest.core.step()).toBe(Outcome.Done);
    expect(read64(Number(DATA))).toBe(0xffff_ffff_ffff_0053n);
  });

  test("FS and GS add their bases in 64-bit mode, the others none", () => {
    guest.setSegment(Segment.Fs, { base: DATA });
    guest.setSegment(Segment.Es, { base: DATA });
    guest.set("rax", 0x42n);
    guest.set("rbx", 0x100n);
    guest.code([0x64, 0x26, 0x88, 0x03]); // mov %al, %fs:(%rbx), an ES prefix notwithstanding
    expect(guest.core.step()).toBe(Outcome.Done);
    expect(guest.memory[Number(DATA) + 0x100]).toBe(0x42);
  });
});
