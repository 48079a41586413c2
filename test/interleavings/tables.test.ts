// Nested page tables that one processor changes while the guest runs on others: a table that is taken out is used for nothing
// else as long as any of them may walk it, and a hook that has been announced is met by all.
import { expect, test } from "vitest";
import { Explorer, type Scenario } from "./explore.ts";
import { Note } from "./notes.ts";
import { Processors, Violation } from "./processors.ts";

const PAGE = 4096;
const GIB = 2 ** 30;
const GIGABYTES = 8;
const FRAME = 0xf_ffff_ffff_f000n;
const LARGE = 0x80n;
const hookOf = (n: number): number => n * GIB + n * PAGE;
const PLACES = Array.from({ length: GIGABYTES }, (_, n) => hookOf(n));

/** What a processor keeps of the tables: where the walk of a place goes on, and at which level (AMD APM 2, 5.5). */
interface Kept {
  readonly place: number;
  readonly table: number;
  readonly level: number;
}

class Walker {
  readonly #processors: Processors;
  readonly #root: number;

  constructor(processors: Processors, root: number) {
    this.#processors = processors;
    this.#root = root;
  }

  /** The tables on the way to a place, and where it leads to; undefined where nothing is mapped. */
  walk({ place, table, level }: Kept): { readonly passed: Kept[]; readonly address: number | undefined } {
    const passed: Kept[] = [];
    for (;;) {
      passed.push({ place, table, level });
      const size = 2 ** (12 + 9 * (level - 1));
      const entry = this.#processors.read64(table + 8 * (Math.floor(place / size) % 512));
      if ((entry & 1n) === 0n) return { passed, address: undefined };
      const to = Number(entry & FRAME);
      if (level === 1 || entry & LARGE) return { passed, address: to + (place % size) };
      table = to;
      level--;
    }
  }

  from(place: number): Kept {
    return { place, table: this.#root, level: 4 };
  }
}

/** Hooks move, from these GiB on, while the guest runs on others, with an exit of its own now and then. */
function moving(careless: boolean, movers: readonly number[], guests: number): [Explorer, Scenario] {
  const processors = new Processors();
  const { core } = processors;
  processors.add(movers.length + guests);
  const walker = new Walker(processors, core.makeTables!(Number(careless)));
  processors.ready(0x12_0000);
  const observe: Scenario["observe"] = () => {
    /** By processor: what it keeps from one run to the next, until it is told to forget it. */
    const kept = new Map<number, { translations: number; steps: Kept[]; mapped: Set<number> }>();
    const inGuest = new Set<number>();
    const look = (): void => {
      for (const processor of inGuest) {
        for (const step of kept.get(processor)!.steps) {
          const { address } = walker.walk(step);
          if (address === undefined || address === step.place) continue;
          throw new Violation(`processor ${processor} finds ${address.toString(16)} at ${step.place.toString(16)}`);
        }
      }
    };
    return {
      exits: [...movers.map(() => 0), ...Array.from({ length: guests }, () => 2)],
      accessed: look,
      entered: (processor, translations) => {
        const old = kept.get(processor);
        const now = old?.translations === translations ? old : { translations, steps: [], mapped: new Set<number>() };
        for (const place of PLACES) {
          const { passed, address } = walker.walk(walker.from(place));
          now.steps.push(...passed);
          if (address !== undefined) now.mapped.add(place);
        }
        kept.set(processor, now);
        inGuest.add(processor);
        look();
      },
      left: (processor) => inGuest.delete(processor),
      note: (_processor, what, gigabyte) => {
        if (what !== Note.Changed || careless) return;
        for (const processor of inGuest) {
          if (kept.get(processor)!.mapped.has(hookOf(gigabyte))) throw new Violation(`${processor} knows no hook`);
        }
      },
    };
  };
  const programs = [
    ...movers.map((from) => () => core.moveHook!(from, 2)),
    ...Array.from({ length: guests }, () => () => core.runTimes!(2)),
  ];
  return [new Explorer(processors), { programs, observe }];
}

test("a hook that moves is met by a guest on another processor, in every schedule with few changes", () => {
  const [explorer, scenario] = moving(false, [1], 1);
  expect(explorer.every(scenario, 2)).toBeGreaterThan(50);
});

test("hooks that two processors move are met by guests on two others, in random schedules", () => {
  const [explorer, scenario] = moving(false, [1, 4], 2);
  explorer.random(scenario, 300);
});

test("using tables again before all have let go of them is found to be wrong", () => {
  const [explorer, scenario] = moving(true, [1], 1);
  expect(() => explorer.random(scenario, 300)).toThrow(/processor 1 finds/);
});
