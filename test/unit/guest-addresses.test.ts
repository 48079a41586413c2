// Every address that the guest names passes guestMemory.permits before Sheer or a device touches memory there. Physical
// memory is reached by the imports of src/metal.ts alone: here is why each file that has them may.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const source = fileURLToPath(new URL("../../src", import.meta.url));

/** The guest names the addresses: asked in the file itself. */
const ASKS = "asks guestMemory.permits";
/** The guest's code, where decode/place.ts has found it. */
const PLACE = "goes where decode/place.ts has asked";
/** Pieces of a virtqueue's chain. */
const CHAIN = "goes where drivers/net/virtio/queue.ts has asked";
/** Registers and tables whose places Sheer knows by itself: a device's registers, its own rings, the local APIC. */
const OWN = "knows the address";
/** At boot: what firmware has written, which is trusted as far. */
const FIRMWARE = "is told by the firmware";

const REASONS: Record<string, string> = {
  "boot/acpi.ts": FIRMWARE,
  "boot/drivers.ts": FIRMWARE,
  "boot/firmware.ts": FIRMWARE,
  "boot/graphics.ts": FIRMWARE,
  "boot/options.ts": FIRMWARE,
  "decode/bus.ts": ASKS,
  "decode/fast.ts": PLACE,
  "decode/length.ts": PLACE,
  "drivers/net/broadcom/checksum.ts": CHAIN,
  "drivers/net/broadcom/descriptors.ts": OWN,
  "drivers/net/broadcom/receive.ts": OWN,
  "drivers/net/broadcom/registers.ts": OWN,
  "drivers/net/broadcom/status.ts": OWN,
  "drivers/net/intel/receive.ts": OWN,
  "drivers/net/intel/registers.ts": OWN,
  "drivers/net/intel/transmit.ts": OWN,
  "drivers/net/segments.ts": CHAIN,
  "drivers/net/virtio/control.ts": CHAIN,
  "drivers/net/virtio/queue.ts": ASKS,
  "drivers/net/virtio/receive.ts": CHAIN,
  "interrupt/apic.ts": OWN,
  "iommu/amd/ivrs.ts": FIRMWARE,
  "iommu/amd/unit.ts": OWN,
  "iommu/intel/dmar.ts": FIRMWARE,
  "iommu/intel/unit.ts": OWN,
  "log/screen.ts": ASKS,
  "memory/translate.ts": ASKS,
  "pci/mcfg.ts": FIRMWARE,
  "pci/widths.ts": OWN,
  "power/definition-block.ts": FIRMWARE,
  "power/guard.ts": FIRMWARE,
  "vcpu/segments.ts": FIRMWARE,
  "vcpu/svm/exit.ts": PLACE,
  "vcpu/vcpu.ts": FIRMWARE,
};

const textOf = (file: string): string => readFileSync(join(source, file), "utf8");
const files = readdirSync(source, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".ts"));
const reaching = files.filter(
  (file) => file !== "metal.ts" && /\bphys(Read|Write|Copy|CompareExchange)/.test(textOf(file)),
);

test("every file that reaches physical memory has its reason", () => {
  expect(reaching.sort()).toEqual(Object.keys(REASONS).sort());
});

test.each(Object.keys(REASONS).filter((file) => REASONS[file] === ASKS))("%s asks", (file) => {
  expect(textOf(file)).toContain("guestMemory.permits(");
});

test("who looks for the guest's code asks for the whole page", () => {
  expect(textOf("decode/place.ts")).toContain("guestMemory.permits(code & ~(PAGE - 1), PAGE)");
});
