import { expect } from "vitest";
import type { Emulator } from "../../cli/emulator/emulator.ts";
import { isContained, readGuestReport } from "../../cli/guest/report.ts";

const rounds = 20;

/** Steps for the guest: switches each processor but the first off and on, and has it count to something when it is on. */
export const offAndOn = `
for folder in /sys/devices/system/cpu/cpu[1-9]*; do
  number=\${folder##*cpu} all=$(cat /sys/devices/system/cpu/online)
  for round in $(seq ${rounds}); do
    echo 0 >$folder/online && [ "$(cat /sys/devices/system/cpu/online)" != "$all" ] && say "off $number $round"
    echo 1 >$folder/online && [ "$(cat /sys/devices/system/cpu/online)" = "$all" ] &&
      [ "$(taskset $(printf %x $((1 << number))) cut -d ' ' -f 39 /proc/self/stat)" = $number ] && say "on $number $round"
  done
done
say "afterwards"
report_processors
ping -c 2 -W 2 "$gateway" >/dev/null && say "gateway answers again"
`;

/** Each round was done, all processors are contained afterwards, and the network goes on. */
export function expectOffAndOn({ console, log }: Emulator, cpus: number): void {
  const { text } = console;
  const numbers = Array.from({ length: cpus }, (_, number) => number);
  for (const number of numbers.slice(1))
    for (const word of ["off", "on"])
      expect(text.match(new RegExp(`^@@ ${word} ${number} \\d+$`, "gm")), `${word} ${number}`).toHaveLength(rounds);
  const { processors } = readGuestReport(text.slice(text.indexOf("@@ afterwards")));
  expect(processors.filter(isContained).map(({ apic }) => apic)).toEqual(numbers);
  expect(text).toContain("@@ gateway answers again");
  expect(log.text).not.toContain("error");
}
