import { expect, test } from "vitest";
import { buildProgramOf } from "../../cli/build/build.ts";
import { isContained, readGuestReport } from "../../cli/guest/report.ts";
import type { Machine } from "../../cli/qemu/machine.ts";
import { boot, debian, sheer, verdicts } from "./pc.ts";

/** Reads Sheer's signature by the kernel's hand, which has each processor read its own CPUID. */
const askTheKernel = `
for cpu in /dev/cpu/[0-9]*; do
  say "signature \${cpu##*/} $(dd if=$cpu/cpuid bs=16 skip=$((0x40000000 / 16)) count=1 2>/dev/null | dd bs=1 skip=4 2>/dev/null)"
done`;

/** The numbers of the processors that show the signature, by what `askTheKernel` said. */
function signed(machine: Machine): string[] {
  return [...machine.console.text.matchAll(/^@@ signature (\d+) SheerSheerSh$/gm)].map(([, number]) => number!);
}

const everyKind = ["alone", "together", "x2apic-alone", "x2apic-together"];

const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

test.each([1, 2, 4])("every one of %i processors is contained", async (cpus) => {
  const machine = await boot(sheer(), await debian(askTheKernel), { cpus });
  expect(await machine.waitForEnd(240)).toBe(0);
  const { processors, ping, done } = readGuestReport(machine.console.text);
  expect({ ping, done }).toEqual({ ping: true, done: true });
  expect(processors.filter(isContained).map(({ apic }) => apic)).toEqual(upTo(cpus));
  expect(processors).toHaveLength(cpus);
  expect(signed(machine)).toEqual(upTo(cpus).map(String));
});

// The tests above would show a processor outside Sheer: without Sheer, where each is, the same look finds each of them.
test("without Sheer the same guest finds both processors outside", async () => {
  const machine = await boot(undefined, await debian(askTheKernel), { cpus: 2 });
  expect(await machine.waitForEnd(120)).toBe(0);
  const { processors } = readGuestReport(machine.console.text);
  expect(processors).toEqual(upTo(2).map((number) => ({ number, apic: number })));
  expect(processors.filter(isContained)).toEqual([]);
  expect(signed(machine)).toEqual([]);
});

test.each([
  [2, true],
  [4, true],
  [2, false],
])("a program has the firmware run code on all of %i processors, which finds Sheer: %s", async (cpus, contained) => {
  const program = await buildProgramOf("guest/programs/multiprocessor.ts");
  const machine = await boot(contained ? sheer() : undefined, { kind: "efi", program, arguments: "" }, { cpus });
  await machine.waitFor(machine.console, /^@@ multiprocessor-done \d+\n/m, 120);
  expect(machine.console.text).toContain(`@@ multiprocessor-done ${cpus}\n`);
  const others = upTo(cpus).slice(1);
  const expected = ["alone", "together"].flatMap((kind) => others.map((apic) => `${kind} ${apic}`));
  const verdict = contained ? "ok" : "wrong";
  expect(verdicts(machine)).toEqual(Object.fromEntries(expected.map((name) => [name, verdict])));
});

test.each([2, 4])("%i processors are contained in x2APIC mode, if this QEMU has it (from 9.0 on)", async (cpus) => {
  const program = await buildProgramOf("guest/programs/multiprocessor.ts");
  const guest = { kind: "efi", program, arguments: "" } as const;
  const machine = await boot(sheer(), guest, { cpus, extra: ["-cpu", "max,+svm,-la57,+x2apic"] });
  await machine.waitFor(machine.console, /^@@ multiprocessor-done \d+\n/m, 120);
  const kinds = machine.complaints.includes("x2apic") ? ["alone", "together"] : everyKind;
  const expected = kinds.flatMap((kind) =>
    upTo(cpus)
      .slice(1)
      .map((apic) => `${kind} ${apic}`),
  );
  expect(verdicts(machine)).toEqual(Object.fromEntries(expected.map((name) => [name, "ok"])));
});
