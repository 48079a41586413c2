import { Access, isCanonical, isFault, raiseFault, translate } from "../memory/translate";
import { Exception, Segment, Vcpu } from "../vcpu/vcpu";
import { readPlain } from "./bus";
import { Instruction, MAXIMUM_LENGTH } from "./instruction";
import { Outcome } from "./outcome";

const PAGE: u64 = 0x1000;

/** The instruction's next byte; 0 when it could not be had, and `fetchOutcome` tells why. */
export function nextByte(vcpu: Vcpu, instruction: Instruction): u32 {
  if (instruction.length == instruction.fetched && !fetchMore(vcpu, instruction)) return 0;
  return unchecked(instruction.bytes[instruction.length++]);
}

/** The byte that `nextByte` will return. */
export function peekByte(vcpu: Vcpu, instruction: Instruction): u32 {
  const length = instruction.length;
  const byte = nextByte(vcpu, instruction);
  instruction.length = length;
  return byte;
}

/** The next 1, 2, 4 or 8 bytes, zero-extended. */
export function nextBytes(vcpu: Vcpu, instruction: Instruction, width: u32): u64 {
  let value: u64 = 0;
  for (let i: u32 = 0; i < width; i++) value |= (nextByte(vcpu, instruction) as u64) << ((i as u64) << 3);
  return value;
}

/**
 * Fetches on to the end of the page or of the longest instruction, whichever comes first: the following page is
 * touched only by an instruction that reaches into it.
 */
function fetchMore(vcpu: Vcpu, instruction: Instruction): bool {
  if (instruction.fetchOutcome != Outcome.Done) return false;
  const fetched = instruction.fetched;
  if (!fetched) {
    instruction.fetched = vcpu.notedBytes(changetype<usize>(instruction.bytes));
    if (instruction.fetched) return true;
  }
  const offset = vcpu.registers.rip + (fetched as u64);
  let linear = offset;
  let count = (MAXIMUM_LENGTH - fetched) as u64;
  let allowed: bool = count != 0;
  if (instruction.codeBits == 64) {
    allowed = allowed && isCanonical(vcpu, linear);
  } else {
    const limit = vcpu.segmentLimit(Segment.Cs) as u64;
    allowed = allowed && offset <= limit;
    count = min(count, limit - offset + 1);
    linear = (vcpu.segmentBase(Segment.Cs) + offset) & 0xffff_ffff;
  }
  if (!allowed) {
    // Beyond the code segment, not canonical, or longer than 15 bytes (APM 2, 8.2.14)
    vcpu.raiseWithError(Exception.GeneralProtection, 0);
    instruction.fetchOutcome = Outcome.Faulted;
    return false;
  }
  const physical = translate(vcpu, linear, Access.Fetch);
  if (isFault(physical)) {
    raiseFault(vcpu, linear, physical);
    instruction.fetchOutcome = Outcome.Faulted;
    return false;
  }
  count = min(count, PAGE - (linear & (PAGE - 1)));
  if (count == (MAXIMUM_LENGTH as u64) && (linear & (PAGE - 1)) <= PAGE - 16) {
    const bytes = changetype<usize>(instruction.bytes);
    store<u64>(bytes, readPlain(physical, 8));
    store<u64>(bytes, readPlain(physical + 8, 8), 8);
  } else {
    for (let i: u64 = 0; i < count; i++) {
      unchecked((instruction.bytes[fetched + (i as u32)] = readPlain(physical + i, 1) as u8));
    }
  }
  instruction.fetched = fetched + (count as u32);
  return true;
}
