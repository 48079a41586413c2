// The local APIC's page as the guest finds it (AMD64 Architecture Programmer's Manual volume 2, chapter 16).
import { describe, expect, test } from "vitest";
import { Apic, APIC_BASE, Delivery } from "../../../machine/apic.ts";
import { VENDORS } from "./setup.ts";

const ICR = APIC_BASE + Apic.IcrLow;
const TPR = APIC_BASE + Apic.Tpr;

describe.each(VENDORS)("%s", (_vendor, boot) => {
  describe("INIT and start-up interrupts", () => {
    const commands = [
      ["INIT to all others", 0x000c_4500],
      ["INIT to one", 0x0000_4500],
      ["INIT, deassert", 0x0000_8500],
      ["SIPI to all others", 0x000c_4608],
      ["SIPI to one", 0x0000_4687],
      ["INIT to all, itself too", 0x0008_4500],
    ] as const;

    test.each(commands)("%s does not leave", (_name, command) => {
      const { guest, apic } = boot();
      const before = apic.sent.length;
      guest.write32(APIC_BASE + Apic.IcrHigh, 0x0100_0000);
      guest.write32(ICR, command);
      expect(apic.sent.length).toBe(before);
    });

    test.each([1, 2, 3, 4, 8, 12, 15])("does not leave by an address %i bytes behind the register's", (offset) => {
      const { guest, apic } = boot();
      const before = apic.sent.length;
      guest.write32(ICR + offset, 0x000c_4500);
      expect(apic.sent.length).toBe(before);
    });

    test.each([1, 2, 8] as const)("does not leave by an access of %i bytes", (width) => {
      const { guest, apic } = boot();
      for (let offset = 0; offset < 16; offset += width) guest.write(ICR + offset, width, 0x000c_4500_000c_4500n);
      guest.write(ICR - 4, 8, 0x000c_4500_000c_4500n);
      expect(apic.sent.filter(({ delivery }) => delivery === Delivery.Init)).toEqual([]);
    });
  });

  test("other interprocessor interrupts go out as they are", () => {
    const { guest, apic } = boot();
    const before = apic.sent.length;
    guest.write32(APIC_BASE + Apic.IcrHigh, 0x0500_0000);
    guest.write32(ICR, 0x0000_0433);
    guest.write32(ICR, 0x000c_00f0);
    expect(apic.sent.slice(before)).toEqual([
      { vector: 0x33, delivery: Delivery.Nmi, shorthand: 0, destination: 5 },
      { vector: 0xf0, delivery: Delivery.Fixed, shorthand: 3, destination: 5 },
    ]);
  });

  describe("a task priority", () => {
    test.each([0x00, 0x0f, 0x20, 0x2f, 0xff])("of %i is the real one", (priority) => {
      const { guest, apic } = boot();
      guest.write32(TPR, priority);
      expect(guest.read32(TPR)).toBe(priority);
      expect(apic.readMmio(Apic.Tpr)).toBe(priority);
    });

    test.each([0x10, 0x11, 0x1f])(
      "of class 1, %i, is shown as written and does not hold Sheer's vectors back",
      (priority) => {
        const { guest, apic } = boot();
        guest.write32(TPR, 0x20);
        guest.write32(TPR, priority);
        expect(guest.read32(TPR)).toBe(priority);
        expect(apic.readMmio(Apic.Tpr)).toBe(0);
      },
    );

    test("of class 1 that the firmware left is lifted and still shown", () => {
      const machine = boot({}, ({ apic }) => apic.writeMmio(Apic.Tpr, 4, 0x10));
      expect(machine.guest.read32(TPR)).toBe(0x10);
      expect(machine.apic.readMmio(Apic.Tpr)).toBe(0);
    });

    test.each([1, 2] as const)("is not changed by %i bytes of it", (width) => {
      const { guest, apic } = boot();
      guest.write32(TPR, 0x30);
      guest.write(TPR, width, 0x10n);
      expect([guest.read32(TPR), apic.readMmio(Apic.Tpr)]).toEqual([0x30, 0x30]);
    });

    test("is not changed behind its own address", () => {
      const { guest, apic } = boot();
      guest.write32(TPR, 0x30);
      guest.write32(TPR + 4, 0x10);
      expect([guest.read32(TPR), apic.readMmio(Apic.Tpr)]).toEqual([0x30, 0x30]);
    });
  });

  test("all other registers are the real ones", () => {
    const { guest, apic } = boot();
    expect(guest.read32(APIC_BASE + Apic.Version)).toBe(apic.readMmio(Apic.Version));
    guest.write32(APIC_BASE + Apic.LvtTimer, 0x2_00ef);
    expect(apic.readMmio(Apic.LvtTimer)).toBe(0x2_00ef);
    apic.writeMmio(Apic.Ldr, 4, 0x0200_0000);
    expect(guest.read32(APIC_BASE + Apic.Ldr)).toBe(0x0200_0000);
    expect(guest.read(APIC_BASE + Apic.Ldr, 8)).toBe(0x0200_0000_0200_0000n);
    expect(guest.read(APIC_BASE + Apic.Version, 1)).toBe(BigInt(apic.readMmio(Apic.Version) & 0xff));
  });
});
