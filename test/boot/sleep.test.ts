import { expect, test } from "vitest";
import { isContained, readGuestReport } from "../../cli/guest/report.ts";
import { boot, debian, sheer } from "./pc.ts";

/** Asks for S3 by the PM1 control register of QEMU's q35 at port 604h: SCI_EN, SLP_EN and the type that its DSDT has for it. */
const askForS3 = `printf '\\x01\\x24' | dd of=/dev/port bs=2 seek=${0x604 / 2} count=1 conv=notrunc 2>/dev/null`;

test("the guest finds no S3, from which it would wake outside Sheer, and asking for it all the same does nothing", async () => {
  const steps = `
say "ways to sleep $(cat /sys/power/mem_sleep)"
${askForS3}; say "asked for S3"
ping -c 2 -W 2 "$gateway" >/dev/null && say "gateway answers again"
say "afterwards"; report_processors
`;
  const machine = await boot(sheer(), await debian(steps), { cpus: 2 });
  expect(await machine.waitForEnd(180)).toBe(0); // S5 is left
  const { text } = machine.console;
  expect(text).toContain("@@ ways to sleep [s2idle]");
  for (const step of ["asked for S3", "gateway answers again", "done"]) expect(text).toContain(`@@ ${step}`);
  const { processors } = readGuestReport(text.slice(text.indexOf("@@ afterwards")));
  expect(processors.filter(isContained).map(({ apic }) => apic)).toEqual([0, 1]);
  expect(machine.log.text).toMatch(
    /wants to sleep in a state that processors would leave without Sheer: ignored, times: 1/,
  );
});
