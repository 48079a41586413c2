/** One change to the C that wasm2c generates, and what must hold afterwards. */
interface Patch {
  why: string;
  pattern: RegExp;
  replacement: string;
  /** A pattern that is not found fails the build, unless the core may do without what it patches. */
  optional?: boolean;
  /** What must not be left in the text. */
  forbidden?: RegExp;
}

const patches: Patch[] = [
  {
    why: "atomics on unshared memory become plain loads and stores: call the forms that are atomic",
    pattern: /\b(i(?:32|64)_atomic_[a-z0-9_]+)_default32\(&instance/g,
    replacement: "$1_shared_default32(&instance",
    optional: true,
    forbidden: /\bi(?:32|64)_atomic_(?!\w*_shared_default32)\w+\(&instance/,
  },
  {
    why: "the short ways for frequent exits become part of the loops around the guest's runs, whoever else calls them",
    pattern:
      /^static (?=\w+ w2c_core_src0x2F(?:decode0x2Ffast0x2FcarryOutPlainMove|vcpu0x2Fsvm0x2Fexit0x2FknownCode|main0x2FvmxExit|vcpu0x2Fvmx0x2Fexit0x2FhandleVmxExit|vcpu0x2Fvmx0x2Fvcpu0x2FVmxVcpu0x23enter)\w*\()/gm,
    replacement: "static inline __attribute__((always_inline)) ",
    optional: true,
  },
  {
    why: "what an exit rarely needs stays out of these loops, where it would take registers from the short ways",
    pattern: /^static (?=\w+ w2c_core_src0x2Fvcpu0x2F\w*(?:takeBackInterrupt|offerNmi)\w*\()/gm,
    replacement: "static __attribute__((noinline, cold)) ",
    optional: true,
  },
  {
    why: "linear memory lies at virtual 0: a pointer of the core is a machine pointer",
    pattern: /^#define MEM_ADDR\(mem, addr, n\) &\(\(mem\)->data\[addr\]\)$/m,
    replacement: "#define MEM_ADDR(mem, addr, n) ((u8*)(uintptr_t)(addr))",
  },
];

/** Applies every patch to the generated C; throws if wasm2c's output is not what the patches were made for. */
export function patchGeneratedCode(source: string): string {
  return patches.reduce((text, { why, pattern, replacement, optional, forbidden }) => {
    const patched = text.replace(pattern, replacement);
    if ((patched === text && !optional) || forbidden?.test(patched)) {
      throw new Error(
        `wasm2c's output has changed: ${String(pattern)} no longer fits (${why}). See cli/build/patches.ts.`,
      );
    }
    return patched;
  }, source);
}
