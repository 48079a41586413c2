// What newer processors do for a hypervisor, used where CPUID has it (AMD64 Architecture Programmer's Manual volume 2,
// 15.7.1, 15.8, 15.15 and 15.16).
import { describe, expect, test } from "vitest";
import { APIC_BASE } from "../../../machine/apic.ts";
import { NEWER, type CpuidOptions } from "../../../machine/cpuid.ts";
import type { Machine } from "../../../machine/machine.ts";
import { Gpr } from "../../../machine/guest/state.ts";
import { Control, Exit, Save } from "../../../machine/svm/vmcb.ts";
import { boot, svmOf } from "../vcpu/setup.ts";

const EFER = 0xc000_0080;
const RFLAGS_TF = 1n << 8n;
const APIC_TASK_PRIORITY = 0x80;
/** EXITINFO1 of a MOV to a control register from R9. */
const FROM_R9 = (1n << 63n) | 9n;
const NOP = 0x90;

/** A guest at NOPs, so that decoding would not find what the processor says that it was. */
function atNops(cpu: CpuidOptions): Machine {
  const machine = boot({ cpu });
  const { processor, code } = machine.guest;
  processor.memory.writeBytes(code, Array<number>(16).fill(NOP));
  processor.rip = BigInt(code);
  return machine;
}

/** An exit of an instruction that is 5 bytes long, by what the processor says. */
function exitAtNops({ guest }: Machine, exit: number, info1 = 0n): bigint {
  const [processor, { code }] = [svmOf(guest), guest];
  processor.exit(exit, { info1, nextRip: BigInt(code + 5) });
  return processor.rip - BigInt(code);
}

describe("next-RIP save", () => {
  test.each([
    ["CPUID", Exit.Cpuid, 0n],
    ["RDMSR", Exit.Msr, 0n],
    ["WBINVD", 0x89, 0n],
    ["VMMCALL", Exit.Vmmcall, 0n],
  ])("%s ends where the processor says", (_, exit, info1) => {
    const machine = atNops({ nrips: true });
    const { processor } = machine.guest;
    processor.setGpr(Gpr.Rcx, BigInt(EFER));
    processor.setGpr(Gpr.Rax, 0x5348_0000n);
    expect(exitAtNops(machine, exit, info1)).toBe(5n);
  });

  test("is not used where CPUID does not have it", () => {
    const machine = atNops({});
    // It is stored all the same: a word that nobody has promised
    svmOf(machine.guest).vmcb.set(Control.NextRip, 0x1234n);
    const { processor, code } = machine.guest;
    processor.memory.writeBytes(code, [0x0f, 0xa2]);
    svmOf(machine.guest).exit(Exit.Cpuid);
    expect(processor.rip).toBe(BigInt(code + 2));
  });

  test("CPUID in single steps traps after it", () => {
    const machine = atNops({ nrips: true });
    const { processor } = machine.guest;
    processor.rflags |= RFLAGS_TF;
    expect(exitAtNops(machine, Exit.Cpuid)).toBe(5n);
    expect(processor.takeInjection()).toMatchObject({ vector: 1 });
  });
});

describe("decode assists", () => {
  test("name the register of a MOV to CR8", () => {
    const machine = atNops(NEWER);
    const { processor } = machine.guest;
    processor.setGpr(9, 3n);
    expect(exitAtNops(machine, Exit.WriteCr8, FROM_R9)).toBe(5n);
    expect(processor.apic.readMmio(APIC_TASK_PRIORITY)).toBe(0x30);
  });

  test("bring the bytes of an instruction that is another by now", () => {
    const machine = atNops(NEWER);
    const { code } = machine.guest;
    const processor = svmOf(machine.guest);
    const info2 = APIC_BASE + APIC_TASK_PRIORITY;
    processor.setGpr(Gpr.Rax, BigInt(info2));
    processor.setGpr(Gpr.Rcx, 0x20n);
    const xor = [0x31, 0x08]; // xor [rax], ecx
    processor.exit(Exit.NestedPageFault, { info1: 0x1_0000_0006n, info2, fetched: xor });
    expect(processor.rip).toBe(BigInt(code + 2));
    expect(processor.apic.readMmio(APIC_TASK_PRIORITY)).toBe(0x20);
  });
});

test.each([
  ["all translations", {}, 1],
  ["the guest's own translations", { flushByAsid: true }, 3],
] as const)("a change of EFER drops %s", (_, cpu, control) => {
  const { guest } = boot({ cpu });
  guest.wrmsr(EFER, guest.rdmsr(EFER) ^ 1n);
  expect(svmOf(guest).vmcb.get8(Control.TlbControl)).toBe(control);
});

describe("VMCB clean bits", () => {
  test("say after most exits that nothing has changed", () => {
    // Without a log no thread waits for the guest's next exit.
    const { guest } = boot({ cpu: NEWER, loadOptions: "sheer.efi" });
    guest.rdmsr(EFER);
    expect(svmOf(guest).vmcb.get32(0x0c0) & 0x3ff).toBe(0x3ff);
  });

  test("stay zero where CPUID does not have them", () => {
    const { guest } = boot();
    guest.rdmsr(EFER);
    expect(svmOf(guest).vmcb.get32(0x0c0)).toBe(0);
  });

  test("tell of a change of EFER", () => {
    const { guest } = boot({ cpu: NEWER });
    guest.wrmsr(EFER, guest.rdmsr(EFER) ^ 1n);
    expect(svmOf(guest).vmcb.get32(0x0c0) & 0x3ff).toBe(0x3ff & ~(1 << 5));
    expect(svmOf(guest).vmcb.get(Save.Efer) & 1n).toBe(guest.rdmsr(EFER) & 1n);
  });
});
