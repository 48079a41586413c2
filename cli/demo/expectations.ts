import { isContained, type GuestProcessor } from "../guest/report.ts";
import type { DemoResult } from "./demo.ts";
import { demoProcessors, downloadBytes, uploadBytes } from "./workload.ts";

export type Seen = Omit<DemoResult, "missing" | "serialEnds">;

interface Expectation {
  what: string;
  met: (seen: Seen) => boolean;
}

function onlyCard(seen: Seen, id: string): boolean {
  const [card, ...others] = seen.guest.cards;
  return others.length === 0 && card?.id === id && card.class === "0200";
}

function onAllProcessors(processors: GuestProcessor[]): boolean {
  return processors.length === demoProcessors && processors.every(isContained);
}

/** Is there a message-signalled interrupt whose name in /proc/interrupts ends so? */
function hasMessageInterrupt(seen: Seen, ending: string): boolean {
  return seen.guest.interrupts.some((line) => /PCI-MSI/.test(line) && line.endsWith(ending));
}

const withSheer: Expectation[] = [
  { what: "Sheer's first line on its log", met: ({ times }) => times.Sheer !== undefined },
  { what: "the guest going on under Sheer", met: ({ times }) => times["guest goes on"] !== undefined },
  {
    what: "the SHA-256 of dist/core.wasm in Sheer's log",
    met: ({ core }) => core.logged !== undefined && core.logged === core.built,
  },
  { what: `Sheer on each of ${demoProcessors} processors`, met: ({ guest }) => onAllProcessors(guest.processors) },
  { what: "exactly one network card, virtio-net 1af4:1000 of class 0200", met: (seen) => onlyCard(seen, "1af4:1000") },
  { what: "an MSI-X vector for virtio-net's configuration", met: (seen) => hasMessageInterrupt(seen, "-config") },
  { what: "an MSI-X vector for virtio-net's input", met: (seen) => hasMessageInterrupt(seen, "-input.0") },
  { what: "an MSI-X vector for virtio-net's output", met: (seen) => hasMessageInterrupt(seen, "-output.0") },
  { what: "Sheer's version, asked for by the guest", met: ({ guest }) => guest.sheer["version"] !== undefined },
  {
    what: "Sheer's count of exits, asked for by the guest",
    met: ({ guest }) => Object.keys(guest.sheer).some((name) => name.startsWith("exits.")),
  },
];

const bare: Expectation[] = [
  { what: "exactly one network card, Intel 8086:10d3 of class 0200", met: (seen) => onlyCard(seen, "8086:10d3") },
];

/** What the network has to show; the hashes are those of what was served and of what should have come back. */
function network(downloadHash: string, uploadHash: string): Expectation[] {
  return [
    { what: "an address leased by DHCP", met: ({ guest }) => guest.lease !== undefined },
    { what: "the gateway's answer to a ping", met: ({ guest }) => guest.ping },
    {
      what: "a download of 64 MiB with the right SHA-256 in the guest",
      met: ({ guest }) => guest.download?.sha256 === downloadHash && guest.download.bytes === downloadBytes,
    },
    {
      what: "an upload of 32 MiB with the right SHA-256 at the server",
      met: ({ upload }) => upload?.sha256 === uploadHash && upload.bytes === uploadBytes,
    },
    { what: "the guest's init coming to its end", met: ({ guest }) => guest.done },
  ];
}

export function unmetExpectations(seen: Seen, downloadHash: string, uploadHash: string): string[] {
  const expectations = [...(seen.withSheer ? withSheer : bare), ...network(downloadHash, uploadHash)];
  return expectations.filter(({ met }) => !met(seen)).map(({ what }) => what);
}
