// See chaos.ts; test/million-actions.ts does the same with a million of each.
import { describe, it } from "vitest";
import { runChaos } from "./chaos.ts";

describe("the device is sound after 1000 random actions of", () => {
  it.each([1, 2])("a hostile driver (sequence %i)", (seed) => {
    runChaos({ seed, actions: 1000 });
  });
  it("a hostile driver that sets up by the legacy interface", () => {
    runChaos({ seed: 3, actions: 1000, interface: "legacy" });
  });
  it("a hostile driver on a hostile card", () => {
    runChaos({ seed: 4, actions: 1000, card: true });
  });
});

it("the device is sound after a card was off its bus while it was told something, as in 10,000 actions of sequence 105", () => {
  runChaos({ seed: 105, actions: 10_000, card: true });
});
