import { FirmwareContext } from "../boot/info";
import { physRead64 } from "../metal";
import { Segment } from "./vcpu";

/** Segment registers of the system, behind those of Segment. */
export const enum SystemSegment {
  Ldtr = 6,
  Tr = 7,
}

/** A descriptor's bits 47:40 in 7:0 and 55:52 in 11:8, as they are in real mode: present, and LDT, busy TSS, data or code. */
const enum Attributes {
  Ldt = 0x82,
  Tss = 0x8b,
  Data = 0x93,
  Code = 0x9b,
  Granularity = 1 << 11,
}

const RESET_SELECTOR: u32 = 0xf000;
const RESET_BASE: u64 = 0xffff_0000;
const RESET_LIMIT: u32 = 0xffff;

/** A guest processor's segment and descriptor-table registers, wherever its vendor's hardware keeps them. */
export abstract class SegmentRegisters {
  abstract set(index: u32, selector: u32, attributes: u32, limit: u32, base: u64): void;
  /** For a null selector of any but the task register: the register holds no segment. */
  abstract setNull(index: u32, selector: u32): void;
  /** Sets what FS or GS has beside its descriptor. */
  abstract setBase(index: u32, base: u64): void;
  abstract setTables(gdtBase: u64, gdtLimit: u32, idtBase: u64, idtLimit: u32): void;

  /** As INIT leaves them (AMD APM 2, table 14-1; Intel SDM 3, table 10-1). */
  reset(): void {
    for (let index: u32 = 0; index <= (Segment.Gs as u32); index++) this.set(index, 0, Attributes.Data, RESET_LIMIT, 0);
    this.set(Segment.Cs, RESET_SELECTOR, Attributes.Code, RESET_LIMIT, RESET_BASE);
    this.set(SystemSegment.Ldtr, 0, Attributes.Ldt, RESET_LIMIT, 0);
    this.setUnusedTaskRegister();
    this.setTables(0, RESET_LIMIT, 0, RESET_LIMIT);
  }

  /** As a start-up interrupt leaves CS. */
  startAt(vector: u32): void {
    this.set(Segment.Cs, vector << 8, Attributes.Code, RESET_LIMIT, (vector as u64) << 12);
  }

  /** As the firmware had them when it called. */
  loadFirmware(context: FirmwareContext): void {
    this.load(context, Segment.Es, context.es);
    this.load(context, Segment.Cs, context.cs);
    this.load(context, Segment.Ss, context.ss);
    this.load(context, Segment.Ds, context.ds);
    this.load(context, Segment.Fs, context.fs);
    this.load(context, Segment.Gs, context.gs);
    this.setBase(Segment.Fs, context.fsBase);
    this.setBase(Segment.Gs, context.gsBase);
    this.load(context, SystemSegment.Ldtr, context.ldtr);
    // Firmware mostly loads no task register: the one out of reset stays. Without one there is no VMX operation and, on some
    // processors, no entering long mode.
    if (context.tr & ~3) this.load(context, SystemSegment.Tr, context.tr);
    else this.setUnusedTaskRegister();
    this.setTables(context.gdtBase, context.gdtLimit, context.idtBase, context.idtLimit);
  }

  private setUnusedTaskRegister(): void {
    this.set(SystemSegment.Tr, 0, Attributes.Tss, RESET_LIMIT, 0);
  }

  /** Fills the hidden part from the firmware's GDT, as loading the selector did (AMD APM 2, 4.7 and 4.8; Intel SDM 3, 3.4.5). */
  private load(context: FirmwareContext, index: u32, selector: u32): void {
    if (!(selector & ~3)) return this.setNull(index, selector);
    const at = context.gdtBase + ((selector & ~7) as u64);
    const descriptor = physRead64(at);
    let base = ((descriptor >> 16) & 0xff_ffff) | ((descriptor >> 32) & 0xff00_0000);
    if (index >= (SystemSegment.Ldtr as u32)) base |= physRead64(at + 8) << 32;
    const attributes = (((descriptor >> 40) & 0xff) | ((descriptor >> 44) & 0xf00)) as u32;
    let limit = ((descriptor & 0xffff) | ((descriptor >> 32) & 0xf_0000)) as u32;
    if (attributes & Attributes.Granularity) limit = (limit << 12) | 0xfff;
    this.set(index, selector, attributes, limit, base);
  }
}
