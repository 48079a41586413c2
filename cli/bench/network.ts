import { SheerError } from "../errors.ts";
import { PingServer } from "../guest/pings.ts";
import { readGuestReport } from "../guest/report.ts";
import type { SheerStart } from "../guest/startup.ts";
import { TransferServer, type Transfer } from "../guest/transfers.ts";
import { bootDebian, type Bench } from "./boots.ts";

export interface NetworkFigures {
  /** MB/s of TCP, as the median of several transfers measured on this side. */
  receive: number;
  send: number;
  /** Round trips of one byte a second, likewise. */
  pings: number;
  /** Exits for each MB received and sent, all that the guest had meanwhile; only with Sheer. */
  receiveExits?: number;
  sendExits?: number;
  /** Exits for each round trip. */
  pingExits?: number;
  /** What Linux found to use, in KiB. */
  memory: number;
  /** Seconds from Sheer's first line in its log to its guest's first step. */
  start?: number;
}

const mebibyte = 1024 * 1024;
const receiveBytes = 64 * mebibyte;
const sendBytes = 32 * mebibyte;
const rounds = 5;
const pings = 2000;

/**
 * The transfers alone: nothing is hashed or stored on the guest's side while they run. Sheer's counters are asked for
 * before and after each kind, which costs some hundred exits by itself.
 */
const steps = `
address=$(setting bench)
pings=$(setting pings)
exits() { [ -x /bin/sheerctl ] && sheerctl | awk '/^exits/ { sum += $2 } END { print sum + 0 }' || echo 0; }
wget -q -O /tmp/content "http://$address/download"
dd if=/tmp/content of=/tmp/upload bs=1M count=${sendBytes / mebibyte} 2>/dev/null
rm /tmp/content
for round in $(seq ${rounds}); do
  e0=$(exits)
  wget -q -O /dev/null "http://$address/download"
  e1=$(exits)
  wget -q -O /dev/null --post-file /tmp/upload "http://$address/upload"
  e2=$(exits)
  nc "\${pings%:*}" "\${pings#*:}" -e /bin/cat
  say "bench exits receive=$((e1 - e0)) send=$((e2 - e1)) pings=$(($(exits) - e2))"
done
`;

/** One boot of Debian that sends and receives. */
export async function measureNetwork(bench: Bench, sheer: SheerStart | undefined): Promise<NetworkFigures> {
  const server = new TransferServer(receiveBytes);
  const pingServer = new PingServer(pings);
  await server.listen();
  await pingServer.listen();
  try {
    const start: { first?: number; guest?: number } = {};
    const machine = await bootDebian(bench, sheer, {
      append: `sheer.bench=${server.addressInGuest} sheer.pings=${pingServer.addressInGuest}`,
      moreSteps: steps,
      watch: ({ log }) => {
        log.whenSeen(/^sheer: /, ({ at }) => (start.first = at));
        log.whenSeen(/^sheer: the guest goes on/m, ({ at }) => (start.guest = at));
      },
    });
    const complete = [server.downloads.length - 1, server.uploads.length, pingServer.rates.length];
    const { memory } = readGuestReport(machine.console.text);
    if (complete.some((count) => count !== rounds) || memory === undefined)
      throw machine.failure("The guest did not complete its transfers.");
    return {
      receive: median(server.downloads.slice(1).map(speed)),
      send: median(server.uploads.map(speed)),
      pings: median(pingServer.rates),
      ...(sheer === undefined ? {} : exitFigures(machine.console.text)),
      memory,
      ...(start.first === undefined || start.guest === undefined ? {} : { start: (start.guest - start.first) / 1000 }),
    };
  } finally {
    server.close();
    pingServer.close();
  }
}

function speed({ bytes, seconds }: Transfer): number {
  return bytes / 1e6 / seconds;
}

/** The exits that the guest counted, for each MB and each round trip. */
export function exitFigures(console: string): Pick<NetworkFigures, "receiveExits" | "sendExits" | "pingExits"> {
  const found = [...console.matchAll(/^@@ bench exits receive=(\d+) send=(\d+) pings=(\d+)/gm)];
  const column = (index: number): number => median(found.map((each) => Number(each[index])));
  return {
    receiveExits: column(1) / (receiveBytes / 1e6),
    sendExits: column(2) / (sendBytes / 1e6),
    pingExits: column(3) / pings,
  };
}

/** The middle one of an odd number of figures. */
export function median(figures: readonly number[]): number {
  const middle = [...figures].sort((a, b) => a - b)[Math.floor(figures.length / 2)];
  if (middle === undefined) throw new SheerError("There was nothing to measure.");
  return middle;
}
