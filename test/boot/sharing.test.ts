// One interrupt line for three: the mediated card, the SD host controller that is its second function, and a card of the
// guest's. All work at once; a status of the first that were never 0 would keep the others from being served.
import { createHash, randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readGuestReport } from "../../cli/guest/report.ts";
import { TransferServer } from "../../cli/guest/transfers.ts";
import { makeTemporaryFolder } from "../temporary.ts";
import { boot, debian, sheer } from "./pc.ts";

const mebibyte = 1024 * 1024;

/** Both cards fetch at once, each from its own network, while the SD card is read. */
const steps = `
for name in eth0 eth1; do
  case $(content /sys/class/net/$name/device/vendor) in
    0x1af4) mediated=$name ;;
    *) own=$name ;;
  esac
done
ip addr flush dev eth0
ip route flush table main
for name in $own $mediated; do
  ip link set $name up
  [ $name = $own ] && net=3 || net=2
  ip addr add 10.0.$net.15/24 dev $name
done
port=$(setting port)
fetch() { wget -q -O - "http://10.0.$1.2:$port/download" | sha256sum | cut -d ' ' -f 1; }
modprobe -q mmc_block
(for i in 1 2 3; do say "own $(fetch 3)"; done) &
(for i in 1 2 3; do say "mediated $(fetch 2)"; done) &
(for i in 1 2 3; do
  echo 3 >/proc/sys/vm/drop_caches
  say "sd $(sha256sum /dev/mmcblk0 | cut -d ' ' -f 1)"
done) &
wait
grep -E 'virtio|mmc|eth' /proc/interrupts | tr -s ' ' | while read -r line; do say "line $line"; done
dmesg | grep -iE 'nobody cared|disabling irq' | while read -r line; do say "storm $line"; done
`;

function said(console: string, name: string): string[] {
  return [...console.matchAll(new RegExp(`^@@ ${name} (.*)$`, "gm"))].map(([, value]) => value!);
}

test("a mediated card shares its interrupt line with its second function and with another card", async () => {
  const image = join(makeTemporaryFolder(), "sd.img");
  const content = randomBytes(8 * mebibyte);
  writeFileSync(image, content);
  const server = new TransferServer(8 * mebibyte);
  await server.listen();
  // Not as sheer.server: init would look for that on either card's network, and it is on the first card's alone.
  const [, port] = server.addressInGuest.split(":");
  const linux = await debian(steps, `pci=nomsi sheer.port=${port}`);
  const machine = await boot(sheer(), linux, {
    nic: "none",
    extra: [
      ...["-netdev", "user,id=first,ipv6=off", "-netdev", "user,id=second,ipv6=off,net=10.0.3.0/24"],
      ...["-device", "e1000e,netdev=first,addr=2.0,multifunction=on,romfile="],
      ...["-device", "sdhci-pci,addr=2.1"],
      ...["-drive", `if=none,id=sd,format=raw,file=${image}`, "-device", "sd-card,drive=sd"],
      ...["-device", "e1000,netdev=second,addr=6,romfile="],
    ],
  });
  expect(await machine.waitForEnd(300).finally(() => server.close())).toBe(0);

  const { text } = machine.console;
  const report = readGuestReport(text);
  expect(report.done).toBe(true);
  expect(report.cards.map(({ id }) => id)).toEqual(["1af4:1000", "8086:100e"]);
  expect(said(text, "mediated")).toEqual(Array(3).fill(server.sha256));
  expect(said(text, "own")).toEqual(Array(3).fill(server.sha256));
  expect(said(text, "sd")).toEqual(Array(3).fill(createHash("sha256").update(content).digest("hex")));
  expect(said(text, "storm")).toEqual([]);
  const [line] = said(text, "line");
  for (const name of ["virtio0", "mmc0", "eth"]) expect(line).toContain(name);
});
