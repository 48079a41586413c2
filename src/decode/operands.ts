import { Access } from "../memory/translate";
import { Registers, Rflags, Vcpu } from "../vcpu/vcpu";
import { resolve } from "./address";
import { STATUS_FLAGS } from "./arithmetic";
import { MemoryBus } from "./bus";
import { Instruction, truncate } from "./instruction";
import { Outcome } from "./outcome";

// General registers in the widths of operands (APM 3, 2.3.1).

/** A register's low `width` bytes. Without a REX prefix byte registers 4 to 7 are AH, CH, DH and BH. */
export function readRegister(registers: Registers, index: u32, width: u32, rex: u32): u64 {
  if (width == 1 && !rex && index >= 4) return (registers.get(index - 4) >> 8) & 0xff;
  return truncate(registers.get(index), width);
}

/** Writes as the processor does: 32 bits clear the upper half, 8 and 16 bits leave the rest. */
export function writeRegister(registers: Registers, index: u32, width: u32, rex: u32, value: u64): void {
  if (width == 8) return registers.set(index, value);
  if (width == 4) return registers.set(index, value & 0xffff_ffff);
  if (width == 1 && !rex && index >= 4) {
    const whole = registers.get(index - 4);
    return registers.set(index - 4, (whole & ~0xff00) | ((value & 0xff) << 8));
  }
  const mask: u64 = width == 1 ? 0xff : 0xffff;
  registers.set(index, (registers.get(index) & ~mask) | (value & mask));
}

/** An address register (rCX, rSI, rDI, rSP) in an address or stack size of 2, 4 or 8 bytes. */
export function readAddressRegister(registers: Registers, index: u32, size: u32): u64 {
  return truncate(registers.get(index), size);
}

export function addToAddressRegister(registers: Registers, index: u32, size: u32, amount: u64): void {
  writeRegister(registers, index, size, 0, registers.get(index) + amount);
}

/** Resolves the r/m operand if it is in memory; false if that raised an exception. */
export function prepare(vcpu: Vcpu, instruction: Instruction, width: u32, access: Access): bool {
  if (!instruction.inMemory) return true;
  const offset = instruction.offset(vcpu.registers);
  return resolve(vcpu, instruction.memory, instruction.segment, offset, width, access);
}

// The r/m operand (E), after `prepare`, and the register operand (G).

export function readE(vcpu: Vcpu, bus: MemoryBus, instruction: Instruction, width: u32): u64 {
  if (instruction.inMemory) return instruction.memory.read(bus);
  return readRegister(vcpu.registers, instruction.rm, width, instruction.rex);
}

export function writeE(vcpu: Vcpu, bus: MemoryBus, instruction: Instruction, width: u32, value: u64): void {
  if (instruction.inMemory) instruction.memory.write(bus, value);
  else writeRegister(vcpu.registers, instruction.rm, width, instruction.rex, value);
}

export function readG(vcpu: Vcpu, instruction: Instruction, width: u32): u64 {
  return readRegister(vcpu.registers, instruction.reg, width, instruction.rex);
}

export function writeG(vcpu: Vcpu, instruction: Instruction, width: u32, value: u64): void {
  writeRegister(vcpu.registers, instruction.reg, width, instruction.rex, value);
}

export function setStatusFlags(registers: Registers, flags: u32): void {
  registers.rflags = (registers.rflags & ~(STATUS_FLAGS as u64)) | (flags as u64);
}

/** Ends an instruction that was carried out: status flags, RFLAGS.RF, and RIP, which wraps as wide as the code is. */
export function finish(vcpu: Vcpu, instruction: Instruction): Outcome {
  const registers = vcpu.registers;
  setStatusFlags(registers, instruction.flags);
  registers.rflags &= ~(Rflags.Rf as u64);
  registers.rip = truncate(registers.rip + (instruction.length as u64), instruction.codeBits >> 3);
  return Outcome.Done;
}
