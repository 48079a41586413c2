// Has the firmware run a piece of machine code on its other processors, first on one after the other, then on all at once.
// The code looks whether CPUID answers there as Sheer does: `@@ alone APIC ok` or `wrong` for each processor that ran it,
// by its local APIC's number, and then `@@ together APIC ok`. Where the processor has x2APIC mode, all are then put into it,
// and both are done again, as `@@ x2apic-alone` and `@@ x2apic-together`: the firmware now sends INIT and start-up
// interrupts by an MSR. On Sheer, each processor then disables its local APIC and enables it again, which ends x2APIC mode,
// and says as `@@ disabled` whether it was gone in between; the firmware calls them once more, as `@@ enabled`. (Emulators
// do not enable it again.) At the end `@@ multiprocessor-done` and the number of processors that the firmware has.
import { firmware } from "../../src/boot/firmware";
import { MpServices, mpServices, numberOfProcessors } from "../../src/boot/mp-services";
import { takePages } from "../../src/memory/frames";
import { APIC_PAGE } from "../../src/interrupt/apic";
import { APIC_BASE_ENABLED, APIC_BASE_X2APIC, ApicRegister, MSR_APIC_BASE } from "../../src/interrupt/apic-registers";
import { cpuid, physOf, physRead32, physWrite32, rdmsr, wrmsr } from "../../src/metal";
import { Code } from "./code";
import { write, writeNumber } from "./console";
export * from "./no-guest";

const MSR_X2APIC_ID: u32 = 0x802;
const X2APIC_FEATURE: u32 = 1 << 21;
const PATIENCE: u64 = 10_000_000; // microseconds

/** "SheerSheerSh", as CPUID leaf 4000_0000h answers in EBX, ECX and EDX. */
const SIGNATURE_EBX: u32 = 0x65656853;
const SIGNATURE_ECX: u32 = 0x65685372;
const SIGNATURE_EDX: u32 = 0x68537265;

/** What one processor found. */
@unmanaged
class Answer {
  ebx: u32;
  ecx: u32;
  edx: u32;
  apic: u32;
}
const ANSWER_BYTES: usize = 16;

/** How many processors have answered, and what: each takes the next place. */
class Answers {
  private readonly page: usize = takePages(1);

  forget(): void {
    memory.fill(this.page, 0, 4096);
  }
  address(): u64 {
    return physOf(this.page);
  }
  get count(): u32 {
    return load<u32>(this.page);
  }
  at(index: u32): Answer {
    return changetype<Answer>(this.page + ANSWER_BYTES * ((index as usize) + 1));
  }
}

/** What a processor does beside looking, and where it reads its local APIC's number. */
const enum Mode {
  Xapic,
  EnterX2apic,
  X2apic,
  /** Disables its local APIC, and adds NOT_DISABLED to its number if CPUID then still tells of one. */
  DisableAndEnable,
}
const NOT_DISABLED: u32 = 1 << 9; // where CPUID tells of it

/** EFI_AP_PROCEDURE: code that takes the address of the answers in RCX and adds one. */
function observer(mode: Mode): u64 {
  const code = new Code();
  code.bytes(0x53_4989c8, 4); // push rbx; mov r8,rcx
  if (mode == Mode.EnterX2apic) {
    code.bytes(0xb9, 1).immediate(MSR_APIC_BASE).bytes(0x0f32_0d, 3); // mov ecx,msr; rdmsr; or eax,...
    code.immediate((APIC_BASE_ENABLED | APIC_BASE_X2APIC) as u32).bytes(0x0f30, 2); // ...; wrmsr
  }
  code.bytes(0x4531d2, 3); // xor r10d,r10d
  if (mode == Mode.DisableAndEnable) {
    code.bytes(0xb9, 1).immediate(MSR_APIC_BASE).bytes(0x0f32_25, 3); // mov ecx,msr; rdmsr; and eax,...
    code.immediate(~(APIC_BASE_ENABLED | APIC_BASE_X2APIC) as u32).bytes(0x0f30_50_52, 4); // ...; wrmsr; push rax; push rdx
    code.bytes(0xb8, 1).immediate(1).bytes(0x0fa2_81e2, 4); // mov eax,1; cpuid; and edx,...
    code.immediate(NOT_DISABLED).bytes(0x4189d2_5a_58, 5); // ...; mov r10d,edx; pop rdx; pop rax
    code.bytes(0xb9, 1).immediate(MSR_APIC_BASE).bytes(0x0d, 1); // mov ecx,msr; or eax,...
    code.immediate(APIC_BASE_ENABLED as u32).bytes(0x0f30, 2); // ...; wrmsr
  }
  code.bytes(0xb8, 1).immediate(1).bytes(0xf0_410fc100, 5); // mov eax,1; lock xadd [r8],eax
  code.bytes(0xffc0_c1e004, 5).bytes(0x4d8d0c00, 4); // inc eax; shl eax,4; lea r9,[r8+rax]
  code.bytes(0xb8, 1).immediate(0x4000_0000).bytes(0x31c9_0fa2, 4); // mov eax,leaf; xor ecx,ecx; cpuid
  code.bytes(0x418919_41894904, 7).bytes(0x41895108, 4); // mov [r9],ebx; mov [r9+4],ecx; mov [r9+8],edx
  if (mode == Mode.Xapic || mode == Mode.DisableAndEnable) {
    code.bytes(0xb8, 1).immediate(1).bytes(0x0fa2_c1eb18, 5); // mov eax,1; cpuid; shr ebx,24
  } else {
    code.bytes(0xb9, 1).immediate(MSR_X2APIC_ID).bytes(0x0f32_89c3, 4); // mov ecx,msr; rdmsr; mov ebx,eax
  }
  code.bytes(0x4409d3, 3).bytes(0x4189590c_5b_c3, 6); // or ebx,r10d; mov [r9+12],ebx; pop rbx; ret
  return code.address();
}

/** Says what each processor found that has answered, and forgets it. */
function tell(kind: string, answers: Answers): void {
  for (let i: u32 = 0; i < answers.count; i++) {
    const answer = answers.at(i);
    const contained = answer.ebx == SIGNATURE_EBX && answer.ecx == SIGNATURE_ECX && answer.edx == SIGNATURE_EDX;
    write("@@ ");
    write(kind);
    write(" ");
    writeNumber(answer.apic);
    write(contained ? " ok\n" : " wrong\n");
  }
  answers.forget();
}

/** Has the firmware run `code` on each of its other processors, one after the other. */
function runOnEach(services: u64, count: u64, code: u64, answers: Answers): void {
  // The firmware answers for the boot processor's own number with an error.
  for (let number: u64 = 0; number < count; number++)
    firmware.call(services, MpServices.StartupThisAp, services, code, number, 0, PATIENCE, answers.address(), 0);
}

function runOnAll(services: u64, code: u64, answers: Answers): void {
  firmware.call(services, MpServices.StartupAllAps, services, code, 0, 0, PATIENCE, answers.address(), 0);
}

function hasX2apic(): bool {
  const registers = memory.data(32, 8);
  cpuid(1, 0, registers);
  return (load<u32>(registers, 8) & X2APIC_FEATURE) != 0;
}

function observeInX2apicMode(services: u64, count: u64, answers: Answers): void {
  runOnEach(services, count, observer(Mode.EnterX2apic), answers);
  answers.forget();
  wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_X2APIC);
  const code = observer(Mode.X2apic);
  runOnEach(services, count, code, answers);
  tell("x2apic-alone", answers);
  runOnAll(services, code, answers);
  tell("x2apic-together", answers);
}

function onSheer(): bool {
  const registers = memory.data(32, 8);
  cpuid(0x4000_0000, 0, registers);
  return load<u32>(registers, 24) == SIGNATURE_EBX;
}

/** The boot processor's local APIC, as the firmware's timer needs it. */
class FirmwareApic {
  private readonly spurious: u32 = physRead32(APIC_PAGE + ApicRegister.SpuriousVector);
  private readonly timer: u32 = physRead32(APIC_PAGE + ApicRegister.FirstLocalVector);
  private readonly pin: u32 = physRead32(APIC_PAGE + ApicRegister.LocalInterrupt0);

  /** Disables it, enables it, and puts it back to how it was. */
  restart(): void {
    wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) & ~(APIC_BASE_ENABLED | APIC_BASE_X2APIC));
    wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_ENABLED);
    physWrite32(APIC_PAGE + ApicRegister.SpuriousVector, this.spurious);
    physWrite32(APIC_PAGE + ApicRegister.FirstLocalVector, this.timer);
    physWrite32(APIC_PAGE + ApicRegister.LocalInterrupt0, this.pin);
  }
}

function observeAfterDisabling(services: u64, count: u64, answers: Answers, apic: FirmwareApic): void {
  runOnEach(services, count, observer(Mode.DisableAndEnable), answers);
  tell("disabled", answers);
  apic.restart();
  runOnEach(services, count, observer(Mode.Xapic), answers);
  tell("enabled", answers);
}

export function boot(_info: usize): u64 {
  const services = mpServices();
  const count = services ? numberOfProcessors(services, takePages(1)) : 1;
  const answers = new Answers();
  if (services) {
    const code = observer(Mode.Xapic);
    const apic = new FirmwareApic();
    runOnEach(services, count, code, answers);
    tell("alone", answers);
    runOnAll(services, code, answers);
    tell("together", answers);
    if (hasX2apic()) observeInX2apicMode(services, count, answers);
    if (onSheer()) observeAfterDisabling(services, count, answers, apic);
  }
  write("@@ multiprocessor-done ");
  writeNumber(count);
  write("\n");
  return 0;
}
