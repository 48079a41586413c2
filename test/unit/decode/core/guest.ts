// The core's half of the decoder's tests: one guest processor whose state is a block of linear memory that the test
// fills and reads, and a device that asks the test.
import { BOOT_INFO, BootInfo } from "../../../../src/boot/info";
import { Outcome, carryOut, carryOutAt, carryOutPort } from "../../../../src/decode/emulate";
import { MemoryBus } from "../../../../src/decode/bus";
import { decode } from "../../../../src/decode/decoder";
import { controlMoveOperand, controlRegister, instructionLength, isControlMove } from "../../../../src/decode/length";
import { guestMemory } from "../../../../src/memory/guest";
import { MmioDevice } from "../../../../src/memory/hooks";
import { guestSpace } from "../../../../src/memory/space";
import { setPhysicalBits, translate } from "../../../../src/memory/translate";
import { processors } from "../../../../src/vcpu/processors";
import { Exception, Registers, Segment, Vcpu } from "../../../../src/vcpu/vcpu";

export declare function deviceRead(address: u64, width: u32): u64;
export declare function deviceWrite(address: u64, width: u32, value: u64): void;

/** In linear memory; `layout` of guest.ts on the other side. */
@unmanaged
class State extends Registers {
  cr0: u64;
  cr2: u64;
  cr3: u64;
  cr4: u64;
  efer: u64;
  cpl: u32;
  codeBits: u32;
  /** Vector of the exception raised, or NONE. */
  exception: u32;
  error: u32;
}
const NONE: u32 = 0xff;
const SEGMENTS: usize = offsetof<State>();

class TestVcpu extends Vcpu {
  private readonly state: State;

  constructor(state: State) {
    super(state, 0);
    this.state = state;
  }

  cr0(): u64 {
    return this.state.cr0;
  }
  cr3(): u64 {
    return this.state.cr3;
  }
  cr4OnProcessor(): u64 {
    return this.cr4();
  }
  cr4(): u64 {
    return this.state.cr4;
  }
  efer(): u64 {
    return this.state.efer;
  }
  cpl(): u32 {
    return this.state.cpl;
  }
  codeBits(): u32 {
    return this.state.codeBits;
  }
  segmentBase(segment: Segment): u64 {
    if (this.state.codeBits == 64 && segment < Segment.Fs) return 0;
    return load<u64>(this.segment(segment));
  }
  segmentLimit(segment: Segment): u32 {
    return load<u32>(this.segment(segment), 8);
  }
  segmentAttributes(segment: Segment): u32 {
    return load<u16>(this.segment(segment), 12);
  }
  segmentSelector(segment: Segment): u32 {
    return load<u16>(this.segment(segment), 14);
  }
  notedBytes(_to: usize): u32 {
    return 0;
  }
  setCr2(value: u64): void {
    this.state.cr2 = value;
  }
  raise(exception: Exception): void {
    this.state.exception = exception;
    this.state.error = 0;
  }
  raiseWithError(exception: Exception, error: u32): void {
    this.state.exception = exception;
    this.state.error = error;
  }
  injectInterrupt(_vector: u32): void {
    // no instruction does
  }
  scratch(): usize {
    return 0;
  }
  reset(): void {
    // no instruction does
  }
  finishInstruction(): void {
    // no instruction does
  }
  startAt(_vector: u32): void {
    // no instruction does
  }
  handlesNmi(): bool {
    return false;
  }
  forgetTranslations(): void {
    // no instruction does
  }
  interceptInterrupts(): void {
    // no instruction does
  }
  enter(): bool {
    return true;
  }
  restart(): void {
    // nothing traps
  }
  returnSoon(_soon: bool): void {
    // no threads run
  }
  private segment(segment: Segment): usize {
    return changetype<usize>(this.state) + SEGMENTS + ((segment as usize) << 4);
  }
}

class TestDevice extends MmioDevice {
  read(address: u64, width: u32): u64 {
    return deviceRead(address, width);
  }
  write(address: u64, width: u32, value: u64): void {
    deviceWrite(address, width, value);
  }
}

const state = changetype<State>(heap.alloc(SEGMENTS + 6 * 16));
const vcpu = new TestVcpu(state);
const device = new TestDevice();
const hooks = guestSpace.hooks;
const bus: MemoryBus = guestSpace.bus;

export function stateAddress(): usize {
  return changetype<usize>(state);
}
export function begin(physicalBits: u32, blockBase: u64, blockSize: u64): void {
  const info = changetype<BootInfo>(BOOT_INFO);
  info.blockBase = blockBase;
  info.blockSize = blockSize;
  guestMemory.begin(physicalBits);
  setPhysicalBits(physicalBits);
}
export function hook(base: u64, length: u64): bool {
  return hooks.add(base, length, device);
}
export function unhook(base: u64): bool {
  return hooks.remove(base);
}
/** Finds the device of a byte as exits do; whether there is one. */
export function findRecent(address: u64): bool {
  return hooks.findRecent(vcpu.recentHook, address, 1) !== null;
}
export function remembersHook(address: u64): bool {
  return vcpu.recentHook.has(address, 1);
}
export function enterAfterChange(): void {
  processors.synchronise();
  vcpu.enterGuest();
}
export function step(): Outcome {
  state.exception = NONE;
  return carryOut(vcpu, bus);
}
export function stepPort(): Outcome {
  state.exception = NONE;
  return carryOutPort(vcpu, bus);
}
export function stepAt(address: u64): Outcome {
  state.exception = NONE;
  return carryOutAt(vcpu, bus, address);
}
export function walk(linear: u64, access: u32): u64 {
  return translate(vcpu, linear, access);
}

// What the decoder alone says of the instruction at RIP.
export function decodeOnly(): Outcome {
  state.exception = NONE;
  return decode(vcpu);
}
export function length(): u32 {
  state.exception = NONE;
  return instructionLength(vcpu);
}
/** Bit 31: is a MOV to or from a control register; 15:8 that register; 7:0 the general register. */
export function controlMove(): u32 {
  if (!isControlMove(vcpu)) return 0;
  return 0x8000_0000 | (controlRegister(vcpu) << 8) | controlMoveOperand(vcpu);
}
export function operation(): u32 {
  return vcpu.instruction.operation;
}
export function inMemory(): bool {
  return vcpu.instruction.inMemory;
}
export function segment(): u32 {
  return vcpu.instruction.segment;
}
export function baseRegister(): i32 {
  return vcpu.instruction.ripRelative ? 16 : vcpu.instruction.base;
}
export function indexRegister(): i32 {
  return vcpu.instruction.index;
}
export function scale(): u32 {
  return vcpu.instruction.scale;
}
export function displacement(): u64 {
  return vcpu.instruction.displacement;
}
export function immediate(): u64 {
  return vcpu.instruction.immediate;
}
export function width(): u32 {
  return vcpu.instruction.width;
}
