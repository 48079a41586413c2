// A mediated card that is function 0 of a device with others.
import { expect, test } from "vitest";
import { CapabilityId } from "../../../machine/pci/capabilities.ts";
import { Config } from "../../../machine/pci/function.ts";
import { addFunction, bootWith, guestFunction, idAt, VIRTIO_NET } from "./setup.ts";

const SLOT = "00:02.0";
const MULTIFUNCTION = 0x80;

test.each(["ports", "ecam"] as const)("stays so, with its PCI Express capability and without its MSI, by %s", (way) => {
  const pc = bootWith({}, (bare) => {
    bare.card.pci.set(Config.HeaderType, 1, MULTIFUNCTION);
    addFunction(bare, "00:02.1");
  });
  expect([idAt(pc, SLOT, way), idAt(pc, "00:02.1", way)]).toEqual([VIRTIO_NET, 0x5678_1234]);
  const pci = guestFunction(pc, SLOT, way);
  expect(pci.read(Config.HeaderType, 1)).toBe(MULTIFUNCTION);
  expect(pci.capability(CapabilityId.MsiX)).toBeDefined();
  for (const hidden of [CapabilityId.Msi, CapabilityId.PowerManagement]) expect(pci.capability(hidden)).toBeUndefined();
  const real = pc.card.pci;
  let there: number = real.get(Config.Capabilities, 1);
  while (real.get(there, 1) !== CapabilityId.Express) there = real.get(there + 1, 1);
  const at = pci.capability(CapabilityId.Express)!;
  expect(pci.read(at + 1, 1)).toBe(0);
  for (let offset = 2; offset < 0x14; offset += 2) expect(pci.read(at + offset, 2)).toBe(real.get(there + offset, 2));
  // A reset by the guest's hand would be one of Sheer's card.
  const before = [...real.config];
  pci.write(at + 8, 2, 0xffff);
  expect([...real.config]).toEqual(before);
});

test("the only function of a device shows nothing of the card's", () => {
  const pc = bootWith({});
  expect(guestFunction(pc, SLOT).capability(CapabilityId.Express)).toBeUndefined();
});
