import { Access, Cr0, isCanonical, isFault, raiseFault, translate } from "../memory/translate";
import { Exception, Rflags, Segment, Vcpu } from "../vcpu/vcpu";
import { MemoryOperand } from "./instruction";

const PAGE: u64 = 0x1000;

/** A segment descriptor's attributes, as `Vcpu.segmentAttributes` gives them (APM 2, 4.7). */
export const enum Attribute {
  /** Of data segments; of code segments the same bit makes them readable. */
  Writable = 1 << 1,
  /** Of data segments. */
  ExpandDown = 1 << 2,
  Code = 1 << 3,
  Present = 1 << 7,
  /** D/B: 32-bit offsets. */
  Big = 1 << 10,
}

/**
 * Brings `width` bytes at an offset in a segment to guest-physical addresses in `operand`, checking what the processor
 * checks. If the access is not allowed the exception is raised and the result false; false, too, if `raiseFault` raised none. `registers` and memory stay as
 * they are, but for accessed and dirty bits.
 */
export function resolve(
  vcpu: Vcpu,
  operand: MemoryOperand,
  segment: Segment,
  offset: u64,
  width: u32,
  access: Access,
): bool {
  const wide = vcpu.instruction.codeBits == 64;
  let linear = vcpu.segmentBase(segment) + offset;
  if (!wide) linear &= 0xffff_ffff;
  const last = linear + (width as u64) - 1;
  const allowed = wide
    ? isCanonical(vcpu, linear) && isCanonical(vcpu, last)
    : segmentAllows(vcpu, segment, offset, width, access);
  if (!allowed) {
    vcpu.raiseWithError(segment == Segment.Ss ? Exception.StackFault : Exception.GeneralProtection, 0);
    return false;
  }

  const first = translate(vcpu, linear, access);
  if (isFault(first)) {
    raiseFault(vcpu, linear, first);
    return false;
  }
  operand.first = first;
  operand.width = width;
  operand.firstWidth = min(width, (PAGE - (linear & (PAGE - 1))) as u32);
  if (operand.firstWidth != width) {
    const next = wide ? last & ~(PAGE - 1) : last & 0xffff_f000;
    operand.second = translate(vcpu, next, access);
    if (isFault(operand.second)) {
      raiseFault(vcpu, next, operand.second);
      return false;
    }
  }
  if (linear & ((width - 1) as u64) && alignmentChecked(vcpu)) {
    vcpu.raiseWithError(Exception.AlignmentCheck, 0);
    return false;
  }
  return true;
}

/** Limit and rights of a segment outside 64-bit mode (APM 2, 4.7 and 4.12). */
function segmentAllows(vcpu: Vcpu, segment: Segment, offset: u64, width: u32, access: Access): bool {
  const attributes = vcpu.segmentAttributes(segment);
  const last = offset + (width as u64) - 1;
  const limit = vcpu.segmentLimit(segment) as u64;
  const code = (attributes & Attribute.Code) != 0;
  if (!code && (attributes & Attribute.ExpandDown) != 0) {
    if (offset <= limit || last > (attributes & Attribute.Big ? 0xffff_ffff : 0xffff)) return false;
  } else if (last > limit) return false;

  // Real mode has limits but no rights: what protected mode left in the hidden registers is not looked at.
  if (!((vcpu.cr0() as u32) & Cr0.Pe)) return true;
  const writable = (attributes & Attribute.Writable) != 0;
  const readable = !code || writable;
  return (attributes & Attribute.Present) != 0 && (access == Access.Write ? !code && writable : readable);
}

function alignmentChecked(vcpu: Vcpu): bool {
  return vcpu.cpl() == 3 && ((vcpu.registers.rflags as u32) & Rflags.Ac) != 0 && ((vcpu.cr0() as u32) & Cr0.Am) != 0;
}
