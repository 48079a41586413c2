// The calls a guest may make, by VMMCALL in 64-bit mode at any privilege level. They only read, answer in registers and
// touch no guest memory. EAX names the call: 5348h ("SH") above its number. docs/hypercall.md is the interface's manual.
import { log } from "../log/log";
import { TicketLock } from "../threads/lock";
import { VERSION } from "../vcpu/cpuid";
import { Registers, Vcpu } from "../vcpu/vcpu";
import { catalogue } from "./catalogue";

const enum Call {
  /** RAX: version of this interface in 63:32, Sheer's own in 31:0. */
  Version = 0x5348_0000,
  /** RBX: number of a counter. RAX: its value; RBX, RCX, RDX: its name, zero-padded. All zero beyond the last. */
  Counter = 0x5348_0001,
  /** RBX: sequence number of a byte of the log. RAX: how many bytes follow; RBX: the number of the first; RCX, RDX, RSI: 24 bytes. */
  Log = 0x5348_0002,
}
const INTERFACE_VERSION: u64 = 1;
const ANSWER_BYTES: u64 = 24;
const answer = memory.data(24, 8);
/** Held while `answer` is filled and read. */
const answering = new TicketLock();

/** Carries out the call that the registers name; false if there is none such, and the guest gets #UD as without Sheer. */
export function hypercall(vcpu: Vcpu): bool {
  if (vcpu.codeBits() != 64) return false;
  answering.acquire();
  const known = answerCall(vcpu.registers);
  answering.release();
  return known;
}

function answerCall(registers: Registers): bool {
  memory.fill(answer, 0, ANSWER_BYTES as usize);
  switch (registers.rax as u32) {
    case Call.Version:
      registers.rax = (INTERFACE_VERSION << 32) | (VERSION as u64);
      return true;
    case Call.Counter:
      readCounter(registers);
      return true;
    case Call.Log:
      readLog(registers);
      return true;
    default:
      return false;
  }
}

function readCounter(registers: Registers): void {
  const index = registers.rbx;
  registers.rax = 0;
  if (index < (catalogue.length as u64)) {
    const counter = unchecked(catalogue[index as i32]);
    registers.rax = counter.value();
    const name = counter.name;
    for (let i = 0; i < name.length; i++) store<u8>(answer + i, name.charCodeAt(i) as u8);
  }
  registers.rbx = load<u64>(answer);
  registers.rcx = load<u64>(answer, 8);
  registers.rdx = load<u64>(answer, 16);
}

function readLog(registers: Registers): void {
  const first = max(registers.rbx, log.oldest());
  const count = first < log.next() ? min(log.next() - first, ANSWER_BYTES) : 0;
  for (let i: u64 = 0; i < count; i++) store<u8>(answer + (i as usize), log.byteAt(first + i));
  registers.rax = count;
  registers.rbx = first;
  registers.rcx = load<u64>(answer);
  registers.rdx = load<u64>(answer, 8);
  registers.rsi = load<u64>(answer, 16);
}
