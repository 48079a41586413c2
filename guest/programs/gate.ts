// Calls machine code through the gate to the firmware with 0 to 7 arguments, and checks what arrives: stack alignment,
// arguments, result, and the firmware's own tables, segments and interrupt flag. `@@ gate N ok` for each.
import { BootInfo, FirmwareContext } from "../../src/boot/info";
import { firmwareCall, physOf } from "../../src/metal";
import { takePages } from "../../src/memory/frames";
import { Code } from "./code";
import { write, writeNumber } from "./console";
export * from "./no-guest";

const MAXIMUM_ARGUMENTS: u32 = 7;
const RESULT: u64 = 0x1234_5678;

/** What the called code writes down. */
@unmanaged
class Arrival {
  rsp: u64;
  a0: u64;
  a1: u64;
  a2: u64;
  a3: u64;
  a4: u64;
  a5: u64;
  a6: u64;
  cr3: u64;
  cs: u64;
  rflags: u64;
  gdt: u64;
  gdtHigh: u64;
  idt: u64;
  idtHigh: u64;

  argument(index: u32): u64 {
    return load<u64>(changetype<usize>(this) + 8 + ((index as usize) << 3));
  }
}

/** Code that fills the Arrival at a physical address. */
function recorder(arrival: u64): Code {
  const code = new Code();
  code
    .bytes(0x48b8, 2)
    .immediate(arrival as u32)
    .immediate((arrival >> 32) as u32); // mov rax,arrival
  code.bytes(0x488920_488948_08, 7).bytes(0x48895010_4c894018, 8).bytes(0x4c894820, 4); // rsp; rcx; rdx; r8; r9
  code.bytes(0x4c8b542428_4c8950, 8).bytes(0x28, 1); // mov r10,[rsp+40]; mov [rax+40],r10
  code.bytes(0x4c8b542430_4c8950, 8).bytes(0x30, 1);
  code.bytes(0x4c8b542438_4c8950, 8).bytes(0x38, 1);
  code.bytes(0x0f20d9_48894840, 7); // mov rcx,cr3; mov [rax+64],rcx
  code.bytes(0x8cc9_4889_4848, 6); // mov ecx,cs; mov [rax+72],rcx
  code.bytes(0x9c59_48894850, 6); // pushfq; pop rcx; mov [rax+80],rcx
  code.bytes(0x0f014058_0f014868, 8); // sgdt [rax+88]; sidt [rax+104]
  code
    .bytes(0xb8, 1)
    .immediate(RESULT as u32)
    .bytes(0xc3, 1); // mov eax,result; ret
  return code;
}

export function boot(at: usize): u64 {
  const info = changetype<BootInfo>(at);
  const arrival = changetype<Arrival>(takePages(1));
  const args = takePages(1);
  const target = recorder(physOf(changetype<usize>(arrival))).address();
  for (let i: u32 = 0; i < MAXIMUM_ARGUMENTS; i++)
    store<u64>(args + ((i as usize) << 3), 0x1111_1111_1111_1111 * ((i + 1) as u64));
  for (let count: u32 = 0; count <= MAXIMUM_ARGUMENTS; count++) {
    memory.fill(changetype<usize>(arrival), 0xff, offsetof<Arrival>());
    const result = firmwareCall(target, args, count);
    write("@@ gate ");
    writeNumber(count);
    write(result == RESULT && holds(info.context, arrival, args, count) ? " ok\n" : " wrong\n");
  }
  write("@@ done\n");
  return 0;
}

function holds(info: FirmwareContext, arrival: Arrival, args: usize, count: u32): bool {
  // The call pushed a return address on a stack aligned to 16 bytes (UEFI 2.10, 2.3.4.2)
  if ((arrival.rsp & 15) != 8) return false;
  for (let i: u32 = 0; i < count; i++) {
    if (arrival.argument(i) != load<u64>(args + ((i as usize) << 3))) return false;
  }
  const base16 = (low: u64, high: u64): u64 => (low >> 16) | (high << 48); // the limit comes first
  return (
    arrival.cr3 == info.cr3 &&
    arrival.cs == (info.cs as u64) &&
    ((arrival.rflags ^ info.rflags) & (1 << 9)) == 0 &&
    base16(arrival.gdt, arrival.gdtHigh) == info.gdtBase &&
    base16(arrival.idt, arrival.idtHigh) == info.idtBase
  );
}
