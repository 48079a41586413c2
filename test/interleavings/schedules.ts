// Who goes on next, wherever more than one processor could.

export interface Schedule {
  /** One of `able`; `current` went last and is -1 at first. */
  choose(able: readonly number[], current: number): number;
}

/** Seeded, so that every run is the same (xorshift32). */
export function randomNumbers(seed: number): () => number {
  let state = seed || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

/** Another processor goes on with a chance of 1 in `rarity`: small ones mix, large ones make long runs. */
export function randomSchedule(next: () => number, rarity: number): Schedule {
  return {
    choose: (able, current) => {
      if (able.includes(current) && next() % rarity !== 0) return current;
      return able[next() % able.length]!;
    },
  };
}

/** `victim` goes on only when nobody else can. */
export function starving(victim: number, rest: Schedule): Schedule {
  return {
    choose: (able, current) => {
      const others = able.filter((processor) => processor !== victim);
      return others.length === 0 ? victim : rest.choose(others, current);
    },
  };
}

/** `favourite` goes on whenever it can. */
export function favouring(favourite: number, rest: Schedule): Schedule {
  return { choose: (able, current) => (able.includes(favourite) ? favourite : rest.choose(able, current)) };
}

/** Digits as a failure prints them. */
export function replaying(digits: string): Schedule {
  let at = 0;
  return { choose: (able) => (at < digits.length ? parseInt(digits[at++]!, 36) : able[0]!) };
}

/**
 * All schedules in turn, depth first, in which a processor that could go on gives way at most `changes` times: mistakes
 * mostly need few such changes, and schedules with more of them are many.
 */
export class EverySchedule implements Schedule {
  readonly #path: { taken: number; choices: number }[] = [];
  readonly #most: number;
  #depth = 0;
  #changes = 0;

  constructor(changes = Infinity) {
    this.#most = changes;
  }

  choose(able: readonly number[], current: number): number {
    const present = able.indexOf(current);
    if (present >= 0 && this.#changes === this.#most) return current;
    const at = this.#depth++;
    if (at === this.#path.length) this.#path.push({ taken: 0, choices: able.length });
    // Whoever went last comes first: schedules with few changes are tried before others.
    const { taken } = this.#path[at]!;
    if (present >= 0 && taken > 0) this.#changes++;
    return able[(Math.max(present, 0) + taken) % able.length]!;
  }

  /** Goes to the next schedule; false after the last. */
  advance(): boolean {
    this.#path.length = this.#depth;
    this.#depth = 0;
    this.#changes = 0;
    for (let last = this.#path.at(-1); last; last = this.#path.at(-1)) {
      if (++last.taken < last.choices) return true;
      this.#path.pop();
    }
    return false;
  }
}
