// Exits of code that has exited before: Sheer remembers where it lies, and answers CPUID and plain MOVs to the local APIC's
// page in a short way. Each test has the same place exit several times: what comes out must be right each time.
import { describe, expect, test } from "vitest";
import { Apic, APIC_BASE } from "../../../machine/apic.ts";
import type { Machine } from "../../../machine/machine.ts";
import { Gpr, Segment } from "../../../machine/guest/state.ts";
import { VENDORS } from "./setup.ts";

const CPUID = [0x0f, 0xa2];
const TRAP_FLAG = 1n << 8n;
const RESUME_FLAG = 1n << 16n;
const PROTECTED_MODE = 0x33n;
/** Of free memory, with more behind it. */
const PAGE = 0x30_0000;
const LDR = APIC_BASE + Apic.Ldr;

/** Has the bytes at a linear address, which the firmware maps to itself, end the guest's run. */
function exitAt({ guest }: Machine, at: number, bytes: readonly number[], fault?: number, length = bytes.length): void {
  const { processor } = guest;
  processor.memory.writeBytes(at, bytes);
  processor.rip = BigInt(at);
  const access = { write: true };
  if (fault === undefined) processor.intercept({ kind: "cpuid" }, BigInt(at + length));
  else processor.exitForFault({ address: fault, access, tables: false, present: false, reserved: false, rights: 0 });
}

function setCodeSegment({ guest }: Machine, mode: 16 | 32 | 64, base?: bigint): void {
  const { processor } = guest;
  const cs = processor.segment(Segment.Cs);
  const attributes = (cs.attributes & ~0x600) | { 16: 0, 32: 0x400, 64: 0x200 }[mode];
  processor.setSegment(Segment.Cs, { ...cs, attributes, base: base ?? cs.base });
}

/** Debug exceptions that the guest was given since the last call. */
function takeTraps({ guest }: Machine): number {
  let traps = 0;
  for (let event = guest.processor.takeInjection(); event; event = guest.processor.takeInjection())
    if (event.vector === 1) traps++;
  return traps;
}

describe.each(VENDORS)("%s", (_vendor, boot) => {
  describe("CPUID", () => {
    test("is answered by leaf and subleaf each time", () => {
      const { guest, cpuid } = boot();
      for (const leaf of [0, 0xd, 0, 0x8000_0002, 0xd])
        for (const subleaf of [0, 1, 0])
          expect(guest.cpuid(leaf, subleaf)).toEqual(cpuid.query(leaf, subleaf).map((value) => value >>> 0));
    });

    test("has the length that it has now, whatever lay there before", () => {
      const machine = boot();
      const { processor, code } = machine.guest;
      for (const bytes of [CPUID, CPUID, [0xf3, ...CPUID], CPUID, [0x66, 0x48, ...CPUID], CPUID]) {
        exitAt(machine, code, bytes);
        expect(processor.rip).toBe(BigInt(code + bytes.length));
      }
    });

    test.each([0xff0, 0xffd, 0xffe, 0xfff])("ends where it ends, %i bytes into its page", (offset) => {
      const machine = boot();
      const at = PAGE + offset;
      for (let turn = 0; turn < 3; turn++) {
        exitAt(machine, at, CPUID);
        expect(machine.guest.processor.rip).toBe(BigInt(at + 2));
      }
    });

    test("in 16-bit code at the same address lies where its segment is, and RIP wraps at 64 KiB", () => {
      const machine = boot();
      const { processor } = machine.guest;
      for (let turn = 0; turn < 2; turn++) exitAt(machine, 0xfffe, CPUID);
      expect(processor.rip).toBe(0x1_0000n);
      setCodeSegment(machine, 16, 0x2_0000n);
      processor.setControlRegister(0, PROTECTED_MODE);
      processor.efer &= ~0x500n;
      processor.memory.writeBytes(0x2_fff0, [0x66, ...CPUID]);
      exitAt(machine, 0xfff0, CPUID, undefined, 3);
      expect(processor.rip).toBe(0xfff3n);
      processor.memory.writeBytes(0x2_fffe, CPUID);
      exitAt(machine, 0xfffe, CPUID);
      expect(processor.rip).toBe(0n);
    });

    test("ends the shadow of STI and traps if TF is set, and RF does not outlive it", () => {
      const machine = boot();
      const { processor, code } = machine.guest;
      for (const flags of [0n, 0n, TRAP_FLAG, RESUME_FLAG, 0n]) {
        processor.rflags = 2n | flags;
        processor.shadow = true;
        exitAt(machine, code, CPUID);
        expect(processor.shadow).toBe(false);
        expect(takeTraps(machine)).toBe(flags === TRAP_FLAG ? 1 : 0);
        expect(processor.rflags).toBe(2n | (flags & TRAP_FLAG));
      }
    });

    test("is found in the tables of the CR3 that the guest has", () => {
      const machine = boot();
      const { guest, memory, firmware } = machine;
      const copy = 0x20_0000;
      memory.writeBytes(copy, memory.readBytes(firmware.context.cr3, 4096));
      for (let turn = 0; turn < 3; turn++) {
        for (const cr3 of [firmware.context.cr3, copy]) {
          guest.processor.setControlRegister(3, BigInt(cr3));
          exitAt(machine, guest.code, CPUID);
          expect(guest.processor.rip).toBe(BigInt(guest.code + 2));
        }
      }
    });
  });

  describe("a MOV of 32 bits to the local APIC", () => {
    const low = (value: number): number[] => [value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24];
    const value = 0x4300_0000;
    const forms: [string, number[]][] = [
      ["movl %ecx, (%rax)", [0x89, 0x08]],
      ["movl %ecx, -0x10(%rbx)", [0x89, 0x4b, 0xf0]],
      ["movl %ecx, -0x1000(%rsi)", [0x89, 0x8e, ...low(-0x1000)]],
      ["movl %ecx, (%rax,%r9,4)", [0x42, 0x89, 0x0c, 0x88]],
      ["movl %ecx, (%rsp)", [0x89, 0x0c, 0x24]],
      ["movl %r10d, (%r11)", [0x45, 0x89, 0x13]],
      ["movl %r10d, (%r12)", [0x45, 0x89, 0x14, 0x24]],
      ["movl %r10d, (%r13)", [0x45, 0x89, 0x55, 0x00]],
      ["movl $imm, (%rax)", [0xc7, 0x00, ...low(value)]],
      ["movl $imm, 0x10(%r8)", [0x41, 0xc7, 0x40, 0x10, ...low(value)]],
      ["movl $imm, -0x1000(%r15,%r9)", [0x43, 0xc7, 0x84, 0x0f, ...low(-0x1000), ...low(value)]],
      ["xchgl %ecx, (%rax)", [0x87, 0x08]],
      ["movabsl %eax, address", [0xa3, ...low(LDR), 0, 0, 0, 0]],
      ["movl %ecx, %fs:(%rax)", [0x64, 0x89, 0x08]],
      ["movl %ecx, (%eax)", [0x67, 0x89, 0x08]],
    ];

    function setRegisters({ guest }: Machine): void {
      const { processor } = guest;
      const address = BigInt(LDR);
      const registers = { 0: address, 1: BigInt(value), 3: address + 0x10n, 4: address, 6: address + 0x1000n };
      const upper = { 8: address - 0x10n, 9: 0n, 10: BigInt(value), 11: address, 12: address, 13: address };
      for (const [index, content] of Object.entries({ ...registers, ...upper, 15: address + 0x1000n }))
        processor.setGpr(Number(index), content);
    }

    test.each(forms)("%s", (name, bytes) => {
      const machine = boot();
      const { guest, apic } = machine;
      for (let turn = 0; turn < 3; turn++) {
        setRegisters(machine);
        if (name.startsWith("movabsl")) guest.processor.setGpr(Gpr.Rax, BigInt(value));
        apic.writeMmio(Apic.Ldr, 4, 0);
        exitAt(machine, guest.code, bytes, LDR);
        expect(apic.readMmio(Apic.Ldr)).toBe(value);
        expect(guest.processor.rip).toBe(BigInt(guest.code + bytes.length));
      }
    });

    test("goes from the register that it names now, whatever lay there before", () => {
      const machine = boot();
      const { guest, apic } = machine;
      const values = [0x1100_0000, 0x2200_0000, 0x3300_0000];
      for (let turn = 0; turn < 6; turn++) {
        const register = [1, 2, 6][turn % 3]!;
        guest.processor.setGpr(Gpr.Rax, BigInt(LDR));
        guest.processor.setGpr(register, BigInt(values[turn % 3]!));
        exitAt(machine, guest.code, [0x89, register << 3], LDR);
        expect(apic.readMmio(Apic.Ldr)).toBe(values[turn % 3]);
      }
    });

    test("is not taken for one when another processor has changed it meanwhile: what lies there now is carried out", () => {
      const machine = boot();
      const { guest, apic, memory } = machine;
      const other = 0x20_0000;
      for (let turn = 0; turn < 3; turn++) {
        guest.processor.setGpr(Gpr.Rax, BigInt(LDR));
        guest.processor.setGpr(Gpr.Rcx, BigInt(value));
        guest.processor.setGpr(Gpr.Rdi, BigInt(other));
        apic.writeMmio(Apic.Ldr, 4, 0);
        memory.write32(other, 0);
        exitAt(machine, guest.code, turn === 1 ? [0x89, 0x0f] : [0x89, 0x08], LDR);
        expect([memory.read32(other), apic.readMmio(Apic.Ldr)]).toEqual(turn === 1 ? [value, 0] : [0, value]);
      }
    });

    test.each([0xff0, 0xff4, 0xff5, 0xffa, 0xffe, 0xfff])("is whole, %i bytes into its page", (offset) => {
      const machine = boot();
      const { guest, apic } = machine;
      const at = PAGE + offset;
      for (let turn = 0; turn < 3; turn++) {
        setRegisters(machine);
        const code = [0x43, 0xc7, 0x84, 0x0f, ...low(-0x1000), ...low(value + turn * 0x100_0000)];
        exitAt(machine, at, code, LDR);
        expect(apic.readMmio(Apic.Ldr)).toBe(value + turn * 0x100_0000);
        expect(guest.processor.rip).toBe(BigInt(at + code.length));
      }
    });

    test("clears the upper half of the register that it reads to, and leaves all others", () => {
      const machine = boot();
      const { guest, apic } = machine;
      apic.writeMmio(Apic.Ldr, 4, 0x5500_0000);
      for (const register of [0, 3, 4, 7, 0, 3, 4, 7]) {
        for (let i = 0; i < 16; i++) guest.processor.setGpr(i, 0xffff_ffff_0000_0000n + BigInt(i));
        guest.processor.setGpr(Gpr.Rsi, BigInt(LDR));
        exitAt(machine, guest.code, [0x8b, (register << 3) | 6], LDR);
        const expected = (i: number) => (i === 6 ? BigInt(LDR) : 0xffff_ffff_0000_0000n + BigInt(i));
        for (let i = 0; i < 16; i++) expect(guest.processor.gpr(i)).toBe(i === register ? 0x5500_0000n : expected(i));
      }
    });

    test("in 32-bit code at the same address means what it means there", () => {
      const machine = boot();
      const { guest, apic } = machine;
      const { processor } = guest;
      const write = [0x89, 0x08];
      for (let turn = 0; turn < 2; turn++) {
        setRegisters(machine);
        exitAt(machine, guest.code, write, LDR);
      }
      setCodeSegment(machine, 32);
      apic.writeMmio(Apic.Ldr, 4, 0);
      processor.setGpr(Gpr.Rax, 0xffff_ffff_0000_0000n + BigInt(LDR));
      exitAt(machine, guest.code, write, LDR);
      expect(apic.readMmio(Apic.Ldr)).toBe(value);
      // REX.B is DEC ECX there: no access to memory, and nothing that Sheer carries out
      processor.setGpr(Gpr.R8, BigInt(LDR));
      const before = processor.gpr(Gpr.Rcx);
      exitAt(machine, guest.code, [0x41, 0x89, 0x00], LDR);
      expect([processor.gpr(Gpr.Rcx), processor.rip]).toEqual([before, BigInt(guest.code)]);
      expect(processor.takeInjection()).toMatchObject({ vector: 6 });
    });

    test("ends the shadow of STI and traps if TF is set, and RF does not outlive it", () => {
      const machine = boot();
      const { processor, code } = machine.guest;
      for (const flags of [0n, 0n, TRAP_FLAG, RESUME_FLAG, 0n]) {
        setRegisters(machine);
        processor.rflags = 2n | flags;
        processor.shadow = true;
        exitAt(machine, code, [0x89, 0x08], LDR);
        expect(processor.shadow).toBe(false);
        expect(takeTraps(machine)).toBe(flags === TRAP_FLAG ? 1 : 0);
        expect(processor.rflags).toBe(2n | (flags & TRAP_FLAG));
      }
    });

    test("of code in Sheer's block reads zeros, as the guest does there, and never what lies in it", () => {
      const machine = boot();
      const { guest, block, memory, apic } = machine;
      const at = block.base + 0x10_0000;
      apic.writeMmio(Apic.Ldr, 4, 0);
      for (let turn = 0; turn < 2; turn++) {
        setRegisters(machine);
        const kept = memory.readBytes(at, 2);
        exitAt(machine, at, [0x89, 0x08], LDR);
        memory.writeBytes(at, kept);
        expect(apic.readMmio(Apic.Ldr)).toBe(0);
      }
      expect(guest.processor.rip).toBe(BigInt(at + 2)); // ADD [RAX], AL
    });
  });
});
