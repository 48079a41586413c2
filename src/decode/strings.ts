import { Access } from "../memory/translate";
import { guestPorts } from "../vcpu/io";
import { Exception, Gpr, Rflags, Segment, Vcpu } from "../vcpu/vcpu";
import { resolve } from "./address";
import { compute } from "./arithmetic";
import { MemoryBus } from "./bus";
import { Instruction, Repeat } from "./instruction";
import { Operation } from "./opcodes";
import { addToAddressRegister, finish, readAddressRegister, setStatusFlags, writeRegister } from "./operands";
import { Outcome } from "./outcome";

/** REX.W does not widen INS and OUTS (APM 3). */
const LONGEST_PORT_ACCESS: u32 = 4;

/** Repetitions of one call: interrupts wait for as long. */
const MAXIMUM_REPETITIONS: u32 = 256;

/**
 * MOVS, CMPS, STOS, LODS, SCAS, INS and OUTS; ports are reached as by IN and OUT. A repeated one works like the
 * processor's: after each repetition rCX, rSI and rDI are where they must be to go on from RIP, so that it can stop for a
 * fault or after MAXIMUM_REPETITIONS.
 */
export function carryOutString(vcpu: Vcpu, bus: MemoryBus, instruction: Instruction): Outcome {
  if (instruction.repeat == Repeat.None) {
    return step(vcpu, bus, instruction) ? finish(vcpu, instruction) : Outcome.Faulted;
  }
  const registers = vcpu.registers;
  const size = instruction.addressSize;
  const operation = instruction.operation;
  const compares = operation == Operation.Cmps || operation == Operation.Scas;
  for (let i: u32 = 0; i < MAXIMUM_REPETITIONS; i++) {
    if (!readAddressRegister(registers, Gpr.Rcx, size)) return finish(vcpu, instruction);
    if (!step(vcpu, bus, instruction)) return Outcome.Faulted;
    setStatusFlags(registers, instruction.flags);
    addToAddressRegister(registers, Gpr.Rcx, size, -1);
    const equal = (instruction.flags & Rflags.Zf) != 0;
    if (compares && equal != (instruction.repeat == Repeat.Equal)) return finish(vcpu, instruction);
  }
  if (!readAddressRegister(registers, Gpr.Rcx, size)) return finish(vcpu, instruction);
  return Outcome.Unfinished;
}

/** One repetition; false if an access faulted, and then nothing has happened. */
function step(vcpu: Vcpu, bus: MemoryBus, instruction: Instruction): bool {
  const operation = instruction.operation;
  const fromPort = operation == Operation.Ins;
  const toPort = operation == Operation.Outs;
  if (fromPort || toPort) {
    instruction.width = min<u32>(instruction.width, LONGEST_PORT_ACCESS);
    if (!mayUsePorts(vcpu)) return false;
  }
  const width = instruction.width;
  const source = instruction.memory;
  const target = instruction.other;
  const usesSource = operation != Operation.Stos && operation != Operation.Scas && !fromPort;
  const usesTarget = operation != Operation.Lods && !toPort;
  const writes = operation == Operation.Movs || operation == Operation.Stos || fromPort;
  if (usesSource && !locate(vcpu, instruction, Gpr.Rsi, instruction.segment, Access.Read)) return false;
  if (usesTarget && !locate(vcpu, instruction, Gpr.Rdi, Segment.Es, writes ? Access.Write : Access.Read)) return false;

  const registers = vcpu.registers;
  const port = (registers.rdx as u32) & 0xffff;
  const value: u64 = usesSource
    ? source.read(bus)
    : fromPort
      ? (guestPorts.read(port, width) as u64)
      : readAddressRegister(registers, Gpr.Rax, width);
  if (toPort) guestPorts.write(port, width, value as u32);
  else if (writes) target.write(bus, value);
  else if (usesTarget) compute(instruction, Operation.Cmp, value, target.read(bus), width);
  else writeRegister(registers, Gpr.Rax, width, 1, value);

  const stride: u64 = (registers.rflags as u32) & Rflags.Df ? -(width as u64) : (width as u64);
  if (usesSource) addToAddressRegister(registers, Gpr.Rsi, instruction.addressSize, stride);
  if (usesTarget) addToAddressRegister(registers, Gpr.Rdi, instruction.addressSize, stride);
  return true;
}

/**
 * The guest's right to ports, or #GP. Of an instruction that stopped at memory the processor may have checked another
 * one, which has since been changed. I/O permission bitmaps are not looked at then: they permit nothing.
 */
function mayUsePorts(vcpu: Vcpu): bool {
  const flags = vcpu.registers.rflags as u32;
  const level = (flags & Rflags.Iopl) >> 12;
  if (vcpu.instruction.portChecked || (vcpu.cpl() <= level && !(flags & Rflags.Vm))) return true;
  vcpu.raiseWithError(Exception.GeneralProtection, 0);
  return false;
}

/** Resolves the operand at rSI (in the segment that prefixes choose) or rDI (always in ES). */
function locate(vcpu: Vcpu, instruction: Instruction, register: u32, segment: Segment, access: Access): bool {
  const offset = readAddressRegister(vcpu.registers, register, instruction.addressSize);
  const operand = register == Gpr.Rsi ? instruction.memory : instruction.other;
  return resolve(vcpu, operand, segment, offset, instruction.width, access);
}
