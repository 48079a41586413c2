/** What the guest told on its console on lines that begin with "@@" (see guest/init). */
export interface GuestReport {
  /** The processor's time-stamp counter when init began. */
  clock?: number;
  kernel?: string;
  /** What Linux found to use, in KiB. */
  memory?: number;
  cards: NetworkCard[];
  /** Lines of /proc/interrupts that belong to the network card. */
  interrupts: string[];
  lease?: string;
  ping: boolean;
  download?: GuestTransfer;
  upload?: GuestTransfer;
  /** All that are online, each as the guest saw it when it ran there. */
  processors: GuestProcessor[];
  /** What sheerctl said, by name: "version", "exits.cpuid" and so on. */
  sheer: Record<string, string>;
  /** Did the guest's init come to its end? */
  done: boolean;
}

export interface NetworkCard {
  slot: string;
  /** Vendor and device, as in "1af4:1000". */
  id: string;
  /** Class and subclass, as in "0200". */
  class: string;
}

export interface GuestProcessor {
  number: number;
  /** Its local APIC's. */
  apic: number;
  /** How many exits of all processors came while it carried out 1000 CPUIDs; undefined if it is outside Sheer. */
  cpuidExits?: number;
}

export interface GuestTransfer {
  sha256: string;
  bytes: number;
  seconds: number;
}

type Reader = (report: GuestReport, value: string) => void;

const readers: Record<string, Reader> = {
  clock: (report, value) => (report.clock = Number(value)),
  kernel: (report, value) => (report.kernel = value),
  memory: (report, value) => (report.memory = parseInt(value, 10)),
  nic: (report, value) => {
    const [slot = "", id = "", kind = ""] = value.split(" ");
    report.cards.push({ slot, id, class: kind });
  },
  irq: (report, value) => report.interrupts.push(value),
  lease: (report, value) => (report.lease = value),
  ping: (report, value) => (report.ping = value === "ok"),
  download: (report, value) => (report.download = transferFrom(value)),
  upload: (report, value) => (report.upload = transferFrom(value)),
  processor: (report, value) => {
    const found = /^(\d+) apic (\d+) (?:outside Sheer|on Sheer, 1000 CPUIDs (\d+) exits)$/.exec(value);
    if (found === null) return;
    const [, number, apic, exits] = found;
    const costs = exits === undefined ? {} : { cpuidExits: Number(exits) };
    report.processors.push({ number: Number(number), apic: Number(apic), ...costs });
  },
  sheerctl: (report, value) => {
    const [name = "", ...rest] = value.split(" ");
    report.sheer[name] = rest.join(" ");
  },
  done: (report) => (report.done = true),
};

export function readGuestReport(console: string): GuestReport {
  const report: GuestReport = {
    cards: [],
    interrupts: [],
    ping: false,
    processors: [],
    sheer: {},
    done: false,
  };
  for (const [, name, value] of console.matchAll(/^@@ (\S+) ?(.*)$/gm)) readers[name!]?.(report, value!.trim());
  return report;
}

/** Does this processor run on Sheer: does CPUID cost an exit there each time? Outside it costs none. */
export function isContained({ cpuidExits = 0 }: GuestProcessor): boolean {
  return cpuidExits >= 1000;
}

/** Reads "sha256=… bytes=… seconds=…"; anything else is a transfer that failed. */
function transferFrom(text: string): GuestTransfer | undefined {
  const found = /sha256=(\S+) bytes=(\d+) seconds=(\S+)/.exec(text);
  if (found === null) return undefined;
  return { sha256: found[1]!, bytes: Number(found[2]), seconds: Number(found[3]) };
}
