// The buddy allocator under chosen schedules: no page is given out twice, and when all have come back, all is as before.
import { describe, expect, test } from "vitest";
import { Explorer, type Scenario } from "./explore.ts";
import { Note } from "./notes.ts";
import { Processors, Violation } from "./processors.ts";

/** One free block of four pages, as digits: how many of four pages, of two and of one. */
const WHOLE = 100;

function explorerWith(lateMarking: boolean): Explorer {
  const processors = new Processors();
  processors.core.makeBuddy!(Number(lateMarking));
  processors.ready(0x4_0000);
  return new Explorer(processors);
}

/** Processors that take blocks of these orders and give them back. */
function users({ processors }: Explorer, orders: readonly number[], rounds = 1): Scenario {
  return {
    programs: orders.map((order) => () => processors.core.useBuddy!(order, rounds)),
    observe: () => {
      const taken = new Map<number, number>();
      return {
        note: (processor, what, page) => {
          if (what === Note.Leave) taken.delete(page);
          else if (taken.has(page)) throw new Violation(`processors ${taken.get(page)} and ${processor} have one page`);
          else taken.set(page, processor);
        },
        finish: () => {
          const left = processors.core.freeBlocks!();
          if (left !== WHOLE) throw new Violation(`free blocks are left as ${left}`);
        },
      };
    },
  };
}

describe("no page is given out twice, and all come together again", () => {
  const explorer = explorerWith(false);

  test.each<[string, number[], number]>([
    ["of two processors with neighbouring pages", [0, 0], 6],
    ["of two processors with blocks of one page and of two", [0, 1], 6],
  ])("in every schedule %s", (_name, orders, changes) => {
    expect(explorer.every(users(explorer, orders), changes)).toBeGreaterThan(100);
  });

  test.each([[[0, 0, 0]], [[0, 1, 0, 2]]])(
    "in random schedules of processors with orders %j, for whom there is not enough",
    (orders) => {
      explorer.random(users(explorer, orders, 2), 5_000);
    },
  );
});

test("marking a block only after the lock is let go of is found to be wrong", () => {
  const explorer = explorerWith(true);
  expect(() => explorer.every(users(explorer, [0, 0]), 6)).toThrow(/have one page|free blocks are left|unreachable/);
});
