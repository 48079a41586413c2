// Accesses that only partly reach a port of Sheer's: each byte goes where it belongs.
import { describe, expect, test } from "vitest";
import { VENDORS } from "./setup.ts";

/** Bus 0, device 2, function 0: the card that Sheer mediates; its register 2Ch, and the real card's MSI address. */
const SUBSYSTEM = 0x8000_102c;
const MSI_ADDRESS = 0x8000_10d4;

describe.each(VENDORS)("%s", (_vendor, boot) => {
  test("a read across the border of a hook shows the mediated card, not the real one", () => {
    const { guest } = boot({ cards: [{ model: "82574L" }] });
    guest.out(0xcf8, 4, SUBSYSTEM);
    const whole = guest.in(0xcfc, 4);
    expect(whole).toBe(0x0001_1af4);
    // Ports 0xCFA and 0xCFB have nothing of their own to say here; 0xCFC and 0xCFD are the card's.
    expect(guest.in(0xcfa, 4) >>> 16).toBe(whole & 0xffff);
    expect(guest.in(0xcfe, 4) & 0xffff).toBe(whole >>> 16);
  });

  test("a write across the border of a hook never reaches the real card", () => {
    const machine = boot({ cards: [{ model: "82574L" }] });
    const { guest } = machine;
    guest.out(0xcf8, 4, MSI_ADDRESS);
    const real = [...machine.card.pci.config];
    guest.out(0xcfb, 2, 0xfc80);
    guest.out(0xcfa, 4, 0xfcfc_0000);
    guest.out(0xcfe, 4, 0xfcfc);
    expect([...machine.card.pci.config]).toEqual(real);
  });
});
