import { netCounterNames, netCounters } from "../drivers/net/counters";
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

/** A field of NetCounters by its number. */
class NetCounter extends Counter {
  constructor(
    name: string,
    private readonly field: usize,
  ) {
    super(name);
  }
  value(): u64 {
    return load<u64>(changetype<usize>(netCounters) + (this.field << 3));
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

const CORE: StaticArray<Counter> = [
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

/** All counters, in the order in which they are listed: the core's, then the network card's. */
export const catalogue: StaticArray<Counter> = new StaticArray<Counter>(CORE.length + netCounterNames.length);
for (let i = 0; i < CORE.length; i++) catalogue[i] = CORE[i];
for (let i = 0; i < netCounterNames.length; i++) catalogue[CORE.length + i] = new NetCounter(netCounterNames[i], i);
