import { counters } from "./counters";

/** A counter that the guest can ask for. Names are ASCII, at most 24 bytes. */
abstract class Counter {
  constructor(readonly name: string) {}
  abstract value(): u64;
}

class ExitCounter extends Counter {
  constructor(
    name: string,
    private readonly code: u32,
  ) {
    super(name);
  }
  value(): u64 {
    return counters.exitsOf(this.code);
  }
}

class BlockWrites extends Counter {
  value(): u64 {
    return counters.blockWrites;
  }
}
class UnknownInstructions extends Counter {
  value(): u64 {
    return counters.unknownInstructions;
  }
}
class Traps extends Counter {
  value(): u64 {
    return counters.traps;
  }
}

/** All counters, in the order in which they are listed. */
export const catalogue: StaticArray<Counter> = [
  new ExitCounter("exits.interrupt", 0x60),
  new ExitCounter("exits.init", 0x63),
  new ExitCounter("exits.cpuid", 0x72),
  new ExitCounter("exits.invd", 0x76),
  new ExitCounter("exits.port", 0x7b),
  new ExitCounter("exits.msr", 0x7c),
  new ExitCounter("exits.vmmcall", 0x81),
  new ExitCounter("exits.wbinvd", 0x89),
  new ExitCounter("exits.nested-page-fault", 0x400),
  new ExitCounter("exits.other", 0xffff_ffff),
  new BlockWrites("block.writes-dropped"),
  new UnknownInstructions("hooks.unknown"),
  new Traps("traps"),
];
