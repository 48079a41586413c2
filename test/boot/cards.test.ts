import { expect, test } from "vitest";
import { isContained, readGuestReport } from "../../cli/guest/report.ts";
import { boot, debian, sheer } from "./pc.ts";

test("a card without MSI is shown as a virtio-net without MSI-X, behind Intel's IOMMU", async () => {
  const machine = await boot(sheer(), await debian(), { nic: "e1000", extra: ["-device", "intel-iommu"] });
  expect(await machine.waitForEnd(180)).toBe(0);
  const report = readGuestReport(machine.console.text);
  expect(report).toMatchObject({ cards: [{ id: "1af4:1000", class: "0200" }], ping: true, done: true });
  expect(report.interrupts).toEqual([expect.stringMatching(/IO-APIC.*virtio0$/)]);
  expect(machine.log.text).toContain("devices are fenced off");
  expect(machine.log.text).not.toContain("was refused");
});

/**
 * Creates a variable of the firmware's, reads it and deletes it; before it looks, the file system asks the firmware anew.
 * Linux guards variables that it does not know against deletion, but knows this one: a number of 16 bits, here 0x42.
 */
const variableSteps = `
folder=/sys/firmware/efi/efivars
variable=$folder/BootNext-8be4df61-93ca-11d2-aa0d-00e098032b8c
look() {
  umount $folder 2>/dev/null
  mount -t efivarfs efivarfs $folder
  if [ -e $variable ]; then say "variable $1: $(tail -c 2 $variable | tr -d '\\000')"; else say "variable $1: none"; fi
}
modprobe efivarfs
look before
printf '\\007\\000\\000\\000\\102\\000' >$variable
look created
rm -f $variable
look deleted
`;

test("without a network card, and with one processor, everything passes through; the firmware keeps the guest's variables", async () => {
  const machine = await boot(sheer(), await debian(variableSteps), { nic: "none", cpus: 1 });
  expect(await machine.waitForEnd(180)).toBe(0);
  expect(machine.log.text).toContain("the guest goes on");
  const report = readGuestReport(machine.console.text);
  expect(report).toMatchObject({ cards: [], done: true });
  expect(report.processors.map(isContained)).toEqual([true]);
  expect(machine.console.text.match(/@@ variable .*/g)?.map((line) => line.trim())).toEqual([
    "@@ variable before: none",
    "@@ variable created: B",
    "@@ variable deleted: none",
  ]);
});
