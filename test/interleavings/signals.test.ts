// INIT, start-up and non-maskable interrupts between processors, under chosen schedules: none is lost, none is taken twice.
import { describe, expect, test } from "vitest";
import { Explorer, type Scenario } from "./explore.ts";
import { History, type Specification } from "./linearization.ts";
import { Note } from "./notes.ts";
import { Processors, Violation } from "./processors.ts";

const Act = { Init: 1, Startup: 2, Nmi: 3, Take: 4, TakeAtBootProcessor: 5 } as const;
const Answer = { None: 0, Wait: 1, Reset: 2, Nmi: 3, Start: 4 } as const;

const PROCESSORS = 3;
const processors = new Processors();
const { core } = processors;
processors.add(PROCESSORS);
processors.ready();
const explorer = new Explorer(processors);

interface State {
  init: boolean;
  waiting: boolean;
  startup: number | undefined;
  nmi: boolean;
}

/** What a processor makes of what it is sent, one after the other (AMD APM 2, 16.5; Intel SDM 3, 10.4.3). */
const specification: Specification<State> = {
  initial: () => ({ init: false, waiting: false, startup: undefined, nmi: false }),
  copy: (state) => ({ ...state }),
  apply: (state, operation, vector) => {
    const halted = state.init || state.waiting;
    switch (operation) {
      case Act.Init:
        Object.assign(state, { init: true, startup: undefined, nmi: false });
        return 0;
      case Act.Startup:
        if (!halted || state.startup !== undefined) return 0;
        state.startup = vector;
        return 1;
      case Act.Nmi:
        if (!halted) state.nmi = true;
        return 0;
      default:
        return take(state, operation === Act.TakeAtBootProcessor);
    }
  },
  final: ({ init, waiting, startup, nmi }) =>
    Number(init) | (Number(nmi) << 1) | (Number(waiting) << 2) | (startup === undefined ? 0 : 8 | (startup << 8)),
};

function take(state: State, bootProcessor: boolean): number {
  const { init, waiting, startup, nmi } = state;
  if (init) {
    Object.assign(state, { init: false, nmi: false, waiting: !bootProcessor });
    if (bootProcessor) state.startup = undefined;
    return Answer.Reset;
  }
  if (startup !== undefined) {
    Object.assign(state, { waiting: false, startup: undefined });
    return Answer.Start | (startup << 8);
  }
  if (waiting) return Answer.Wait;
  state.nmi = false;
  return nmi ? Answer.Nmi : Answer.None;
}

const known = new Map<string, boolean>();

/** Acts of each processor on the signals of one. */
function acting(...acts: readonly (readonly number[])[]): Scenario {
  const programs = acts.map((own) => {
    const word = own.reduceRight((rest, act) => (rest << 4) | act, 0);
    return () => core.useSignals!(word);
  });
  const observe: Scenario["observe"] = () => {
    const history = new History();
    return {
      note: (processor, what, value) => {
        if (what === Note.Begin) history.begin(processor, value);
        else history.end(processor, value);
      },
      finish: () => {
        const final = core.signalsLeft!();
        const key = `${history.key} ${final}`;
        const explained = known.get(key) ?? history.isExplained(specification, final);
        known.set(key, explained);
        if (!explained) throw new Violation(`no order of the acts explains ${key}`);
      },
    };
  };
  return { programs, observe };
}

describe("signals to a processor are as if sent and taken one after the other, in every schedule", () => {
  const { Init, Startup, Nmi, Take, TakeAtBootProcessor: TakeBoot } = Act;
  test.each<[string, readonly (readonly number[])[]]>([
    [
      "a start-up of one processor",
      [
        [Init, Startup, Startup],
        [Take, Take, Take],
      ],
    ],
    ["an NMI while a processor is started", [[Init, Startup], [Nmi], [Take, Take]]],
    ["two INITs at the same time", [[Init], [Init], [Take, Take]]],
    [
      "INIT, which takes back a start-up",
      [
        [Init, Startup, Init],
        [Take, Take],
      ],
    ],
    ["two NMIs", [[Nmi], [Nmi], [Take, Take]]],
    ["INIT of the boot processor", [[Init, Startup], [Nmi], [TakeBoot, TakeBoot]]],
  ])("%s", (_name, acts) => {
    expect(explorer.every(acting(...acts), acts.length > 2 ? 4 : undefined)).toBeGreaterThan(10);
  });

  test("anything, at random", () => {
    const acts = [
      [Init, Startup, Nmi, Init, Startup],
      [Nmi, Init, Startup, Nmi],
      [Take, Take, Take, Take, Take, Take],
    ];
    explorer.random(acting(...acts), 10_000);
  });
});

/** What the guest's processors are told. */
interface Events {
  readonly resets: number[];
  readonly starts: number[];
  readonly nmis: number[];
}

function between(programs: Scenario["programs"], exits: readonly number[], check: (events: Events) => void): Scenario {
  return {
    programs,
    observe: () => {
      const events: Events = { resets: [], starts: [], nmis: [] };
      const lists = { [Note.Reset]: events.resets, [Note.Start]: events.starts, [Note.Nmi]: events.nmis };
      return {
        exits: [...exits],
        note: (_processor, what, value) => lists[what as 2 | 3 | 4].push(value),
        finish: () => check(events),
      };
    },
  };
}

function expectSame(actual: readonly number[], expected: readonly number[]): void {
  if (actual.join() !== expected.join()) throw new Violation(`${actual.join()} instead of ${expected.join()}`);
}

describe("from the command register of one processor to the guest of another", () => {
  const started = between(
    [() => core.startOther!(1, 0x20), () => core.runProcessor!(1, 0)],
    [0, 2],
    ({ resets, starts }) => {
      expectSame(resets, [1]);
      expectSame(starts, [0x20]);
    },
  );

  test("a start arrives, once, whatever exits there are at the same time", () => {
    expect(explorer.every(started, 3)).toBeGreaterThan(100);
    explorer.random(started, 5000);
  });

  test("an NMI arrives, once", () => {
    const scenario = between([() => core.sendNmiTo!(1), () => core.runProcessor!(0, 1)], [0, 2], ({ nmis }) =>
      expectSame(nmis, [1]),
    );
    expect(explorer.every(scenario)).toBeGreaterThan(100);
  });

  test("two processors start each other's third, which starts once or twice and is not lost", () => {
    const scenario = between(
      [() => core.startOther!(2, 0x20), () => core.startOther!(2, 0x30), () => core.runProcessor!(1, 0)],
      [0, 0, 2],
      ({ starts }) => {
        if (starts.length === 0) throw new Violation("no start");
      },
    );
    explorer.random(scenario, 5000);
  });
});

test("no processor runs the guest with translations from before a change that has been announced", () => {
  const observe: Scenario["observe"] = () => {
    let changed = 0;
    const inGuest = new Map<number, number>();
    return {
      exits: [0, 3, 3],
      entered: (processor, translations) => {
        if (translations < changed)
          throw new Violation(`processor ${processor} enters with ${translations} of ${changed}`);
        inGuest.set(processor, translations);
      },
      left: (processor) => inGuest.delete(processor),
      note: (_processor, what, generation) => {
        if (what !== Note.Changed) return;
        changed = generation;
        for (const translations of inGuest.values()) if (translations < changed) throw new Violation("runs on");
      },
    };
  };
  const programs = [() => core.changeSpace!(), () => core.runTimes!(3), () => core.runTimes!(3)];
  expect(explorer.every({ programs, observe }, 2)).toBeGreaterThan(100);
  explorer.random({ programs: [...programs], observe }, 5000);
});
