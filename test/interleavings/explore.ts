// Runs a scenario under many schedules. A schedule that breaks a property is printed and can be replayed.
import { Processors, Violation, type World } from "./processors.ts";
import { EverySchedule, randomNumbers, randomSchedule, replaying, type Schedule, starving } from "./schedules.ts";

export interface Scenario {
  /** One for each processor. A program is one call of the core, which may be made again to go on with it. */
  readonly programs: readonly (() => number)[];
  /** A fresh observer for each schedule; throws a Violation as soon as a property is broken. */
  readonly observe: () => World & { finish?: (results: readonly number[]) => void };
}

const MOST = 100_000;

/** Schedules run so far, by all scenarios. */
export const count = { schedules: 0 };

export class Explorer {
  readonly processors: Processors;

  constructor(processors: Processors) {
    this.processors = processors;
  }

  /** Every schedule there is, or those with at most `changes` of processor that are not needed. Returns how many. */
  every(scenario: Scenario, changes?: number): number {
    const schedule = new EverySchedule(changes);
    let runs = 0;
    do {
      this.#run(scenario, schedule);
      if (++runs > MOST) throw new Error(`more than ${MOST} schedules`);
    } while (schedule.advance());
    return runs;
  }

  /** `runs` random schedules: from fine mixtures to long runs of one processor, a part of them against one processor. */
  random(scenario: Scenario, runs: number, seed = 1): void {
    const next = randomNumbers(seed * 0x9e37_79b1);
    const processors = scenario.programs.length;
    for (let i = 0; i < runs; i++) {
      const mixed = randomSchedule(next, 1 + (i % 7));
      this.#run(scenario, i % 3 === 0 ? starving(next() % processors, mixed) : mixed);
    }
  }

  one(scenario: Scenario, schedule: Schedule): void {
    this.#run(scenario, schedule);
  }

  replay(scenario: Scenario, digits: string): void {
    this.#run(scenario, replaying(digits));
  }

  #run({ programs, observe }: Scenario, schedule: Schedule): void {
    const { finish, ...world } = observe();
    count.schedules++;
    try {
      const results = this.processors.run(programs, schedule, world);
      finish?.(results);
    } catch (error) {
      if (error instanceof Violation) throw new Violation(`${error.message}; replay("${this.processors.trace}")`);
      throw error;
    }
  }
}
