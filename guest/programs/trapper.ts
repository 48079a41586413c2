// Calls up the faults of test/cores/trapping.ts one after the other, and says which it lived through.
import { Code } from "./code";
import { write, writeNumber } from "./console";
export * from "./no-guest";

const FAULTS: u32 = 6;
const TRAP_LEAF: u32 = 0x5348_dead;

export function boot(_info: usize): u64 {
  for (let fault: u32 = 0; fault < FAULTS; fault++) {
    // push rbx; mov eax,leaf; mov ecx,fault; cpuid; pop rbx; ret
    const code = new Code().bytes(0x53b8, 2).immediate(TRAP_LEAF).bytes(0xb9, 1).immediate(fault);
    code.bytes(0x0fa2_5bc3, 4).call();
    write("@@ survived ");
    writeNumber(fault);
    write("\n");
  }
  write("@@ done\n");
  return 0;
}
