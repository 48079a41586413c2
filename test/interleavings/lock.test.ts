// Ticket locks under chosen schedules: one processor at a time, in the order of asking, and none left out.
import { describe, expect, test } from "vitest";
import { Explorer, type Scenario } from "./explore.ts";
import { Note } from "./notes.ts";
import { Processors, Violation } from "./processors.ts";
import { favouring, randomNumbers, randomSchedule, starving } from "./schedules.ts";

const processors = new Processors();
processors.ready();
const { core } = processors;
const explorer = new Explorer(processors);

/** Each processor takes the lock so many times. */
function users(rounds: readonly number[], use = (n: number): number => core.useLock!(n)): Scenario {
  return { programs: rounds.map((n) => () => use(n)), observe: () => fairness(rounds) };
}

/**
 * What a fair lock promises. The order of asking is the order in which processors come to the front of the atomic
 * addition; whoever asks waits at most for one turn of each of the others.
 */
function fairness(rounds: readonly number[]): ReturnType<Scenario["observe"]> {
  const queue: number[] = [];
  const turnsWaited = rounds.map(() => 0);
  let holder = -1;
  let turns = 0;
  return {
    accessed: (processor, name) => {
      if (name === "add") queue.push(processor);
    },
    note: (processor, what) => {
      if (what === Note.Leave) {
        holder = -1;
        return;
      }
      if (holder >= 0) throw new Violation(`processor ${processor} enters while ${holder} is inside`);
      if (queue.shift() !== processor) throw new Violation(`processor ${processor} is served out of turn`);
      holder = processor;
      turns++;
      turnsWaited[processor] = 0;
      for (const waiting of queue) {
        if (++turnsWaited[waiting]! >= rounds.length) throw new Violation(`processor ${waiting} waits too long`);
      }
    },
    finish: () => {
      const expected = rounds.reduce((sum, n) => sum + n, 0);
      if (turns !== expected) throw new Violation(`${turns} turns, not ${expected}`);
    },
  };
}

describe("a ticket lock", () => {
  test.each<[string, number[], number?]>([
    ["two processors, once each", [1, 1]],
    ["two processors, twice each, with six changes", [2, 2], 6],
    ["one that takes it again and again, and one", [4, 1]],
    ["three processors, once each, with three changes", [1, 1, 1], 3],
  ])("is exclusive, in order and fair in every schedule of %s", (_name, rounds, changes) => {
    expect(explorer.every(users(rounds), changes)).toBeGreaterThan(1);
  });

  test("is so for four processors in random and hostile schedules", () => {
    explorer.random(users([3, 3, 3, 3]), 10_000);
  });

  test("lets nobody starve: a processor that goes on only when nobody else can still gets its turn", () => {
    const mixed = randomSchedule(randomNumbers(7), 3);
    for (let victim = 0; victim < 4; victim++) {
      explorer.one(users([100, 100, 100, 100]), starving(victim, mixed));
      explorer.one(users([100, 100, 100, 100]), favouring(victim, mixed));
    }
  });

  test("is released by releaseAll as by its holder, in every schedule", () => {
    const { observe } = users([1, 1, 1]);
    const programs = [() => core.trapWithLock!(), () => core.useLock!(1), () => core.trapWithLock!()];
    expect(explorer.every({ programs, observe }, 3)).toBeGreaterThan(1);
  });
});

describe("the explorer", () => {
  const broken: Scenario = {
    programs: [() => core.useBrokenLock!(), () => core.useBrokenLock!()],
    observe: () => ({ ...fairness([1, 1]), ...exclusion() }),
  };

  function exclusion(): ReturnType<Scenario["observe"]> {
    let inside = 0;
    return {
      note: (processor, what) => {
        inside += what === Note.Enter ? 1 : -1;
        if (inside > 1) throw new Violation(`processor ${processor} is not alone`);
      },
      finish: () => undefined,
    };
  }

  test("finds that a lock without an atomic exchange does not exclude, and replays how", () => {
    let found = "";
    try {
      explorer.every(broken);
    } catch (error) {
      found = (error as Error).message;
    }
    expect(found).toMatch(/^processor [01] is not alone; replay\("[01]+"\)$/);
    const digits = /"([01]+)"/.exec(found)![1]!;
    expect(() => explorer.replay(broken, digits)).toThrow(found);
  });
});
