// The virtual machine control block (AMD APM 2, appendix B). The control area is at 0, the state save area at 0x400.

/** Intercepts in the word at 00Ch (AMD APM 2, table B-1). */
export const enum Intercept1 {
  Intr = 1 << 0,
  Nmi = 1 << 1,
  Init = 1 << 3,
  Vintr = 1 << 4,
  Cpuid = 1 << 18,
  Iret = 1 << 20,
  Invd = 1 << 22,
  Hlt = 1 << 24,
  Invlpga = 1 << 26,
  IoioProt = 1 << 27,
  MsrProt = 1 << 28,
  Shutdown = 1 << 31,
}

/** Intercepts in the word at 010h. */
export const enum Intercept2 {
  Vmrun = 1 << 0,
  Vmmcall = 1 << 1,
  Vmload = 1 << 2,
  Vmsave = 1 << 3,
  Stgi = 1 << 4,
  Clgi = 1 << 5,
  Skinit = 1 << 6,
  Mwait = 1 << 11,
}

export const INTERCEPT_WRITE_CR8: u32 = 1 << 24;

/** VMCB Clean: what the processor may keep from the last run, since only it has changed it (AMD APM 2, 15.15.2). */
const enum Clean {
  Intercepts = 1 << 0,
  PermissionMaps = 1 << 1,
  Asid = 1 << 2,
  VirtualInterrupt = 1 << 3,
  NestedPaging = 1 << 4,
  ControlRegisters = 1 << 5,
  DebugRegisters = 1 << 6,
  Cr2 = 1 << 9,
}
/** With those for the tables, the segments and the last branch. */
export const ALL_CLEAN: u32 = 0x7ff;

/** A segment register in the save area: selector, attributes (as the descriptor's, packed to 12 bits), limit, base. */
@unmanaged
export class VmcbSegment {
  selector: u16;
  attributes: u16;
  limit: u32;
  base: u64;

  set(selector: u32, attributes: u32, limit: u32, base: u64): void {
    this.selector = selector as u16;
    this.attributes = attributes as u16;
    this.limit = limit;
    this.base = base;
  }
}

export const enum SegmentAttribute {
  /** Default operand size, D/B. */
  Default = 1 << 10,
  Long = 1 << 9,
}

const EFER_LMA: u32 = 1 << 10;

@unmanaged
export class Vmcb {
  private get at(): usize {
    return changetype<usize>(this);
  }
  /** Reads of CR0 to CR15 in 15:0, writes in 31:16. */
  set interceptControl(v: u32) {
    store<u32>(this.at, v, 0x000);
    this.clean &= ~Clean.Intercepts;
  }
  set interceptMisc1(v: u32) {
    store<u32>(this.at, v, 0x00c);
    this.clean &= ~Clean.Intercepts;
  }
  get interceptMisc1(): u32 {
    return load<u32>(this.at, 0x00c);
  }
  get interceptMisc2(): u32 {
    return load<u32>(this.at, 0x010);
  }
  set interceptMisc2(v: u32) {
    store<u32>(this.at, v, 0x010);
    this.clean &= ~Clean.Intercepts;
  }
  set iopmBase(v: u64) {
    store<u64>(this.at, v, 0x040);
    this.clean &= ~Clean.PermissionMaps;
  }
  set msrpmBase(v: u64) {
    store<u64>(this.at, v, 0x048);
    this.clean &= ~Clean.PermissionMaps;
  }
  set guestAsid(v: u32) {
    store<u32>(this.at, v, 0x058);
    this.clean &= ~Clean.Asid;
  }
  /** TLB_CONTROL: 1 flushes everything on the next VMRUN. */
  set tlbControl(v: u8) {
    store<u8>(this.at, v, 0x05c);
  }
  /** V_IRQ 8, V_INTR_PRIO 19:16, V_IGN_TPR 20, V_INTR_MASKING 24, V_INTR_VECTOR 39:32. */
  set virtualInterrupt(v: u64) {
    store<u64>(this.at, v, 0x060);
    this.clean &= ~Clean.VirtualInterrupt;
  }
  get virtualInterrupt(): u64 {
    return load<u64>(this.at, 0x060);
  }
  /** Bit 0: the guest is in the shadow of STI or MOV SS. */
  get interruptShadow(): u64 {
    return load<u64>(this.at, 0x068);
  }
  set interruptShadow(v: u64) {
    store<u64>(this.at, v, 0x068);
  }
  get exitCode(): u32 {
    return load<u32>(this.at, 0x070);
  }
  get exitInfo1(): u64 {
    return load<u64>(this.at, 0x078);
  }
  get exitInfo2(): u64 {
    return load<u64>(this.at, 0x080);
  }
  get exitIntInfo(): u64 {
    return load<u64>(this.at, 0x088);
  }
  /** Bit 0: NP_ENABLE. */
  set nestedControl(v: u64) {
    store<u64>(this.at, v, 0x090);
    this.clean &= ~Clean.NestedPaging;
  }
  get eventInjection(): u64 {
    return load<u64>(this.at, 0x0a8);
  }
  set eventInjection(v: u64) {
    store<u64>(this.at, v, 0x0a8);
  }
  /**
   * VMCB Clean (AMD APM 2, 15.15.1). Every setter of what it covers clears a bit; after changes of segments, tables and
   * the CPL it has to be set to 0.
   */
  set clean(v: u32) {
    store<u32>(this.at, v, 0x0c0);
  }
  get clean(): u32 {
    return load<u32>(this.at, 0x0c0);
  }
  /** Where instructions that cause exits end, if the processor has next-RIP save; else, and after other exits, 0. */
  get nextRip(): u64 {
    return load<u64>(this.at, 0x0c8);
  }
  /** Decode assists: how many of the instruction's bytes follow, up to 15. */
  get fetchedCount(): u32 {
    return load<u8>(this.at, 0x0d0) & 15;
  }
  /** 16 bytes, of which `fetchedCount` are the instruction's. */
  get fetchedBytes(): usize {
    return this.at + 0x0d1;
  }
  set nestedCr3(v: u64) {
    store<u64>(this.at, v, 0x0b0);
    this.clean &= ~Clean.NestedPaging;
  }

  /** Segments in the order of Segment (ES, CS, SS, DS, FS, GS), then GDTR, LDTR, IDTR, TR. */
  segment(index: u32): VmcbSegment {
    return changetype<VmcbSegment>(this.at + 0x400 + ((index as usize) << 4));
  }
  /** Whether the guest runs in 64-bit mode: long mode is active, and CS says so (AMD APM 2, 4.8.1). */
  @inline in64BitMode(): bool {
    return ((this.efer as u32) & EFER_LMA) != 0 && (load<u16>(this.at, 0x412) & SegmentAttribute.Long) != 0;
  }
  get cpl(): u8 {
    return load<u8>(this.at, 0x4cb);
  }
  set cpl(v: u8) {
    store<u8>(this.at, v, 0x4cb);
  }
  get efer(): u64 {
    return load<u64>(this.at, 0x4d0);
  }
  set efer(v: u64) {
    store<u64>(this.at, v, 0x4d0);
    this.clean &= ~Clean.ControlRegisters;
  }
  get cr4(): u64 {
    return load<u64>(this.at, 0x548);
  }
  set cr4(v: u64) {
    store<u64>(this.at, v, 0x548);
    this.clean &= ~Clean.ControlRegisters;
  }
  get cr3(): u64 {
    return load<u64>(this.at, 0x550);
  }
  set cr3(v: u64) {
    store<u64>(this.at, v, 0x550);
    this.clean &= ~Clean.ControlRegisters;
  }
  get cr0(): u64 {
    return load<u64>(this.at, 0x558);
  }
  set cr0(v: u64) {
    store<u64>(this.at, v, 0x558);
    this.clean &= ~Clean.ControlRegisters;
  }
  set dr7(v: u64) {
    store<u64>(this.at, v, 0x560);
    this.clean &= ~Clean.DebugRegisters;
  }
  get dr6(): u64 {
    return load<u64>(this.at, 0x568);
  }
  set dr6(v: u64) {
    store<u64>(this.at, v, 0x568);
    this.clean &= ~Clean.DebugRegisters;
  }
  get rflags(): u64 {
    return load<u64>(this.at, 0x570);
  }
  set rflags(v: u64) {
    store<u64>(this.at, v, 0x570);
  }
  get rip(): u64 {
    return load<u64>(this.at, 0x578);
  }
  set rip(v: u64) {
    store<u64>(this.at, v, 0x578);
  }
  get rsp(): u64 {
    return load<u64>(this.at, 0x5d8);
  }
  set rsp(v: u64) {
    store<u64>(this.at, v, 0x5d8);
  }
  get rax(): u64 {
    return load<u64>(this.at, 0x5f8);
  }
  set rax(v: u64) {
    store<u64>(this.at, v, 0x5f8);
  }
  /** STAR, LSTAR, CSTAR, SFMASK, KernelGsBase, SYSENTER_CS, SYSENTER_ESP, SYSENTER_EIP lie in this order at 600h. */
  setSystemMsr(index: u32, v: u64): void {
    store<u64>(this.at + 0x600 + ((index as usize) << 3), v);
  }
  get cr2(): u64 {
    return load<u64>(this.at, 0x640);
  }
  set cr2(v: u64) {
    store<u64>(this.at, v, 0x640);
    this.clean &= ~Clean.Cr2;
  }
  set guestPat(v: u64) {
    store<u64>(this.at, v, 0x668);
    this.clean &= ~Clean.NestedPaging;
  }
}
