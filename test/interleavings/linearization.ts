// Whether what several processors did at the same time could have been done by one after the other.

/** A sequential specification. `apply` returns what the operation answers, and changes the state that it is given. */
export interface Specification<State> {
  initial(): State;
  copy(state: State): State;
  apply(state: State, operation: number, argument: number): number;
  /** What an observer sees of the state at the end. */
  final(state: State): number;
}

interface Call {
  readonly operation: number;
  readonly argument: number;
  readonly begin: number;
  end: number;
  answer: number;
}

/** What happened, in the order of begins and ends. */
export class History {
  readonly #calls: Call[] = [];
  readonly #open = new Map<number, Call>();
  readonly #counts = new Map<number, number>();
  #time = 0;
  #key = "";

  /** The argument of a processor's operation is how many it did before. */
  begin(processor: number, operation: number): void {
    const argument = this.#counts.get(processor) ?? 0;
    this.#counts.set(processor, argument + 1);
    const call = { operation, argument, begin: this.#time++, end: Infinity, answer: 0 };
    this.#calls.push(call);
    this.#open.set(processor, call);
    this.#key += `b${processor}${operation}`;
  }

  end(processor: number, answer: number): void {
    const call = this.#open.get(processor)!;
    call.end = this.#time++;
    call.answer = answer;
    this.#key += `e${processor}.${answer}`;
  }

  /** The same for histories that do not differ. */
  get key(): string {
    return this.#key;
  }

  /** Whether some order of the calls, none before one that had ended when it began, explains all answers and the end. */
  isExplained<State>(specification: Specification<State>, final: number): boolean {
    const left = new Set(this.#calls);
    const explain = (state: State): boolean => {
      if (left.size === 0) return specification.final(state) === final;
      const firstEnd = Math.min(...[...left].map(({ end }) => end));
      for (const call of [...left]) {
        if (call.begin > firstEnd) continue;
        const next = specification.copy(state);
        if (specification.apply(next, call.operation, call.argument) !== call.answer) continue;
        left.delete(call);
        if (explain(next)) return true;
        left.add(call);
      }
      return false;
    };
    return explain(specification.initial());
  }
}
