// Intel VT-x, which QEMU does not emulate without KVM: Bochs does.
import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { buildProgramOf } from "../../cli/build/build.ts";
import type { Medium } from "../../cli/emulator/medium.ts";
import { makeDebianGuest } from "../../cli/guest/linux.ts";
import { isContained, readGuestReport } from "../../cli/guest/report.ts";
import { startupMedium } from "../../cli/guest/startup.ts";
import { sha256Of, TransferServer } from "../../cli/guest/transfers.ts";
import { makeTemporaryFolder } from "../temporary.ts";
import { grubMedium } from "./grub.ts";
import { bootOnBochs, sheer, showStatus } from "./pc.ts";
import { unpackedKernel } from "./unpacked-kernel.ts";

const mebibyte = 1024 * 1024;

/** Bochs does less in a second than QEMU, and a busy machine less still. */
const seconds = 900;
vi.setConfig({ testTimeout: (seconds + 100) * 1000 });

/** Says what the guest's own drivers read from the disks, but from the large one that it was started from. */
const readDisks = `
await_file() {
  tries=0
  until [ -e "$1" ] || [ $tries = 20 ]; do sleep 1; tries=$((tries + 1)); done
}
await_file /sys/bus/usb/devices/1-1/modalias
load_drivers_of usb
load_drivers_of scsi
await_file /dev/sdc
for disk in /sys/block/sd*; do
  [ $(content $disk/size) -gt ${2 * 2048} ] || say "disk $(readlink -f $disk) $(hash_of /dev/\${disk##*/})"
done
`;

/** Debian's kernel does not test its ciphers and page tables then, on which nothing here depends. */
const brisk = "quiet cryptomgr.notests rodata=off";

/** Sheer, and as its guest GRUB, which boots Debian's kernel unpacked: without all this the test takes four times as long. */
async function briskDebian(append: string): Promise<Medium> {
  const folder = makeTemporaryFolder();
  const { kernel, initrd } = await makeDebianGuest(folder, readDisks);
  const unpacked = join(folder, "vmlinuz");
  await writeFile(unpacked, unpackedKernel(kernel));
  return grubMedium({ kernel: unpacked, initrd }, append);
}

test("Debian as the guest uses virtio-net by INTx, a disk and a USB stick on a processor with VT-x", async () => {
  const server = new TransferServer(mebibyte);
  await server.listen();
  const folder = makeTemporaryFolder();
  const disk = { file: join(folder, "disk.img"), content: randomBytes(mebibyte) };
  const stick = { file: join(folder, "stick.img"), content: randomBytes(mebibyte / 2) };
  for (const { file, content } of [disk, stick]) await writeFile(file, content);
  const append = `console=ttyS0 ${brisk} sheer.server=${server.addressInGuest} sheer.upload=${mebibyte}`;
  const machine = await bootOnBochs(await briskDebian(append), {
    extra: [
      `ata0-slave: type=disk, mode=flat, path=${disk.file}`,
      `usb_ohci: enabled=1, port1=disk, options1="path:${stick.file}, speed:full"`,
    ],
  });
  expect(await machine.waitForEnd(seconds).finally(() => server.close())).toBe(0);

  expect(machine.log.text).toContain("virtio-net in place of network card 8086:100e");
  expect(machine.log.text).not.toMatch(/warning|error/);
  const { text } = machine.console;
  const report = readGuestReport(text);
  expect(report).toMatchObject({
    cards: [{ slot: "0000:00:02.0", id: "1af4:1000", class: "0200" }],
    interrupts: [expect.stringMatching(/^\d+: \d+ XT-PIC ohci_hcd:usb1, virtio0$/)], // they share the line
    lease: "10.0.2.15",
    ping: true,
    download: { sha256: server.sha256 },
    done: true,
  });
  expect(server.uploads.map(({ sha256 }) => sha256)).toEqual([server.uploadSha256(mebibyte)]);
  expect(report.processors.map(isContained)).toEqual([true]);
  expect(report.sheer).toMatchObject({ traps: "0" });
  expect(text).toMatch(new RegExp(`^@@ disk \\S*/ata\\d/\\S* ${sha256Of(disk.content)}$`, "m"));
  expect(text).toMatch(new RegExp(`^@@ disk \\S*/usb1/\\S* ${sha256Of(stick.content)}$`, "m"));
});

/** EFI_UNSUPPORTED, as the shell shows it: without the topmost bit. */
const notSupported = "0x3";

test.each([
  ["without VT-x", "prescott", [], /Sheer needs a processor with Intel VT-x, which this one lacks/],
  ["without extended page tables", "penryn", [], /Sheer needs a processor with extended page tables/],
  ["whose firmware has locked VMX off", "haswell", ["lock-vmx.efi"], /Intel VT-x, which the firmware has disabled/],
] as const)("a machine %s is told so and goes on", async (_, processor, before, sentence) => {
  const lines = [...before, `sheer.efi ${sheer().settings}`, ...showStatus];
  const medium = startupMedium(undefined, { kind: "shell", lines });
  medium.files["sheer.efi"] = { copyOf: sheer().efi };
  medium.files["lock-vmx.efi"] = { copyOf: await buildProgramOf("guest/programs/lock-vmx.ts") };
  const machine = await bootOnBochs(medium, { processor });
  await machine.waitFor(machine.console, /^the shell goes on/m, seconds);
  expect(machine.console.text.replaceAll("\n", " ")).toMatch(sentence);
  expect(machine.console.text).toContain(`status ${notSupported}\n`);
  expect(machine.log.text).not.toContain("the guest goes on");
});
