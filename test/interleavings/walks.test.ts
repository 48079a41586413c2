// Accessed and dirty bits against a change that another of the guest's processors makes: the change stands, and nobody
// writes to a page whose entry was taken away without the dirty bit.
import { expect, describe, test } from "vitest";
import { Explorer, type Scenario } from "./explore.ts";
import { Processors, Violation } from "./processors.ts";

const DIRTY = 0x40;

/** What the guest makes of the entry: write-protected, or not present. */
const CHANGES = [0x1001, 0];

function scenario({ processors }: Explorer, entry: number, value: number, walk: () => number): Scenario {
  return {
    programs: [walk, () => processors.core.exchangeEntry!(entry, value)],
    observe: () => ({
      finish: ([allowed, taken]) => {
        const now = Number(processors.read64(entry) & 0xffff_ffffn);
        if (now !== value) throw new Violation(`the guest's entry ${value} has become ${now}`);
        if (allowed && (taken! & DIRTY) === 0)
          throw new Violation("a write to a page whose entry went without dirty bit");
      },
    }),
  };
}

describe.each([
  ["4-byte", 0],
  ["8-byte", 1],
])("%s entries", (_name, long) => {
  const processors = new Processors();
  const entry = processors.core.makeGuestTables!(long);
  processors.ready(0x12_0000);
  const explorer = new Explorer(processors);

  test.each(CHANGES)("a change to %i is not lost in any schedule", (value) => {
    const walk = () => processors.core.walkForWrite!();
    expect(explorer.every(scenario(explorer, entry, value, walk))).toBeGreaterThan(3);
  });

  test.each(CHANGES)("a change to %i is lost when the bits are set by a read and a write", (value) => {
    const walk = () => processors.core.walkCarelessly!(entry);
    expect(() => explorer.every(scenario(explorer, entry, value, walk))).toThrow(/has become|without dirty/);
  });
});
