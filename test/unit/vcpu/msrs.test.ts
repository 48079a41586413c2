// Model-specific registers as the guest finds them (AMD64 Architecture Programmer's Manual volume 2, appendix A).
import { describe, expect, test } from "vitest";
import type { Machine } from "../../../machine/machine.ts";
import { Msr } from "../../../machine/msrs.ts";
import { Exit, Save } from "../../../machine/svm/vmcb.ts";
import { boot, EXCEPTION } from "./setup.ts";

const SVME = 1n << 12n;
const LMSLE = 1n << 13n;
const { generalProtection } = EXCEPTION;

/** That a write meets #GP(0), and changes nothing. */
function expectRefused({ guest }: Machine, index: number, value: bigint): void {
  const before = guest.rdmsr(index);
  expect(guest.fault(() => guest.wrmsr(index, value))).toMatchObject({ vector: generalProtection, error: 0 });
  expect(guest.rdmsr(index)).toBe(before);
}

describe("EFER", () => {
  test("shows SVME clear and keeps it set", () => {
    const { guest } = boot();
    const before = guest.rdmsr(Msr.Efer);
    expect(before).toBe(0xd01n);
    guest.wrmsr(Msr.Efer, before & ~0x800n);
    expect(guest.rdmsr(Msr.Efer)).toBe(0x501n);
    expect(guest.processor.vmcb.get(Save.Efer)).toBe(0x501n | SVME);
  });

  test("refuses SVME: the guest's processor has no AMD-V", () => {
    const machine = boot();
    expectRefused(machine, Msr.Efer, machine.guest.rdmsr(Msr.Efer) | SVME);
  });

  test.each([1, 2, 7, 9, 16, 22, 32, 63])("refuses reserved bit %i", (bit) => {
    const machine = boot();
    expectRefused(machine, Msr.Efer, machine.guest.rdmsr(Msr.Efer) | (1n << BigInt(bit)));
  });

  test("refuses to leave long mode while paging is on", () => {
    expectRefused(boot(), Msr.Efer, 0xc01n);
  });

  test("does not take LMA from a write: it is the processor's own", () => {
    const { guest } = boot();
    guest.wrmsr(Msr.Efer, 0x901n);
    expect(guest.rdmsr(Msr.Efer)).toBe(0xd01n);
  });

  test("has LMSLE unless CPUID 8000_0008 says that it has not", () => {
    const { guest } = boot({ cpu: { leaves: { 0x8000_000a: [1, 16, 0, 1 | (1 << 20)] } } });
    guest.wrmsr(Msr.Efer, 0xd01n | LMSLE);
    expect(guest.rdmsr(Msr.Efer)).toBe(0xd01n | LMSLE);
    expectRefused(boot({ cpu: { leaves: { 0x8000_0008: [0x3028, 1 << 20, 0, 0] } } }), Msr.Efer, 0xd01n | LMSLE);
  });
});

describe("AMD-V's registers", () => {
  test("VM_CR says that AMD-V is off and locked, and keeps that", () => {
    const { guest, msrs } = boot();
    const real = msrs.read(Msr.VmCr);
    expect(guest.rdmsr(Msr.VmCr)).toBe(0x18n);
    guest.wrmsr(Msr.VmCr, 0n);
    expect(guest.rdmsr(Msr.VmCr)).toBe(0x18n);
    expect(msrs.read(Msr.VmCr)).toBe(real);
  });

  test("VM_HSAVE_PA shows nothing of Sheer's page and cannot be moved", () => {
    const machine = boot();
    const real = machine.msrs.read(Msr.VmHsavePa);
    expect(real).toBeGreaterThanOrEqual(BigInt(machine.block.base));
    expect(machine.guest.rdmsr(Msr.VmHsavePa)).toBe(0n);
    expectRefused(machine, Msr.VmHsavePa, 0x10_0000n);
    expect(machine.msrs.read(Msr.VmHsavePa)).toBe(real);
  });
});

describe("other registers", () => {
  test.each([0x0000_1234, 0x0000_2000, 0x4000_0000, 0xc000_1fff, 0xc000_2000, 0xc001_2000, 0xffff_ffff])(
    "that do not exist, such as %i, are #GP",
    (index) => {
      const { guest } = boot();
      expect(guest.fault(() => guest.rdmsr(index))).toMatchObject({ vector: generalProtection, error: 0 });
      expect(guest.fault(() => guest.wrmsr(index, 0n))).toMatchObject({ vector: generalProtection, error: 0 });
    },
  );

  test("outside the permission map are the machine's own", () => {
    const { guest } = boot({ lenientMsrs: true });
    expect(guest.rdmsr(0x4b56_4d00)).toBe(0n);
    guest.wrmsr(0x4b56_4d00, 1n);
    expect(guest.exits(Exit.Msr)).toBe(2);
  });

  test("go straight to the processor", () => {
    const { guest, msrs } = boot();
    for (const index of [Msr.SysenterEip, Msr.Lstar, Msr.KernelGsBase, Msr.TscAux, Msr.HwCr, Msr.Pat]) {
      guest.wrmsr(index, 0x0606_0606n);
      expect(guest.rdmsr(index)).toBe(0x0606_0606n);
    }
    expect(msrs.read(Msr.HwCr)).toBe(0x0606_0606n);
    expect(guest.exits(Exit.Msr)).toBe(0);
  });

  test("have a PAT that is the guest's own: at first as the firmware has left it, and the machine's stays so", () => {
    const { guest, msrs } = boot();
    const before = msrs.read(Msr.Pat);
    expect(guest.rdmsr(Msr.Pat)).toBe(before);
    guest.wrmsr(Msr.Pat, 0x0007_0501_0007_0406n);
    expect(guest.rdmsr(Msr.Pat)).toBe(0x0007_0501_0007_0406n);
    expect(msrs.read(Msr.Pat)).toBe(before);
    expect(guest.fault(() => guest.wrmsr(Msr.Pat, 2n))).toMatchObject({ vector: generalProtection, error: 0 });
    expect(guest.exits(Exit.Msr)).toBe(0);
  });

  test("are read into both halves, with the upper halves of the registers clear", () => {
    const { guest } = boot();
    guest.processor.setGpr(2, (1n << 64n) - 1n);
    guest.rdmsr(Msr.Efer);
    expect(guest.processor.gpr(2)).toBe(0n);
    expect(guest.processor.gpr(0)).toBe(0xd01n);
  });
});
