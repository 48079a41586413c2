// Exits as only AMD-V has them (AMD64 Architecture Programmer's Manual volume 2, 15.20, 15.21 and appendix C).
import { describe, expect, test } from "vitest";
import { EventType, type GuestEvent } from "../../../machine/guest/events.ts";
import type { Machine } from "../../../machine/machine.ts";
import { Control, Exit, parseEvent } from "../../../machine/svm/vmcb.ts";
import { Command, nmis, send, settle } from "../processors/setup.ts";
import { boot, EXCEPTION, svmOf } from "../vcpu/setup.ts";

const { External, Nmi, Exception } = EventType;
/** Where the guest has no code of its own: hooked by nobody, mapped at boot. */
const PLAIN = 0x30_0000;

test("INVD may be called WBINVD by the processor", () => {
  const machine = boot();
  const { guest } = machine;
  const processor = svmOf(guest);
  machine.memory.writeBytes(guest.code, [0x0f, 0x08]);
  processor.rip = BigInt(guest.code);
  processor.exit(Exit.Wbinvd);
  expect(machine.cacheWriteBacks).toBe(1);
  expect(processor.rip).toBe(BigInt(guest.code) + 2n);
});

describe("an event that an exit interrupted", () => {
  /** What the next VMRUN injects after an exit that came while `interrupted` was being delivered. */
  function injectedAfter({ guest }: Machine, interrupted: GuestEvent | undefined): GuestEvent | undefined {
    svmOf(guest).exit(Exit.NestedPageFault, { info1: (1n << 32n) | 7n, info2: PLAIN, interrupted });
    return guest.processor.injection;
  }

  // Some processors call everything an exception.
  test.each<[string, GuestEvent, GuestEvent]>([
    [
      "an external interrupt",
      { type: Exception, vector: 0x40, error: undefined },
      { type: External, vector: 0x40, error: undefined },
    ],
    ["vector 32", { type: Exception, vector: 32, error: undefined }, { type: External, vector: 32, error: undefined }],
    ["an NMI", { type: Exception, vector: 2, error: undefined }, { type: Nmi, vector: 2, error: undefined }],
  ])("comes again as what it is, though the processor calls it an exception: %s", (_name, interrupted, expected) => {
    expect(injectedAfter(boot(), interrupted)).toEqual(expected);
  });

  test("comes again: #VC, the last exception", () => {
    const event = { type: Exception, vector: 29, error: 1 };
    expect(injectedAfter(boot(), event)).toEqual(event);
  });

  test("is none if the processor only left its old bits", () => {
    const machine = boot();
    const { vmcb, run } = svmOf(machine.guest);
    expect(injectedAfter(machine, undefined)).toBeUndefined();
    vmcb.set(Control.ExitIntInfo, 0x340n);
    vmcb.set(Control.ExitCode, 0x400n);
    vmcb.set(Control.ExitInfo2, BigInt(PLAIN));
    machine.core.exit(run);
    expect(parseEvent(vmcb.get(Control.EventInjection))).toBeUndefined();
  });
});

test("an NMI is no exit on a machine of one processor", () => {
  const { guest, apic } = boot();
  apic.nmi = true;
  guest.cpuid(0);
  expect(guest.received.map(({ type }) => type)).toEqual([Nmi]);
  expect(guest.exits("nmi")).toBe(0);
});

describe("an exit without an instruction of the guest's", () => {
  test.each([0xffff_ffffn, Exit.Invalid])("VMEXIT_INVALID as %i is #GP for the register that was written", (code) => {
    const { guest } = boot();
    const { rip } = guest.processor;
    svmOf(guest).exit(code);
    expect(guest.fault(() => guest.processor.settle())).toMatchObject({
      vector: EXCEPTION.generalProtection,
      error: 0,
    });
    expect(guest.processor.rip).toBe(rip);
  });

  test("INIT is held", () => {
    const { guest } = boot();
    const { rip } = guest.processor;
    svmOf(guest).exit(0x63);
    expect(guest.processor.injection).toBeUndefined();
    expect(guest.processor.rip).toBe(rip);
  });
});

test("an NMI at the IRET of the handler of the last comes after it", () => {
  const machine = boot({ processors: 2 });
  const other = machine.guests[1]!;
  const { processor } = other;
  other.enableInterrupts();
  processor.onExit = (kind) => {
    if (kind !== "iret") return;
    processor.onExit = () => undefined;
    send(machine.guest, Command.Nmi, 1);
  };
  send(machine.guest, Command.Nmi, 1);
  settle(machine);
  expect(nmis(other)).toBe(2);
});
