import { expect, test } from "vitest";
import { makeDebianGuest } from "../../cli/guest/linux.ts";
import { readGuestReport } from "../../cli/guest/report.ts";
import { makeTemporaryFolder } from "../temporary.ts";
import { grubMedium } from "./grub.ts";
import { bootFrom } from "./pc.ts";

// GRUB writes to the UART itself, so that its lines come without the firmware's cursor movements.
const commands = `
serial --unit=0 --speed=115200
terminal_output serial
lspci
`;
// Unlike the kernel's own EFI stub, GRUB leaves long mode and enters Linux in 32-bit protected mode.
test("GRUB, as the guest, sees Sheer's virtio-net and boots Debian, which uses it", async () => {
  const linux = await makeDebianGuest(makeTemporaryFolder());
  const machine = await bootFrom(await grubMedium(linux, "console=ttyS0", commands));
  expect(await machine.waitForEnd(180)).toBe(0);
  expect(machine.log.text).toContain("the guest goes on");
  expect(machine.log.text).not.toContain("error");
  // From GRUB's list of PCI functions: nothing else prints one, and only on Sheer does it have this card.
  expect(machine.console.text).toMatch(/^00:02\.0 1af4:1000 \[0200\]/m);
  // GRUB puts BOOT_IMAGE there.
  expect(machine.console.text).toMatch(/Command line: BOOT_IMAGE=\/vmlinuz console=ttyS0$/m);
  const report = readGuestReport(machine.console.text);
  expect(report).toMatchObject({ cards: [{ id: "1af4:1000", class: "0200" }], ping: true, done: true });
  expect(report.sheer["version"]).toBeDefined();
  expect(report.sheer["traps"]).toBe("0");
});
