import { expect, test } from "vitest";
import { buildProgramOf } from "../../cli/build/build.ts";
import type { Machine } from "../../cli/qemu/machine.ts";
import { boot, sheer, verdicts } from "./pc.ts";

const seconds = 120;
/** Where the attacking device is. */
const EDU = ["-device", "edu,addr=5,dma_mask=0xffffffffffffffff"];

async function attack(iommu: string, settings = ""): Promise<Machine> {
  const program = await buildProgramOf("guest/programs/dma.ts");
  const extra = ["-device", iommu, ...EDU];
  const machine = await boot(sheer(settings), { kind: "efi", program, arguments: "" }, { cpus: 1, extra });
  await machine.waitFor(machine.console, /^@@ dma-done/m, seconds);
  return machine;
}

test.each(["intel-iommu", "amd-iommu"])(
  "behind QEMU's %s no device of the guest's reaches Sheer's block",
  async (iommu) => {
    const machine = await attack(iommu);
    expect(verdicts(machine.console.text)).toEqual({
      "block-found": "ok",
      "device-found": "ok",
      "device-reaches-memory": "ok",
      "device-does-not-write-block": "ok",
      "device-does-not-read-block": "ok",
    });
    if (iommu === "intel-iommu") await machine.waitFor(machine.log, /device 00:05\.0 was refused address 0x/, seconds);
  },
);

test("where Sheer is to leave the IOMMU to the guest, the same device reads and writes the block", async () => {
  const machine = await attack("intel-iommu", "memory.dma=off");
  expect(verdicts(machine.console.text)).toMatchObject({
    "device-reaches-memory": "ok",
    "device-does-not-write-block": "wrong",
    "device-does-not-read-block": "wrong",
  });
});
