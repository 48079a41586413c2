// Model-specific registers as the guest finds them (AMD64 Architecture Programmer's Manual volume 2, appendix A; Intel SDM 4).
import { describe, expect, test } from "vitest";
import type { Machine } from "../../../machine/machine.ts";
import { Msr } from "../../../machine/msrs.ts";
import { EXCEPTION, VENDORS } from "./setup.ts";

const SVME = 1n << 12n;
const { generalProtection } = EXCEPTION;

/** That a write meets #GP(0), and changes nothing. */
function expectRefused({ guest }: Machine, index: number, value: bigint): void {
  const before = guest.rdmsr(index);
  expect(guest.fault(() => guest.wrmsr(index, value))).toMatchObject({ vector: generalProtection, error: 0 });
  expect(guest.rdmsr(index)).toBe(before);
}

describe.each(VENDORS)("%s", (_vendor, boot) => {
  describe("EFER", () => {
    test("is the firmware's, and keeps what it may be set to", () => {
      const { guest } = boot();
      const before = guest.rdmsr(Msr.Efer);
      expect(before).toBe(0xd01n);
      guest.wrmsr(Msr.Efer, before & ~0x800n);
      expect(guest.rdmsr(Msr.Efer)).toBe(0x501n);
    });

    test("refuses SVME: no guest's processor has AMD-V", () => {
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
      expect(guest.exits("msr")).toBe(2);
    });

    test("go straight to the processor", () => {
      const { guest, msrs } = boot();
      for (const index of [Msr.SysenterEip, Msr.Lstar, Msr.KernelGsBase, Msr.TscAux, Msr.Pat]) {
        guest.wrmsr(index, 0x0606_0606n);
        expect(guest.rdmsr(index)).toBe(0x0606_0606n);
      }
      expect(msrs.read(Msr.TscAux)).toBe(0x0606_0606n);
      expect(guest.exits("msr")).toBe(0);
    });

    test("have a PAT that is the guest's own: at first as the firmware has left it, and the machine's stays so", () => {
      const { guest, msrs } = boot();
      const before = msrs.read(Msr.Pat);
      expect(guest.rdmsr(Msr.Pat)).toBe(before);
      guest.wrmsr(Msr.Pat, 0x0007_0501_0007_0406n);
      expect(guest.rdmsr(Msr.Pat)).toBe(0x0007_0501_0007_0406n);
      expect(msrs.read(Msr.Pat)).toBe(before);
      expect(guest.fault(() => guest.wrmsr(Msr.Pat, 2n))).toMatchObject({ vector: generalProtection, error: 0 });
      expect(guest.exits("msr")).toBe(0);
    });

    test("are read into both halves, with the upper halves of the registers clear", () => {
      const { guest } = boot();
      guest.processor.setGpr(2, (1n << 64n) - 1n);
      guest.rdmsr(Msr.Efer);
      expect(guest.processor.gpr(2)).toBe(0n);
      expect(guest.processor.gpr(0)).toBe(0xd01n);
    });
  });
});
