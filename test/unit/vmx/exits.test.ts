// Exits as only VT-x has them (Intel SDM 3, 28.2 and appendix C): bad input above all.
import { describe, expect, test } from "vitest";
import { EventType } from "../../../machine/guest/events.ts";
import { Msr } from "../../../machine/msrs.ts";
import { ExitReason } from "../../../machine/vmx/exit-reasons.ts";
import { Field } from "../../../machine/vmx/vmcs.ts";
import { readCounters } from "../vcpu/setup.ts";
import { boot } from "./setup.ts";

const INVALID_OPCODE = { type: EventType.Exception, vector: 6, error: undefined };

describe("an exit that nobody has heard of", () => {
  const REASON = 77;

  test("is logged once with all that the processor says of it, and is #UD", () => {
    const { machine, processor } = boot();
    const rip = processor.rip.toString(16);
    const interruption = { type: EventType.Exception, vector: 14, error: 7 };
    for (let i = 0; i < 3; i++) {
      processor.exit(REASON, {
        qualification: 0x1234n,
        guestLinear: 0x5678n,
        guestPhysical: 0x9abcn,
        length: 5,
        interruption,
      });
      expect(processor.injection).toEqual(INVALID_OPCODE);
    }
    const lines = machine.log().match(/.*unknown reason.*/g);
    expect(lines).toHaveLength(1);
    const parts = [
      "reason 77,",
      "qualification 0x1234,",
      "guest-linear address 0x5678,",
      "guest-physical address 0x9abc,",
      "interruption information 0x80000b0e and error code 0x7,",
      "IDT-vectoring information 0x0 ",
      "instruction length 0x5 ",
      `at 0x38:0x${rip},`,
      "CR0 0x80010033,",
    ];
    for (const part of parts) expect(lines![0]).toContain(part);
  });

  test("brings an event again whose delivery it interrupted", () => {
    const { processor } = boot();
    const event = { type: EventType.Nmi, vector: 2, error: undefined };
    processor.exit(REASON, { vectoring: event });
    expect(processor.injection).toEqual(event);
  });

  test.each([9999, 0x7fff])("may have any number: %i", (reason) => {
    const { machine, processor } = boot();
    processor.exit(reason);
    expect(machine.log()).toContain(`unknown reason ${reason},`);
    expect(processor.traps).toEqual([]);
  });

  test("is counted", () => {
    const { machine, processor } = boot();
    const before = readCounters(machine).get("exits.other")!;
    for (let i = 0; i < 3; i++) processor.exit(REASON);
    processor.takeInjection();
    expect(readCounters(machine).get("exits.other")).toBe(before + 3n);
  });
});

describe("CPUID", () => {
  // In IA-32e mode, so that nothing but the code segment says which it is.
  test.each([
    [64, 0xa09bn, 0xffff_fffen, 0x1_0000_0000n],
    [32, 0xc09bn, 0xffff_fffen, 0n],
    [32, 0xc09bn, 0xfffen, 0x1_0000n],
    [16, 0x009bn, 0xfffen, 0n],
  ])("at the end of code of %i bits goes on where that has its next instruction", (_bits, rights, at, next) => {
    const { processor } = boot();
    processor.vmcs.set(Field.CsRights, rights);
    processor.vmcs.set(Field.CsLimit, rights & (1n << 15n) ? 0xffff_ffffn : 0xffffn);
    processor.vmcs.set(Field.Rip, at);
    processor.exit(ExitReason.Cpuid, { length: 2 });
    expect(processor.rip).toBe(next);
  });

  test("ends the shadow of STI and the resume flag, and traps if it is stepped", () => {
    const { processor } = boot();
    const [RF, IF, TF] = [1n << 16n, 1n << 9n, 1n << 8n];
    processor.vmcs.set(Field.Rflags, RF | IF | TF | 2n);
    processor.vmcs.set(Field.Interruptibility, 1n);
    processor.exit(ExitReason.Cpuid, { length: 2 });
    expect(processor.vmcs.get(Field.Interruptibility)).toBe(0n);
    expect(processor.vmcs.get(Field.Rflags)).toBe(IF | TF | 2n);
    expect(processor.vmcs.get(Field.PendingDebug)).toBe(1n << 14n);
  });

  test("ends the shadow of STI on its own as well", () => {
    const { processor } = boot();
    processor.vmcs.set(Field.Rflags, 0x202n);
    processor.vmcs.set(Field.Interruptibility, 1n);
    processor.exit(ExitReason.Cpuid, { length: 2 });
    expect(processor.vmcs.get(Field.Interruptibility)).toBe(0n);
  });
});

describe("a task switch, which VT-x leaves to Sheer and Sheer does not carry out,", () => {
  test("is #UD for the instruction that asks for it, and logged", () => {
    const { machine, processor } = boot();
    processor.exit(ExitReason.TaskSwitch, { qualification: 0x8000_0028n, length: 7 }); // JMP to the TSS at 28h
    expect(processor.injection).toEqual(INVALID_OPCODE);
    expect(machine.log()).toMatch(/a task switch, reason 9, qualification 0x80000028,/);
  });

  test("is a shutdown for an event, which would come here again and again", () => {
    const { machine, processor } = boot();
    const vectoring = { type: EventType.Exception, vector: 8, error: 0 };
    processor.exit(ExitReason.TaskSwitch, { qualification: 0xc000_0028n, vectoring }); // a task gate in the IDT
    expect(machine.log()).toContain("the guest's processor shut down");
  });
});

test("a VMCS field that this processor lacks is told of, and the guest runs without it", () => {
  const { machine } = boot({ vmx: { xsaves: true, missingFields: [Field.XssExitingBitmap] } });
  expect(machine.log()).toContain("lacks the field 0x202c");
  expect(machine.guest.cpuid(0x4000_0000)[0]).toBe(0x4000_0001);
  expect(boot({ vmx: { xsaves: true } }).machine.log()).not.toContain("lacks");
});

describe("IA32_XSS", () => {
  const PROCESSOR_TRACE = 1n << 8n;
  test("takes what the processor has, without an exit", () => {
    const { guest, msrs } = boot({ vmx: { xsaves: true } }).machine;
    guest.wrmsr(Msr.Xss, PROCESSOR_TRACE);
    expect(guest.rdmsr(Msr.Xss)).toBe(PROCESSOR_TRACE);
    expect(msrs.read(Msr.Xss)).toBe(PROCESSOR_TRACE);
    expect(guest.exits("msr")).toBe(0);
  });

  test.each([1n, 7n, 1n << 63n])("is #GP with what it has not: %i", (value) => {
    const { guest } = boot({ vmx: { xsaves: true } }).machine;
    expect(guest.fault(() => guest.wrmsr(Msr.Xss, value))).toMatchObject({ vector: 13, error: 0 });
    expect(guest.rdmsr(Msr.Xss)).toBe(0n);
  });

  test("does not exist without XSAVES", () => {
    const { guest } = boot().machine;
    expect(guest.fault(() => guest.rdmsr(Msr.Xss))).toMatchObject({ vector: 13, error: 0 });
  });
});

test("an INIT signal that a device sends is dropped", () => {
  const { processor } = boot();
  const { rip } = processor;
  processor.exit(ExitReason.Init);
  expect(processor.injection).toBeUndefined();
  expect(processor.rip).toBe(rip);
});
