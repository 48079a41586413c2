import { physRead32, physRead64 } from "../metal";
import { Memory } from "../memory/hooks";
import { Registers, Rflags } from "../vcpu/vcpu";

const PAGE_OFFSET: u64 = 0xfff;
/**
 * The short way for what drivers do to device registers: MOV between a 32-bit register or an immediate and memory in
 * 64-bit mode, without legacy prefixes. `code` is where the instruction lies, as `fetchedCode` has it; `device` answers.
 * False, with nothing changed, for all else.
 *
 * The processor has just fetched this instruction and translated its operand, up to the nested tables that stopped it
 * at `faultAddress`: no right needs a second check. That the operand's address agrees with it in the page is checked,
 * because another processor may have changed the instruction meanwhile, and because the second part of an access
 * across pages may have been the one that stopped.
 */
export function carryOutPlainMove<T extends Memory>(
  registers: Registers,
  code: u64,
  device: T,
  faultAddress: u64,
): bool {
  if ((faultAddress & PAGE_OFFSET) > PAGE_OFFSET - 3) return false;
  let bytes = physRead64(code);
  let rex: u32 = 0;
  let length: u64 = 2;
  if ((bytes & 0xf8) == 0x40) {
    rex = bytes as u32;
    length = 3;
    bytes >>= 8;
  }
  const opcode = (bytes as u32) & 0xff;
  if (opcode != 0x89 && opcode != 0x8b && opcode != 0xc7) return false;
  const modRm = ((bytes >> 8) as u32) & 0xff;
  const mod = modRm >> 6;
  let base = modRm & 7;
  let displacement = (bytes >> 16) as u32;
  // Only the address's offset in its page is of interest.
  let offset: u32 = 0;
  let direct: bool = false;
  if (base == 4) {
    const index = ((displacement >> 3) & 7) | ((rex & 2) << 2);
    if (index != 4) offset = (registers.get(index) as u32) << ((displacement >> 6) & 3);
    base = displacement & 7;
    displacement = (bytes >> 24) as u32;
    length++;
    direct = base == 5;
  }
  if (mod == 0) {
    if (direct) {
      offset += displacement;
      length += 4;
    } else if (base == 5) {
      return false; // RIP-relative
    } else {
      offset += registers.get(base | ((rex & 1) << 3)) as u32;
    }
  } else {
    if (mod == 3) return false;
    offset += registers.get(base | ((rex & 1) << 3)) as u32;
    if (mod == 2) {
      offset += displacement;
      length += 4;
    } else {
      offset += displacement as i8 as u32;
      length++;
    }
  }
  if ((offset ^ (faultAddress as u32)) & (PAGE_OFFSET as u32)) return false;

  const register = ((modRm >> 3) & 7) | ((rex & 4) << 1);
  if (opcode == 0x8b) {
    registers.set(register, device.read(faultAddress, 4) & 0xffff_ffff);
  } else {
    let value = registers.get(register) as u32;
    if (opcode == 0xc7) {
      if (modRm & 0x38) return false;
      value = physRead32(code + length);
      length += 4;
    }
    device.write(faultAddress, 4, value as u64);
  }
  registers.rip += length;
  registers.rflags &= ~(Rflags.Rf as u64);
  return true;
}
