import { expect, test } from "vitest";
import { isContained, readGuestReport } from "../../cli/guest/report.ts";
import { expectOffAndOn, offAndOn } from "./off-and-on.ts";
import { boot, debian, sheer } from "./pc.ts";
import { askTheKernel, signatures } from "./signatures.ts";

test.each([2, 4])(
  "of %i, each goes offline and online again, as often as the guest likes, and stays contained",
  async (cpus) => {
    const machine = await boot(sheer(), await debian(offAndOn), { cpus });
    expect(await machine.waitForEnd(240)).toBe(0);
    expectOffAndOn(machine, cpus);
  },
);

test.each([2, 4])(
  "a restart goes through the firmware into Sheer again, on all of %i; then the guest switches off",
  async (cpus) => {
    // The console tells the guest how to end.
    const steps = `${askTheKernel}; say "how to end?"; read -r answer; [ "$answer" = restart ] && reboot -f`;
    const machine = await boot(sheer(), await debian(steps), { cpus, reboot: true });
    await machine.waitFor(machine.console, /^@@ how to end/m, 180);
    machine.console.write("restart\n");
    await machine.waitFor(machine.console, /(^@@ how to end[^]*){2}/m, 180);
    machine.console.write("switch off\n");
    expect(await machine.waitForEnd(60)).toBe(0);
    expect(machine.log.text.split(`${cpus} of ${cpus} processors run the guest`)).toHaveLength(3);
    const numbers = Array.from({ length: cpus }, (_, number) => number);
    const twice = [...numbers, ...numbers]; // before and after
    const { processors } = readGuestReport(machine.console.text);
    expect(processors.filter(isContained).map(({ apic }) => apic)).toEqual(twice);
    expect(signatures(machine)).toEqual({ sheer: twice, others: [] });
    expect(machine.console.text.match(/^@@ ping ok$/gm)).toHaveLength(2);
    expect(machine.console.text).toContain("@@ done");
  },
);
