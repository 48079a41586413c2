/** A processor's registers when the firmware called Sheer: all that a return must restore. metal/main.c has the same layout. */
@unmanaged
export class FirmwareContext {
  /** Points at the return address. */
  rsp: u64;
  rbx: u64;
  rbp: u64;
  rsi: u64;
  rdi: u64;
  r12: u64;
  r13: u64;
  r14: u64;
  r15: u64;
  rflags: u64;
  cr0: u64;
  cr3: u64;
  cr4: u64;
  efer: u64;
  fsBase: u64;
  gsBase: u64;
  gdtBase: u64;
  idtBase: u64;
  gdtLimit: u32;
  idtLimit: u32;
  cs: u16;
  ss: u16;
  ds: u16;
  es: u16;
  fs: u16;
  gs: u16;
  tr: u16;
  ldtr: u16;
}

/**
 * What the entry path leaves for the core at a fixed place, the second page of linear memory: the block that was
 * reserved and, behind these fields, the boot processor's context.
 */
@unmanaged
export class BootInfo {
  imageHandle: u64;
  systemTable: u64;
  /** Physical base and size in bytes of Sheer's block. */
  blockBase: u64;
  blockSize: u64;

  get context(): FirmwareContext {
    return changetype<FirmwareContext>(changetype<usize>(this) + offsetof<BootInfo>());
  }
}

/** Where BootInfo lies in linear memory; static data starts one page above. */
export const BOOT_INFO: usize = 0x1000;
