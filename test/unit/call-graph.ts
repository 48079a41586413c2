// Which functions of a WebAssembly module call which, from its text; with an element of a table assumed to be called by
// every indirect call of its type.
import { readFileSync } from "node:fs";
import loadWabt from "wabt";

interface Body {
  readonly type: string;
  readonly calls: Set<string>;
  /** Types of the indirect calls. */
  readonly indirect: Set<string>;
  /** Other instructions that matter: `memory.grow` and `global.set NAME`. */
  readonly effects: Set<string>;
}

/** The last instruction of a function is followed by the function's closing parenthesis. */
const INSTRUCTION =
  /^(call|return_call|call_indirect|global\.set|memory\.grow|ref\.func)(?: (\(type \S+?\)|[^ )]+))?\)?$/;

export class CallGraph {
  readonly #bodies = new Map<string, Body>();
  readonly #exports = new Map<string, string>();
  readonly #table = new Set<string>();

  private constructor(text: string) {
    let body: Body | undefined;
    for (const line of text.split("\n").map((raw) => raw.trim())) {
      const start = /^\((?:func|import .*\(func) (?:\(;(\d+);\)|(\S+)) \(type (\S+?)\)/.exec(line);
      const exported = /^\(export "(.+)" \(func (\S+?)\)/.exec(line);
      const element = /^\(elem .*\bfunc (.*)\)$/.exec(line);
      if (start) {
        body = { type: start[3]!, calls: new Set(), indirect: new Set(), effects: new Set() };
        this.#bodies.set((start[1] ?? start[2])!, body);
      } else if (exported) this.#exports.set(exported[1]!, exported[2]!);
      else if (element) element[1]!.split(" ").forEach((name) => this.#table.add(name));
      else if (body) note(body, line);
    }
  }

  static async of(wasm: string | URL): Promise<CallGraph> {
    const wabt = await loadWabt();
    const module = wabt.readWasm(readFileSync(wasm), { readDebugNames: true, threads: true });
    module.applyNames();
    const graph = new CallGraph(module.toText({ foldExprs: false, inlineExport: false }));
    module.destroy();
    return graph;
  }

  get functions(): string[] {
    return [...this.#bodies.keys()];
  }

  effectsOf(name: string): ReadonlySet<string> {
    return this.#body(name).effects;
  }

  /** Every function that an export reaches, with the chain of calls that leads there. */
  reachable(exported: string): Map<string, readonly string[]> {
    const first = this.#exports.get(exported);
    if (first === undefined) throw new Error(`the module does not export ${exported}`);
    const found = new Map<string, readonly string[]>([[first, [first]]]);
    // A map's iteration goes on over what is added meanwhile.
    for (const [name, path] of found) {
      for (const callee of this.#callees(name)) if (!found.has(callee)) found.set(callee, [...path, callee]);
    }
    return found;
  }

  #callees(name: string): string[] {
    const { calls, indirect } = this.#body(name);
    const byTable = [...this.#table].filter((element) => indirect.has(this.#body(element).type));
    return [...calls, ...byTable];
  }

  #body(name: string): Body {
    const body = this.#bodies.get(name);
    if (!body) throw new Error(`the module's text has no function ${name}`);
    return body;
  }
}

function note(body: Body, line: string): void {
  const [, instruction, operand = ""] = INSTRUCTION.exec(line) ?? [];
  if (instruction === "call_indirect") body.indirect.add(operand.slice("(type ".length, -1));
  else if (instruction === "memory.grow") body.effects.add(instruction);
  else if (instruction === "global.set") body.effects.add(`global.set ${operand}`);
  else if (instruction !== undefined) body.calls.add(operand);
}
