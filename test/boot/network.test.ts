import { expect, test } from "vitest";
import { readGuestReport } from "../../cli/guest/report.ts";
import { TransferServer } from "../../cli/guest/transfers.ts";
import { boot, debian, sheer } from "./pc.ts";

const mebibyte = 1024 * 1024;

/**
 * Sends the interrupts of virtio-net's queues to each of the two processors in turn, and uses the network: a line
 * `counts STEP IRQ COUNT0 COUNT1` for each interrupt after each step.
 */
const steps = `
count_interrupts() {
  grep -E 'virtio0-(input|output)' /proc/interrupts | while read -r irq first second rest; do
    say "counts $1 \${irq%:} $first $second"
  done
}
for irq in $(grep -E 'virtio0-(input|output)' /proc/interrupts | cut -d : -f 1); do
  echo 1 >/proc/irq/$irq/smp_affinity
done
connect; download $server; upload $server $(setting upload)
count_interrupts before
for irq in $(grep -E 'virtio0-(input|output)' /proc/interrupts | cut -d : -f 1); do
  echo 2 >/proc/irq/$irq/smp_affinity
done
connect; download $server; upload $server $(setting upload)
count_interrupts after
`;

/** What `count_interrupts` said at a step: a pair of counts, one for each processor, for each interrupt. */
function countsAt(step: string, console: string): Record<string, [number, number]> {
  const found = [...console.matchAll(new RegExp(`^@@ counts ${step} (\\d+) (\\d+) (\\d+)$`, "gm"))];
  return Object.fromEntries(found.map(([, irq, first, second]) => [irq!, [Number(first), Number(second)]]));
}

test("the network card's interrupts come to the processor that the guest sends them to, behind AMD's IOMMU", async () => {
  const server = new TransferServer(8 * mebibyte);
  await server.listen();
  const upload = 4 * mebibyte;
  const linux = await debian(steps, `sheer.server=${server.addressInGuest} sheer.upload=${upload}`);
  const machine = await boot(sheer(), linux, { cpus: 2, extra: ["-device", "amd-iommu"] });
  expect(await machine.waitForEnd(240).finally(() => server.close())).toBe(0);

  expect(machine.log.text).toContain("devices are fenced off");
  expect(machine.log.text).not.toContain("was refused");
  const { text } = machine.console;
  expect(readGuestReport(text).done).toBe(true);
  // Once on the way to the steps, and once at each processor.
  expect(text.match(/^@@ lease 10\.0\.2\.15$/gm)).toHaveLength(3);
  expect(text.match(/^@@ ping ok$/gm)).toHaveLength(3);
  expect(text.match(new RegExp(`^@@ download sha256=${server.sha256} `, "gm"))).toHaveLength(3);
  expect(server.uploads.map(({ sha256 }) => sha256)).toEqual(Array(3).fill(server.uploadSha256(upload)));

  const before = countsAt("before", text);
  const after = countsAt("after", text);
  expect(Object.keys(before)).toHaveLength(2);
  for (const [irq, [first, second]] of Object.entries(after)) {
    const [firstBefore, secondBefore] = before[irq]!;
    // One may have been on its way when it was moved.
    expect(first - firstBefore).toBeLessThanOrEqual(1);
    expect(second - secondBefore).toBeGreaterThan(5);
  }
});
