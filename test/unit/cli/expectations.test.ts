import { expect, test } from "vitest";
import { downloadBytes, uploadBytes } from "../../../cli/demo/workload.ts";
import { unmetExpectations, type Seen } from "../../../cli/demo/expectations.ts";

const perfect: Seen = {
  withSheer: true,
  guest: {
    kernel: "6.1",
    cards: [{ slot: "0000:00:02.0", id: "1af4:1000", class: "0200" }],
    interrupts: [
      "24: 0 PCI-MSI 1-edge virtio0-config",
      "25: 9 PCI-MSI 2-edge virtio0-input.0",
      "26: 9 PCI-MSI 3-edge virtio0-output.0",
    ],
    lease: "10.0.2.15",
    ping: true,
    download: { sha256: "d", bytes: downloadBytes, seconds: 1 },
    processors: [0, 1].map((number) => ({ number, apic: number, cpuidExits: 1000 })),
    sheer: { version: "0.1.0", "exits.cpuid": "1" },
    done: true,
  },
  upload: { sha256: "u", bytes: uploadBytes, took: 1 },
  times: { Sheer: 1, "guest goes on": 2 },
  core: { built: "c", logged: "c" },
};

const card = perfect.guest.cards[0]!;

/** How many expectations a demonstration that differs from a perfect one leaves unmet. */
function unmet(guest: Partial<Seen["guest"]>, other: Partial<Seen> = {}): number {
  return unmetExpectations({ ...perfect, ...other, guest: { ...perfect.guest, ...guest } }, "d", "u").length;
}

test("a perfect demonstration leaves nothing unmet", () => {
  expect(unmet({})).toBe(0);
});

test.each<[string, Partial<Seen["guest"]>, Partial<Seen>]>([
  ["a second network card", { cards: [card, { ...card, slot: "0000:00:03.0" }] }, {}],
  ["no network card", { cards: [] }, {}],
  ["the card itself", { cards: [{ ...card, id: "8086:10d3" }] }, {}],
  ["another class", { cards: [{ ...card, class: "0280" }] }, {}],
  ["a missing vector", { interrupts: perfect.guest.interrupts.slice(1) }, {}],
  ["a processor that stayed off", { processors: perfect.guest.processors.slice(1) }, {}],
  ["a processor outside Sheer", { processors: [perfect.guest.processors[0]!, { number: 1, apic: 1 }] }, {}],
  ["no ping", { ping: false }, {}],
  ["a download of other bytes", { download: { sha256: "x", bytes: downloadBytes, seconds: 1 } }, {}],
  ["a short download", { download: { sha256: "d", bytes: 1, seconds: 1 } }, {}],
  ["an upload of other bytes", {}, { upload: { sha256: "x", bytes: uploadBytes, took: 1 } }],
  ["another core than the one built", {}, { core: { built: "c", logged: "x" } }],
  ["a core that is not logged", {}, { core: { built: "c" } }],
  ["no exits counted", { sheer: { version: "0.1.0" } }, {}],
  ["an init that did not end", { done: false }, {}],
])("%s is noticed", (_, guest, other) => {
  expect(unmet(guest, other)).toBe(1);
});
