// Measures what instructions cost, bare or on Sheer: run under an emulator whose clock counts instructions. Each line on
// the first UART is `@@ bench NAME NUMBER`: instructions for one turn of a loop around the instruction in question.
import { Code } from "./code";
import { in32, out32 } from "../../src/metal";
import { write, writeNumber } from "./console";
export * from "./no-guest";

const TURNS: u32 = 1000;

/** One measurement: bytes that set up registers, bytes of the loop's body. RBX, RSI, RDI and interrupts are taken care of. */
class Loop {
  private readonly code: Code = new Code();
  private start: usize = 0;

  constructor(private readonly name: string) {
    this.code.bytes(0x5356_57_9cfa, 5); // push rbx; push rsi; push rdi; pushfq; cli
  }

  setup(bytes: u64, count: u32): Loop {
    this.code.bytes(bytes, count);
    return this;
  }
  setupImmediate(value: u32): Loop {
    this.code.immediate(value);
    return this;
  }

  body(bytes: u64, count: u32): Loop {
    const code = this.code;
    if (!this.start) {
      code.bytes(0xbe, 1).immediate(TURNS); // mov esi,TURNS
      code.bytes(0x0f31_48c1_e220_4809, 8).bytes(0xd0_4989c0, 4); // rdtsc; shl rdx,32; or rax,rdx; mov r8,rax
      this.start = code.here();
    }
    code.bytes(bytes, count);
    return this;
  }
  bodyImmediate(value: u32): Loop {
    this.code.immediate(value);
    return this;
  }

  run(): void {
    const code = this.code;
    code.bytes(0xffce_0f85, 4); // dec esi; jnz start
    code.immediate((this.start - code.here() - 4) as u32);
    code.bytes(0x0f31_48c1_e220_4809, 8).bytes(0xd0_4c29c0, 4); // rdtsc; shl rdx,32; or rax,rdx; sub rax,r8
    code.bytes(0x9d5f_5e5b_c3, 5); // popfq; pop rdi; pop rsi; pop rbx; ret
    const cost = code.call();
    write("@@ bench ");
    write(this.name);
    write(" ");
    writeNumber((cost + TURNS / 2) / TURNS);
    write("\n");
  }
}

const CONFIG_ADDRESS: u32 = 0xcf8;
const CONFIG_DATA: u32 = 0xcfc;
const VIRTIO_NET_ID: u32 = 0x1000_1af4;
const COMMAND: u32 = 0x04;
const MEMORY_SPACE: u32 = 1 << 1;
/** Where Sheer's virtio-net has its MSI-X table, and behind it the pending bits, where it ignores what is written. */
const MEMORY_BAR: u32 = 0x14;
const PENDING_BITS: u32 = 0x800;

/** Address of the virtio-net card's MSI-X table; 0 if there is none. */
function findTable(): u32 {
  for (let device: u32 = 0; device < 32; device++) {
    const name = 0x8000_0000 | (device << 11);
    out32(CONFIG_ADDRESS, name);
    if (in32(CONFIG_DATA) != VIRTIO_NET_ID) continue;
    out32(CONFIG_ADDRESS, name | COMMAND);
    out32(CONFIG_DATA, in32(CONFIG_DATA) | MEMORY_SPACE);
    out32(CONFIG_ADDRESS, name | MEMORY_BAR);
    return in32(CONFIG_DATA) & ~15;
  }
  return 0;
}

const LOCAL_APIC_TASK_PRIORITY: u32 = 0xfee0_0080;
const LOCAL_APIC_EOI: u32 = 0xfee0_00b0;

export function boot(_info: usize): u64 {
  new Loop("nop").body(0x90, 1).run();
  new Loop("cpuid").body(0xb8, 1).bodyImmediate(1).body(0x31c9_0fa2, 4).run(); // mov eax,1; xor ecx,ecx; cpuid
  new Loop("in-cf8").body(0x66baf80c_ed, 5).run(); // mov dx,0xcf8; in eax,dx
  new Loop("in-cfc").body(0x66bafc0c_ed, 5).run(); // mov dx,0xcfc; in eax,dx
  new Loop("rdtsc").body(0x0f31, 2).run();
  new Loop("cr0-wp").body(0x0f20c0_480fbaf8, 7).body(0x10_0f22c0, 4).run(); // mov rax,cr0; btc rax,16; mov cr0,rax
  new Loop("rdmsr-efer").body(0xb9, 1).bodyImmediate(0xc000_0080).body(0x0f32, 2).run(); // mov ecx,efer; rdmsr
  new Loop("apic-read").setup(0x41b9, 2).setupImmediate(LOCAL_APIC_TASK_PRIORITY).body(0x418b01, 3).run(); // mov eax,[r9]
  new Loop("apic-write").setup(0x41b9, 2).setupImmediate(LOCAL_APIC_EOI).body(0x41c701, 3).bodyImmediate(0).run(); // mov dword [r9],0
  const table = findTable();
  if (table) {
    new Loop("mmio-read").setup(0x41b9, 2).setupImmediate(table).body(0x418b01, 3).run(); // mov eax,[r9]
    new Loop("mmio-write")
      .setup(0x41b9, 2)
      .setupImmediate(table + PENDING_BITS)
      .body(0x41c701, 3)
      .bodyImmediate(0)
      .run(); // mov dword [r9],0
  }
  write("@@ bench-done\n");
  return 0;
}
