// The scheduler under chosen schedules: no wake-up is lost, no stack is used twice at a time or freed twice, and every
// thread that is ready gets its turn.
import { describe, expect, test } from "vitest";
import { Explorer, type Scenario } from "./explore.ts";
import { Note } from "./notes.ts";
import { Processors, Violation, type World } from "./processors.ts";

const Work = { Turns: 0, Items: 1, Times: 2, Trap: 3 } as const;
const ANYWHERE = -1;
/** STACKS of src/threads/scheduler.ts. */
const STACKS = 16;

interface Worker {
  readonly work: number;
  readonly rounds: number;
  /** The only processor that it runs on. */
  readonly processor?: number;
}

/** A core with these threads, started. */
function explorerWith(workers: readonly Worker[], { oneProcessor = false, started = true } = {}): Explorer {
  const processors = new Processors();
  const { core } = processors;
  processors.add(3);
  for (const { work, rounds, processor } of workers) core.addWorker!(work, rounds, processor ?? ANYWHERE);
  core.useOneProcessor!(Number(oneProcessor));
  if (started) workers.forEach((_, i) => core.startWorker!(i));
  processors.ready();
  return new Explorer(processors);
}

type Observer = World & { finish?: (results: readonly number[]) => void };

/** Each thread in one place at a time, to its end, which is the end of its stack's use. */
function lives(
  { processors }: Explorer,
  expected: readonly number[],
  more: () => Observer = () => ({}),
): () => Observer {
  return () => {
    const inside = new Map<number, number>();
    const rounds = expected.map(() => 0);
    const others = more();
    return {
      ...others,
      note: (processor, what, value) => {
        others.note?.(processor, what, value);
        if (what === Note.Enter) {
          if (inside.has(value)) throw new Violation(`thread ${value} runs twice at a time`);
          inside.set(value, processor);
          rounds[value]!++;
        } else if (what === Note.Leave) inside.delete(value);
      },
      finish: (results) => {
        others.finish?.(results);
        if (rounds.join() !== expected.join()) throw new Violation(`rounds ${rounds.join()}, not ${expected.join()}`);
        if (processors.core.takeFreeStacks!() !== STACKS) throw new Violation("a stack is not freed");
      },
    };
  };
}

describe("no wake-up is lost", () => {
  test.each([
    ["one item from each of two processors", 1, 2],
    ["two items from each of two processors", 2, 2],
  ])("in every schedule with %s", (_name, items, changes) => {
    const explorer = explorerWith([{ work: Work.Items, rounds: 2 * items }]);
    const { core } = explorer.processors;
    const programs = [() => core.serve!(0, items), () => core.serve!(0, items)];
    expect(explorer.every({ programs, observe: lives(explorer, [2 * items]) }, changes)).toBeGreaterThan(100);
  });

  test("at random, with two threads and three processors", () => {
    const explorer = explorerWith([
      { work: Work.Items, rounds: 4 },
      { work: Work.Items, rounds: 2 },
    ]);
    const { core } = explorer.processors;
    const programs = [() => core.serve!(0, 2), () => core.serve!(0, 2), () => core.serve!(1, 2)];
    explorer.random({ programs, observe: lives(explorer, [4, 2]) }, 10_000);
  });

  test("by a processor that is in the guest, and has the thread for its own", () => {
    const explorer = explorerWith([{ work: Work.Items, rounds: 2, processor: 1 }]);
    const { core } = explorer.processors;
    const where = (): Observer => ({
      note: (processor, what) => {
        if (what === Note.Enter && processor !== 1) throw new Violation("a pinned thread runs elsewhere");
      },
    });
    const programs = [() => core.serve!(0, 2), () => core.runGuestUntilEnd!()];
    const scenario: Scenario = { programs, observe: lives(explorer, [2], where) };
    expect(explorer.every(scenario, 2)).toBeGreaterThan(100);
    explorer.random(scenario, 5000);
  });
});

test("a sleep ends when its time has come", () => {
  const explorer = explorerWith([
    { work: Work.Times, rounds: 3 },
    { work: Work.Times, rounds: 2 },
  ]);
  const { core } = explorer.processors;
  const programs = [() => core.serve!(0, 0), () => core.serve!(0, 1)];
  explorer.random({ programs, observe: lives(explorer, [3, 2]) }, 2000);
});

describe("a stack", () => {
  test("is freed when its thread ends, once, however often and by whom the thread is started", () => {
    const explorer = explorerWith([{ work: Work.Turns, rounds: 1 }], { started: false });
    const { core } = explorer.processors;
    const observe = (): Observer => {
      let finished = 0;
      return {
        note: (_processor, what) => {
          if (what === Note.Finished) finished++;
        },
        finish: (results) => {
          const started = results.reduce((sum, n) => sum + n, 0);
          if (started !== finished || started === 0) throw new Violation(`${started} starts, ${finished} ends`);
          if (core.takeFreeStacks!() !== STACKS) throw new Violation("a stack is not freed");
        },
      };
    };
    const programs = [() => core.restart!(0, 2), () => core.restart!(0, 2)];
    expect(explorer.every({ programs, observe }, 2)).toBeGreaterThan(100);
    explorer.random({ programs, observe }, 10_000);
  });

  test("is freed when its thread traps, and the others go on", () => {
    const explorer = explorerWith([
      { work: Work.Trap, rounds: 1 },
      { work: Work.Turns, rounds: 3 },
    ]);
    const { core } = explorer.processors;
    const recovery = (): Observer => ({
      recover: () => core.recover!(),
      note: (_processor, what, value) => {
        if (what === Note.Abandoned && value !== 1) throw new Violation("the trap is not the thread's");
      },
      finish: () => {
        if (core.deaths!() !== 1) throw new Violation(`${core.deaths!()} deaths`);
      },
    });
    const programs = [() => core.serve!(0, 0), () => core.serve!(0, 0)];
    const scenario = { programs, observe: lives(explorer, [1, 3], recovery) };
    expect(explorer.every(scenario, 2)).toBeGreaterThan(100);
    explorer.random(scenario, 5000);
  });
});

describe("turns", () => {
  const busy = [4, 4, 4].map((rounds) => ({ work: Work.Turns, rounds }));

  test("come to every thread: none runs twice while another is in the queue", () => {
    const explorer = explorerWith(busy);
    const { core } = explorer.processors;
    const fairness = (): Observer => {
      const since = busy.map(() => busy.map(() => 0));
      return {
        note: (_processor, what, value) => {
          if (what !== Note.Enter) return;
          since[value]!.fill(0);
          since.forEach((turns, waiting) => {
            if (!core.isReady!(waiting)) return;
            if (++turns[value]! > 1) throw new Violation(`thread ${value} runs twice while ${waiting} waits`);
          });
        },
      };
    };
    const programs = [0, 1, 2].map(() => () => core.serve!(0, 0));
    explorer.random({ programs, observe: lives(explorer, [4, 4, 4], fairness) }, 10_000);
  });

  test("are all on one processor at a time, if that is set", () => {
    const explorer = explorerWith(busy, { oneProcessor: true });
    const { core } = explorer.processors;
    const alone = (): Observer => {
      let inside = 0;
      return {
        note: (_processor, what) => {
          if (what === Note.Enter && ++inside > 1) throw new Violation("two processors run threads");
          if (what === Note.Leave) inside--;
        },
      };
    };
    const programs = [0, 1, 2].map(() => () => core.serve!(0, 0));
    explorer.random({ programs, observe: lives(explorer, [4, 4, 4], alone) }, 10_000);
  });
});
