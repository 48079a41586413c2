// CPUID as the guest sees it (AMD64 Architecture Programmer's Manual volume 3, appendix E).
import { describe, expect, test } from "vitest";
import type { CpuidResult } from "../../../machine/cpuid.ts";
import { Machine } from "../../../machine/machine.ts";
import { Gpr } from "../../../machine/guest/state.ts";
import { LOG, VENDORS } from "./setup.ts";

const HYPERVISOR = 1 << 31;
const OSXSAVE = 1 << 27;
const X2APIC = 1 << 21;
const VMX = 1 << 5;
const SVM = 1 << 2;
const SKINIT = 1 << 12;
const PKU = 1 << 3;
const OSPKE = 1 << 4;
const CR4_OSXSAVE = 1n << 18n;
const CR4_PKE = 1n << 22n;

describe.each(VENDORS)("%s", (_vendor, boot) => {
  describe("Sheer's leaves", () => {
    test("have the signature and the version", () => {
      const { guest } = boot();
      const [highest, ...signature] = guest.cpuid(0x4000_0000);
      expect(highest).toBe(0x4000_0001);
      expect(Buffer.from(Uint32Array.from(signature).buffer).toString()).toBe("SheerSheerSh");
      expect(guest.cpuid(0x4000_0001)).toEqual([0x0000_0100, 0, 0, 0]);
      expect(guest.cpuid(1)[2] & HYPERVISOR).not.toBe(0);
    });

    test("are no more than they say", () => {
      const { guest } = boot({ cpu: { leaves: { 0x4000_0002: [1, 2, 3, 4], 0x4fff_ffff: [1, 2, 3, 4] } } });
      expect(guest.cpuid(0x4000_0002)).toEqual([0, 0, 0, 0]);
      expect(guest.cpuid(0x4fff_ffff)).toEqual([0, 0, 0, 0]);
    });

    test("are not there with stealth, nor is another hypervisor's", () => {
      const leaves: Record<number, CpuidResult> = {
        1: [0x0060_0fb1, 0, (HYPERVISOR | VMX) >>> 0, 0x178b_fbff],
        0x4000_0000: [0x4000_0001, 0x4b4d_564b, 0x564b_4d56, 0x4d],
      };
      const { guest } = boot({ loadOptions: `sheer.efi ${LOG} stealth=on`, cpu: { leaves } });
      expect(guest.cpuid(1)[2] & HYPERVISOR).toBe(0);
      for (const leaf of [0x4000_0000, 0x4000_0001]) expect(guest.cpuid(leaf)).toEqual([0, 0, 0, 0]);
    });
  });

  describe("virtualization", () => {
    test("is not there: neither AMD's nor Intel's", () => {
      const features = new Machine().cpuid.query(0x8000_0001, 0);
      const leaves: Record<number, CpuidResult> = {
        1: [0x0060_0fb1, 0, VMX, 0x178b_fbff],
        0x8000_0001: [features[0], features[1], features[2] | SKINIT, features[3]],
      };
      const { guest } = boot({ cpu: { leaves } });
      expect(guest.cpuid(1)[2] & VMX).toBe(0);
      expect(guest.cpuid(0x8000_0001)).toEqual([features[0], features[1], features[2] & ~SVM, features[3]]);
      expect(guest.cpuid(0x8000_000a)).toEqual([0, 0, 0, 0]);
    });
  });

  describe("features that mirror CR4", () => {
    test("OSXSAVE is what the guest has set, not what the processor has while Sheer runs", () => {
      const { guest, cpuid } = boot();
      expect(guest.cpuid(1)[2] & OSXSAVE).toBe(0);
      guest.writeCr(4, guest.readCr(4) | CR4_OSXSAVE);
      expect(guest.cpuid(1)[2] & OSXSAVE).not.toBe(0);
      guest.writeCr(4, guest.readCr(4) & ~CR4_OSXSAVE);
      cpuid.osxsave = true;
      expect(guest.cpuid(1)[2] & OSXSAVE).toBe(0);
    });

    test("OSPKE too, in subleaf 0 of leaf 7", () => {
      const { guest } = boot({ cpu: { leaves: { 7: [0, 0, PKU, 0] } } });
      expect(guest.cpuid(7)[2]).toBe(PKU);
      guest.writeCr(4, guest.readCr(4) | CR4_PKE);
      expect(guest.cpuid(7)[2]).toBe(PKU | OSPKE);
      expect(guest.cpuid(7, 1)[2]).toBe(PKU);
    });

    test("OSPKE is clear while the guest has not set it", () => {
      const { guest } = boot({ cpu: { leaves: { 7: [0, 0, PKU | OSPKE, 0] } } });
      expect(guest.cpuid(7)[2]).toBe(PKU);
    });
  });

  test.each([true, false])("x2APIC is there if the processor has it: %s", (x2apic) => {
    const { guest } = boot({ cpu: { x2apic } });
    expect((guest.cpuid(1)[2] & X2APIC) !== 0).toBe(x2apic);
  });

  test.each([0, 0xd, 0x8000_0000, 0x8000_0002, 0x8000_0008, 0x1234_5678])(
    "leaf %s is the processor's own, in all subleaves",
    (leaf) => {
      const { guest, cpuid } = boot();
      for (const subleaf of [0, 1, 2, 9, 62])
        expect(guest.cpuid(leaf, subleaf)).toEqual(cpuid.query(leaf, subleaf).map((value) => value >>> 0));
    },
  );

  test("clears the upper halves of its registers and leaves the others", () => {
    const { guest } = boot();
    const { processor } = guest;
    for (const register of [Gpr.Rbx, Gpr.Rsi, Gpr.R8]) processor.setGpr(register, 0xffff_ffff_1111_2222n);
    guest.cpuid(0);
    for (const register of [Gpr.Rax, Gpr.Rbx, Gpr.Rcx, Gpr.Rdx]) expect(processor.gpr(register) >> 32n).toBe(0n);
    expect(processor.gpr(Gpr.Rsi)).toBe(0xffff_ffff_1111_2222n);
    expect(processor.gpr(Gpr.R8)).toBe(0xffff_ffff_1111_2222n);
  });
});
