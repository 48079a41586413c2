import { expect, test } from "vitest";
import { readGuestReport } from "../../cli/guest/report.ts";
import { boot, debian, sheer } from "./pc.ts";

/** Tells when the card's function has gone and when it is back, what it is then, and whether it works. */
const steps = `
card=/sys/bus/pci/devices/0000:01:00.0
await() { for i in $(seq 120); do "$@" && return; sleep 1; done; return 1; }
gone() { ! [ -e $card ]; }
back() { [ -e $card/virtio*/net/eth0 ]; }
say "ready"
await gone && say "gone"
await back && say "back $(content $card/vendor):$(content $card/device)"
connect
dmesg | grep -E 'nobody cared|BUG:|WARNING: CPU' | while read -r line; do say "complaint $line"; done
`;

test("a mediated card can be pulled out of its slot and plugged in again", async () => {
  const machine = await boot(sheer(), await debian(steps, "pci=assign-busses"), {
    nic: "none",
    extra: [
      ...["-device", "pcie-root-port,id=socket,addr=4,chassis=1,slot=1"],
      ...["-netdev", "user,id=net,ipv6=off", "-device", "e1000e,id=first,bus=socket,netdev=net,romfile="],
    ],
  });
  await machine.waitFor(machine.console, /^@@ ready/m, 180);
  await machine.qmp.execute("device_del", { id: "first" });
  await machine.waitFor(machine.console, /^@@ gone/m, 120);
  await machine.qmp.execute("device_add", {
    driver: "e1000e",
    id: "second",
    bus: "socket",
    netdev: "net",
    romfile: "",
  });
  expect(await machine.waitForEnd(180)).toBe(0);

  const { text } = machine.console;
  expect(readGuestReport(text)).toMatchObject({ cards: [{ slot: "0000:01:00.0", id: "1af4:1000" }], done: true });
  expect(text).toMatch(/^@@ back 0x1af4:0x1000$/m);
  // Before it was pulled, and since it is back.
  expect(text.match(/^@@ lease 10\.0\.2\.15$/gm)).toHaveLength(2);
  expect(text.match(/^@@ ping ok$/gm)).toHaveLength(2);
  expect(text).not.toMatch(/^@@ complaint/m);
});
