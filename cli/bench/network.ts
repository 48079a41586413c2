import { SheerError } from "../errors.ts";
import { PingServer } from "../guest/pings.ts";
import { readGuestReport } from "../guest/report.ts";
import type { SheerStart } from "../guest/startup.ts";
import { TransferServer, type Transfer } from "../guest/transfers.ts";
import type { Machine } from "../qemu/machine.ts";
import { bootDebian, instructionShift, type Bench } from "./boots.ts";

/**
 * The other side is a program on the machine that emulates, and by the clock of the wall it decides what is measured: how
 * busy that machine is, when the other side has its turn. What does not depend on that is how many instructions the
 * emulated processor executes, the guest's and Sheer's, for so much data. They are what follows, turned round: data for a
 * number of instructions, so that more is better.
 */
export interface NetworkFigures {
  /** MB of TCP for 10^9 instructions, as the median of several transfers. */
  receive: number;
  send: number;
  /** Round trips of one byte for 10^6 instructions, likewise. */
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
  let machine: Machine | undefined;
  const instructions = (): Promise<number> => machine!.instructions();
  const server = new TransferServer(receiveBytes, instructions);
  const pingServer = new PingServer(pings, instructions);
  await server.listen();
  await pingServer.listen();
  try {
    const start: { first?: number; guest?: number } = {};
    await bootDebian(bench, sheer, {
      pc: { instructionShift },
      append: `sheer.bench=${server.addressInGuest} sheer.pings=${pingServer.addressInGuest}`,
      moreSteps: steps,
      watch: (started) => {
        machine = started;
        const { log } = started;
        log.whenSeen(/^sheer: /, ({ at }) => (start.first = at));
        log.whenSeen(/^sheer: the guest goes on/m, ({ at }) => (start.guest = at));
      },
    });
    const complete = [server.downloads.length - 1, server.uploads.length, pingServer.roundTrips.length];
    const { text } = machine!.console;
    const { memory } = readGuestReport(text);
    if (complete.some((count) => count !== rounds) || memory === undefined)
      throw machine!.failure("The guest did not complete its transfers.");
    return {
      receive: median(server.downloads.slice(1).map(forGiga)),
      send: median(server.uploads.map(forGiga)),
      pings: 1e6 / median(pingServer.roundTrips),
      ...(sheer === undefined ? {} : exitFigures(text)),
      memory,
      ...(start.first === undefined || start.guest === undefined ? {} : { start: (start.guest - start.first) / 1000 }),
    };
  } finally {
    server.close();
    pingServer.close();
  }
}

/** MB for 10^9 instructions. */
function forGiga({ bytes, took }: Transfer): number {
  return bytes / 1e6 / (took / 1e9);
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
