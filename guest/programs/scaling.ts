// Measures what exits cost when all processors have them at the same time, bare or on Sheer: run under an emulator whose
// clock counts the instructions of all processors together. Each executes a fixed number of CPUIDs; the line on the first
// UART is `@@ bench NAME NUMBER`: instructions of all together, divided by the number of CPUIDs.
import { BootInfo } from "../../src/boot/info";
import { firmware } from "../../src/boot/firmware";
import { MpServices, mpServices, numberOfProcessors } from "../../src/boot/mp-services";
import { takePages } from "../../src/memory/frames";
import { physOf, physRead64 } from "../../src/metal";
import { Code } from "./code";
import { write, writeNumber } from "./console";
export * from "./no-guest";

const TURNS: u32 = 1000;

/** Offsets of EFI_SYSTEM_TABLE and EFI_BOOT_SERVICES (UEFI 2.10, 4.3 and 4.4). */
const BOOT_SERVICES: u64 = 96;
const CREATE_EVENT: u64 = 80;
const TPL_CALLBACK: u64 = 8;

/** What the processors share, in memory below 4 GiB. */
@unmanaged
class Meeting {
  processors: u32;
  arrived: u32;
  finished: u32;
}

/**
 * Waits for all processors, executes TURNS times CPUID and PAUSE, waits for all again, and returns the clock's advance from
 * the first meeting to the second. PAUSE has the emulator go on with another processor: so their exits alternate.
 */
function loopFor(meeting: u32): Code {
  const code = new Code();
  code.bytes(0x539cfa_41b8, 5).immediate(meeting); // push rbx; pushfq; cli; mov r8d,meeting
  code.bytes(0xf041ff4004, 5).bytes(0xf390_418b4004, 6).bytes(0x413b00_72f5, 5); // lock inc [r8+4]; until it is [r8]: pause
  code.bytes(0x0f31_48c1e220_4809, 8).bytes(0xd0_4989c2, 4); // rdtsc; shl rdx,32; or rax,rdx; mov r10,rax
  code.bytes(0x41b9, 2).immediate(TURNS); // mov r9d,TURNS
  code.bytes(0xb8, 1).immediate(1).bytes(0x31c9_0fa2_f390, 6).bytes(0x41ffc9_75f0, 5); // mov eax,1; xor ecx,ecx; cpuid; pause; dec r9d; jnz
  code.bytes(0xf041ff4008, 5).bytes(0xf390_418b4008, 6).bytes(0x413b00_72f5, 5); // lock inc [r8+8]; until it is [r8]: pause
  code.bytes(0x0f31_48c1e220_4809, 8).bytes(0xd0_4c29d0, 4); // rdtsc; shl rdx,32; or rax,rdx; sub rax,r10
  return code.bytes(0x9d5bc3, 3); // popfq; pop rbx; ret
}

/** Has all other processors begin `code`, and does not wait for them. */
function startOthers(info: BootInfo, services: u64, code: u64, scratch: usize): void {
  const bootServices = physRead64(info.systemTable + BOOT_SERVICES);
  const event = physOf(scratch);
  firmware.call(bootServices, CREATE_EVENT, 0, TPL_CALLBACK, 0, 0, event);
  firmware.call(services, MpServices.StartupAllAps, services, code, 0, load<u64>(scratch));
}

export function boot(at: usize): u64 {
  const scratch = takePages(1);
  const meeting = changetype<Meeting>(takePages(1));
  const code = loopFor(physOf(changetype<usize>(meeting)) as u32);
  const services = mpServices();
  const count = numberOfProcessors(services, scratch);
  meeting.processors = count;
  if (count > 1) startOthers(changetype<BootInfo>(at), services, code.address(), scratch);
  const cost = code.call();
  const exits = count * TURNS;
  write("@@ bench cpuid-on-");
  writeNumber(count);
  write(" ");
  writeNumber((cost + exits / 2) / exits);
  write("\n");
  return 0;
}
