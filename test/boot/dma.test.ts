import { expect, test } from "vitest";
import { buildProgramOf } from "../../cli/build/build.ts";
import type { Machine } from "../../cli/qemu/machine.ts";
import { boot, sheer, verdicts } from "./pc.ts";

const seconds = 120;
/** The attacking devices, at 00:05.0: QEMU's for teaching, and a second network card, which Sheer passes to the guest. */
const DEVICES = {
  edu: "edu,addr=5,dma_mask=0xffffffffffffffff",
  e1000: "e1000,addr=5,mac=52:54:00:12:34:57,romfile=",
};
type Device = keyof typeof DEVICES;

async function attack(iommu: string, device: Device, settings = ""): Promise<Machine> {
  const program = await buildProgramOf("guest/programs/dma.ts");
  const extra = ["-device", iommu, "-device", DEVICES[device]];
  const start = sheer(`device=pass,slot=00:05.0 ${settings}`);
  const machine = await boot(start, { kind: "efi", program, arguments: "" }, { cpus: 1, extra });
  await machine.waitFor(machine.console, /^@@ dma-done/m, seconds);
  return machine;
}

test.each<[Device, string]>([
  ["edu", "intel-iommu"],
  ["edu", "amd-iommu"],
  ["e1000", "intel-iommu"],
  ["e1000", "amd-iommu"],
])("no %s that the guest has behind QEMU's %s reaches Sheer's block", async (device, iommu) => {
  const machine = await attack(iommu, device);
  expect(verdicts(machine.console.text)).toEqual({
    "block-found": "ok",
    "device-found": "ok",
    "device-reaches-memory": "ok",
    "device-does-not-write-block": "ok",
    "device-does-not-read-block": "ok",
  });
  // QEMU's amd-iommu notes nothing of what it refuses.
  if (iommu === "intel-iommu") await machine.waitFor(machine.log, /device 00:05\.0 was refused address 0x/, seconds);
});

test.each<Device>(["edu", "e1000"])(
  "where Sheer is to leave the IOMMU to the guest, the same %s reads and writes the block",
  async (device) => {
    const machine = await attack("intel-iommu", device, "memory.dma=off");
    expect(verdicts(machine.console.text)).toMatchObject({
      "device-reaches-memory": "ok",
      "device-does-not-write-block": "wrong",
      "device-does-not-read-block": "wrong",
    });
  },
);
