// What one processor sends while another is in the midst of answering: at every point of the core's way where it holds
// no lock, a third hand acts.
import { describe, expect, test } from "vitest";
import type { Machine } from "../../../machine/machine.ts";
import { type Boot, VENDORS } from "../vcpu/setup.ts";
import { Command, enterLongMode, nmis, place, send, settle } from "./setup.ts";

const { Init, startup, Nmi } = Command;
/** What the core imports for its signals and for INIT, never under a lock. */
const POINTS = new Set([
  "openInterruptWindow",
  "clearBreakpoints",
  "cpuid",
  "atomicCompareExchange32",
  "atomicExchange32",
]);
/** More than there are on the way of one signal. */
const MOST = 40;

/** Two processors; something may happen at a point of the core's way on the second. */
class Race {
  readonly machine: Machine;
  #left = -1;
  #action: () => void = () => undefined;

  constructor(boot: Boot) {
    this.machine = boot({ processors: 2, onImport: (name) => this.#pass(name) });
  }

  /** Has `action` happen at the n-th point from now on; returns whether `way` came to so many. */
  at(point: number, action: () => void, way: () => void): boolean {
    this.#left = point;
    this.#action = action;
    way();
    const came = this.#left < 0;
    this.#left = -1;
    return came;
  }

  #pass(name: string): void {
    if (this.#left < 0 || !POINTS.has(name) || this.machine.processors.current.number !== 1) return;
    if (this.#left-- === 0) this.#action();
  }
}

/** At each point in turn: `way` with `action` at that point, then `check`. */
function everywhere(
  boot: Boot,
  way: (race: Race) => void,
  action: (race: Race) => void,
  check: (race: Race) => void,
): void {
  const race = new Race(boot);
  let point = 0;
  while (
    race.at(
      point,
      () => action(race),
      () => way(race),
    )
  ) {
    check(race);
    expect(++point).toBeLessThan(MOST);
  }
  expect(point).toBeGreaterThan(2);
}

/** The second processor still hears what is sent to it, and is brought back to where it began. */
function alive({ machine }: Race): void {
  const [first, second] = machine.guests as [typeof machine.guest, typeof machine.guest];
  for (const command of [Init, startup(0x77)]) {
    send(first, command, 1);
    settle(machine);
  }
  expect(place(second)).toBe("7700:0");
  enterLongMode(machine, second);
  second.processor.received.length = 0;
  send(first, Nmi, 1);
  settle(machine);
  expect(nmis(second)).toBe(1);
  second.processor.received.length = 0;
}

function initialise({ machine }: Race): void {
  send(machine.guest, Init, 1);
  settle(machine);
}

describe.each(VENDORS)("%s", (_vendor, boot) => {
  test("a start-up interrupt at any point of INIT starts the processor", () => {
    everywhere(
      boot,
      initialise,
      ({ machine }) => send(machine.guest, startup(0x33), 1),
      (race) => {
        settle(race.machine);
        expect(place(race.machine.guests[1]!)).toBe("3300:0");
        alive(race);
      },
    );
  });

  test("INIT at any point of a start leaves it waiting, or is followed by the start", () => {
    everywhere(
      boot,
      (race) => {
        initialise(race);
        send(race.machine.guest, startup(0x33), 1);
        settle(race.machine);
      },
      ({ machine }) => send(machine.guest, Init, 1),
      (race) => {
        settle(race.machine);
        expect(["waits", "3300:0"]).toContain(place(race.machine.guests[1]!));
        alive(race);
      },
    );
  });

  test("an NMI at any point of INIT is none", () => {
    everywhere(
      boot,
      initialise,
      ({ machine }) => send(machine.guest, Nmi, 1),
      (race) => {
        settle(race.machine);
        expect(place(race.machine.guests[1]!)).toBe("waits");
        alive(race);
      },
    );
  });

  test("an NMI at any point of an exit is delivered once", () => {
    everywhere(
      boot,
      ({ machine }) => {
        machine.guests[1]!.cpuid(0);
        machine.guests[1]!.cpuid(0);
      },
      ({ machine }) => send(machine.guest, Nmi, 1),
      (race) => {
        settle(race.machine);
        expect(nmis(race.machine.guests[1]!)).toBe(1);
        alive(race);
      },
    );
  });

  test("an NMI at any point of another is delivered once more or is the same", () => {
    everywhere(
      boot,
      ({ machine }) => {
        send(machine.guest, Nmi, 1);
        settle(machine);
      },
      ({ machine }) => send(machine.guest, Nmi, 1),
      (race) => {
        settle(race.machine);
        expect([1, 2]).toContain(nmis(race.machine.guests[1]!));
        alive(race);
      },
    );
  });

  test("INIT at any point of an exit is taken before the guest goes on", () => {
    everywhere(
      boot,
      ({ machine }) => {
        const other = machine.guests[1]!;
        other.cpuid(0);
        if (!other.processor.waiting) other.cpuid(0);
      },
      ({ machine }) => send(machine.guest, Init, 1),
      (race) => {
        settle(race.machine);
        expect(place(race.machine.guests[1]!)).toBe("waits");
        alive(race);
      },
    );
  });
});
