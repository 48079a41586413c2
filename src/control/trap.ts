import { log } from "../log/log";
import { functionName, readCr2 } from "../metal";
import { counters } from "./counters";

const PAGE_FAULT: u32 = 14;
const LONGEST_NAME: u32 = 200;
const name = heap.alloc(LONGEST_NAME);

/** Reports a trap of the hypervisor by the name of the function it happened in. True if the guest can go on. */
export function reportTrap(kind: u32, address: u64): bool {
  counters.traps++;
  const line = log.error("trap ").hex(kind).text(" at ").hex(address).text(" in ");
  line.ascii(name, functionName(address, name, LONGEST_NAME));
  if (kind == PAGE_FAULT) line.text(", address ").hex(readCr2());
  line.end();
  return false;
}
