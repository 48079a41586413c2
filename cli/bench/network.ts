import { SheerError } from "../errors.ts";
import { readGuestReport } from "../guest/report.ts";
import type { SheerStart } from "../guest/startup.ts";
import { TransferServer, type Transfer } from "../guest/transfers.ts";
import { bootDebian, type Bench } from "./boots.ts";

export interface NetworkFigures {
  /** MB/s of TCP, as the median of several transfers measured on this side. */
  receive: number;
  send: number;
  /** What Linux found to use, in KiB. */
  memory: number;
  /** Seconds from Sheer's first line in its log to its guest's first step. */
  start?: number;
}

const mebibyte = 1024 * 1024;
const receiveBytes = 64 * mebibyte;
const sendBytes = 32 * mebibyte;
const rounds = 5;

/** The transfers alone: nothing is hashed or stored on the guest's side while they run. */
const steps = `
address=$(setting bench)
wget -q -O /tmp/content "http://$address/download"
dd if=/tmp/content of=/tmp/upload bs=1M count=${sendBytes / mebibyte} 2>/dev/null
rm /tmp/content
for round in $(seq ${rounds}); do
  wget -q -O /dev/null "http://$address/download"
  wget -q -O /dev/null --post-file /tmp/upload "http://$address/upload"
done
`;

/** One boot of Debian that sends and receives. */
export async function measureNetwork(bench: Bench, sheer: SheerStart | undefined): Promise<NetworkFigures> {
  const server = new TransferServer(receiveBytes);
  await server.listen();
  try {
    const start: { first?: number; guest?: number } = {};
    const machine = await bootDebian(bench, sheer, {
      append: `sheer.bench=${server.addressInGuest}`,
      moreSteps: steps,
      watch: ({ log }) => {
        log.whenSeen(/^sheer: /, ({ at }) => (start.first = at));
        log.whenSeen(/^sheer: the guest goes on/m, ({ at }) => (start.guest = at));
      },
    });
    const complete = server.downloads.length === rounds + 1 && server.uploads.length === rounds;
    const { memory } = readGuestReport(machine.console.text);
    if (!complete || memory === undefined) throw machine.failure("The guest did not complete its transfers.");
    return {
      receive: medianSpeed(server.downloads.slice(1)),
      send: medianSpeed(server.uploads),
      memory,
      ...(start.first === undefined || start.guest === undefined ? {} : { start: (start.guest - start.first) / 1000 }),
    };
  } finally {
    server.close();
  }
}

function medianSpeed(transfers: Transfer[]): number {
  const speeds = transfers.map(({ bytes, seconds }) => bytes / 1e6 / seconds).sort((a, b) => a - b);
  const median = speeds[Math.floor(speeds.length / 2)];
  if (median === undefined) throw new SheerError("There was no transfer to measure.");
  return median;
}
