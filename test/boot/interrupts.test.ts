import { expect, test } from "vitest";
import { readGuestReport } from "../../cli/guest/report.ts";
import { boot, debian, sheer } from "./pc.ts";

// How the guest has its card's interrupts, and by which of the two interfaces, is its own choice (the card is an 82574L).

test("a guest that wants no MSI has its card's interrupt by INTx", async () => {
  const machine = await boot(sheer(), await debian(undefined, "pci=nomsi"));
  expect(await machine.waitForEnd(180)).toBe(0);
  const { interrupts, ping, done } = readGuestReport(machine.console.text);
  expect({ ping, done }).toEqual({ ping: true, done: true });
  expect(interrupts).toEqual([expect.stringMatching(/IO-APIC.*virtio0$/)]);
});

test("a guest that wants the legacy interface has that", async () => {
  const steps = `say "features $(cat /sys/bus/virtio/devices/virtio0/features)"`;
  const machine = await boot(sheer(), await debian(steps, "virtio_pci.force_legacy=1"));
  expect(await machine.waitForEnd(180)).toBe(0);
  const { interrupts, ping, done } = readGuestReport(machine.console.text);
  expect({ ping, done }).toEqual({ ping: true, done: true });
  expect(interrupts).toHaveLength(3); // MSI-X
  // VERSION_1, bit 32 from the left, was not accepted; MAC, bit 5, was.
  const [, features = ""] = /^@@ features ([01]+)/m.exec(machine.console.text) ?? [];
  expect([features[5], features[32]]).toEqual(["1", "0"]);
});

/** Takes the driver off the card, forbids or allows it MSI, and gives it the card again. */
const switching = `
card=0000:00:02.0 driver=/sys/bus/pci/drivers/virtio-pci
switch() {
  echo $card >$driver/unbind
  echo $1 >/sys/bus/pci/devices/$card/msi_bus
  echo $card >$driver/bind
  say "now $1"; connect; report_interrupts
}
for allowed in 0 1 0 1; do switch $allowed; done
say "now done"
`;

test("a guest changes between MSI-X and INTx at run time, back and forth", async () => {
  const machine = await boot(sheer(), await debian(switching));
  expect(await machine.waitForEnd(240)).toBe(0);
  const [before = "", ...rounds] = machine.console.text.split(/^@@ now (?:0|1|done)\s*$/m);
  const after = rounds.slice(0, -1);
  expect(after).toHaveLength(4);
  const seen = [before, ...after]
    .map(readGuestReport)
    .map(({ ping, interrupts }) => ({ ping, count: interrupts.length }));
  const [messages, line] = [
    { ping: true, count: 3 },
    { ping: true, count: 1 },
  ];
  expect(seen).toEqual([messages, line, messages, line, messages]);
});

/** Says so when the link goes or comes, for as long as the test takes; then whether the gateway answers. */
const watching = `
say "link $(content /sys/class/net/eth0/carrier)"
seen=1 changes=0
while [ $changes -lt 2 ]; do
  now=$(content /sys/class/net/eth0/carrier)
  [ "$now" = "$seen" ] || { say "link $now"; seen=$now changes=$((changes + 1)); }
done
ping -c 2 -W 2 "$gateway" >/dev/null && say "gateway answers again"
`;

test("the guest's link follows the wire", async () => {
  const machine = await boot(sheer(), await debian(watching));
  await machine.waitFor(machine.console, /^@@ link 1/m, 180);
  await machine.qmp.execute("set_link", { name: "net", up: false });
  await machine.waitFor(machine.console, /^@@ link 0/m, 60);
  await machine.qmp.execute("set_link", { name: "net", up: true });
  await machine.waitFor(machine.console, /^@@ link 0[^]*^@@ link 1/m, 60);
  expect(await machine.waitForEnd(60)).toBe(0);
  expect(machine.console.text).toContain("@@ gateway answers again");
});

/** Asks the gateway again and again, while the interrupts of both queues go from one processor to the other and back. */
const soaking = `
pings=/tmp/pings
ping -c 400 -i 0.03 -W 5 "$gateway" >$pings 2>&1 &
moves=0
while jobs | grep -q Running; do
  for irq in $(grep -E 'virtio0-(input|output)' /proc/interrupts | cut -d : -f 1); do
    echo $((moves % 2 + 1)) >/proc/irq/$irq/smp_affinity && moves=$((moves + 1))
  done
done
say "moved $moves times: $(grep transmitted $pings)"
`;

test("no interrupt is lost while the guest moves them between its processors", async () => {
  const machine = await boot(sheer(), await debian(soaking), { cpus: 2 });
  expect(await machine.waitForEnd(240)).toBe(0);
  const found = /^@@ moved (\d+) times: (.*)$/m.exec(machine.console.text) ?? [];
  expect(Number(found[1])).toBeGreaterThan(100);
  expect(found[2]).toContain("400 packets transmitted, 400 packets received, 0% packet loss");
});
