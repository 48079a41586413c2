import { expect } from "vitest";
import type { Emulator } from "../../cli/emulator/emulator.ts";
import { isContained, readGuestReport } from "../../cli/guest/report.ts";

const rounds = 20;

/** Steps for the guest: switches the second processor off and on, and has it count to something each time it is on. */
export const offAndOn = `
online=/sys/devices/system/cpu/cpu1/online
for round in $(seq ${rounds}); do
  echo 0 >$online && [ "$(cat /sys/devices/system/cpu/online)" = 0 ] && say "off $round"
  echo 1 >$online && [ "$(taskset 2 cut -d ' ' -f 39 /proc/self/stat)" = 1 ] && say "on $round"
done
say "afterwards"
report_processors
ping -c 2 -W 2 "$gateway" >/dev/null && say "gateway answers again"
`;

/** Each round was done, both processors are contained afterwards, and the network goes on. */
export function expectOffAndOn({ console, log }: Emulator): void {
  const { text } = console;
  for (const word of ["off", "on"])
    expect(text.match(new RegExp(`^@@ ${word} \\d+$`, "gm")), word).toHaveLength(rounds);
  const { processors } = readGuestReport(text.slice(text.indexOf("@@ afterwards")));
  expect(processors.filter(isContained).map(({ apic }) => apic)).toEqual([0, 1]);
  expect(text).toContain("@@ gateway answers again");
  expect(log.text).not.toContain("error");
}
