// Has Sheer carry out an instruction that stores to a page whose protection key forbids it.
import { BootInfo } from "../../src/boot/info";
import { physOf, physWrite64 } from "../../src/metal";
import { takePages } from "../../src/memory/frames";
import { say } from "./block";
import { Code } from "./code";
import { FAULTED, LINEAR, makeTables, Probe, TABLE_ENTRY, topSlot } from "./probe";

const USER: u64 = 4;
const KEY: u64 = 1;
const KEY_SHIFT: u64 = 59;
const CR4_PKE: u32 = 1 << 22;
/** PKRU: no access by key 1. */
const ACCESS_DISABLED: u32 = 1 << 2;
/** Of the page-fault error code: P, R/W and PK. */
const WRITE_BY_KEY: u64 = 0x23;
/** The local APIC's version register: its page is Sheer's to answer for, so Sheer carries the whole instruction out. */
const APIC_VERSION: u32 = 0xfee0_0030;

/** MOVS from the local APIC to the address, with protection keys in force. */
class KeyProbe extends Probe {
  protected access(code: Code): void {
    code.bytes(0x56_57_4889cf, 5).bytes(0xbe, 1).immediate(APIC_VERSION); // push rsi; push rdi; mov rdi,rcx; mov esi,..
    code.bytes(0x0f20e0_50, 4).bytes(0x0d, 1).immediate(CR4_PKE).bytes(0x0f22e0, 3); // mov rax,cr4; push rax; or eax,PKE
    code.bytes(0x31c9_31d2_b8, 5).immediate(ACCESS_DISABLED).bytes(0x0f01ef, 3); // xor ecx,ecx; xor edx,edx; wrpkru
    code.bytes(0x3e3ea5, 3); // movsd, with two prefixes that do nothing
    code.bytes(0x4989d1_31c9, 5).bytes(0x31d2_31c0_0f01ef, 7); // mov r9,rdx; xor ecx,ecx; xor edx,edx; xor eax,eax; wrpkru
    code.bytes(0x58_0f22e0_5f_5e, 6).bytes(0x4c89ca, 3); // pop rax; mov cr4,rax; pop rdi; pop rsi; mov rdx,r9
  }
}

export function tryProtectionKeys(info: BootInfo): void {
  const top = topSlot(info);
  const pages = makeTables(top, TABLE_ENTRY | USER);
  const own = takePages(1);
  store<u64>(pages, physOf(own) | TABLE_ENTRY | USER);
  store<u64>(pages, physOf(own) | TABLE_ENTRY | USER | (KEY << KEY_SHIFT), 8);
  const probe = new KeyProbe(info);
  say("store-by-permitted-key-is-done", probe.touch(LINEAR) == 0 && load<u32>(own) != 0);
  store<u32>(own, 0);
  const answer = probe.touch(LINEAR + 4096);
  say("store-by-forbidden-key-faults", answer == (FAULTED | WRITE_BY_KEY) && load<u32>(own) == 0);
  physWrite64(top, 0);
}
