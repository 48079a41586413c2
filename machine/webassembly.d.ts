// What of the WebAssembly JavaScript interface the simulated machine uses: Node has it, its type declarations do not.
declare namespace WebAssembly {
  interface Memory {
    readonly buffer: ArrayBuffer;
  }
  interface Module {
    readonly compiled: unique symbol;
  }
  const Module: new (bytes: Uint8Array) => Module;
  class Instance {
    constructor(module: Module, imports: Record<string, unknown>);
    readonly exports: unknown;
  }
  class RuntimeError extends Error {}
}
