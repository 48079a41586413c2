import { physCompareExchange32, physCompareExchange64, physRead32, physRead64, readPkru } from "../metal";
import { Rflags, Vcpu } from "../vcpu/vcpu";
import { guestMemory } from "./guest";
import { guestSpace } from "./space";

// The guest's own paging, walked as its processor walks it (APM 2, chapter 5). Nothing here trusts the tables: every
// entry is read once, and one that lies where the guest has no memory reads as zero, "not present", because that is
// what the guest finds when it looks at such an address itself.

/** What an access is, in the bits that a page-fault error code has for it (APM 2, 8.4.2). */
export const enum Access {
  Read = 0,
  Write = 1 << 1,
  Fetch = 1 << 4,
}

/** The other bits of the error code. */
const enum PageFault {
  Present = 1 << 0,
  User = 1 << 2,
  Reserved = 1 << 3,
  ProtectionKey = 1 << 5,
}

export const enum Cr0 {
  Pe = 1 << 0,
  Em = 1 << 2,
  Ts = 1 << 3,
  Wp = 1 << 16,
  Am = 1 << 18,
  Pg = 1 << 31,
}

export const enum Cr4 {
  Pse = 1 << 4,
  Pae = 1 << 5,
  Osfxsr = 1 << 9,
  La57 = 1 << 12,
  Osxsave = 1 << 18,
  Smep = 1 << 20,
  Smap = 1 << 21,
  Pke = 1 << 22,
}

const enum Efer {
  Lma = 1 << 10,
  Nxe = 1 << 11,
}

/** A page-table entry (APM 2, 5.4). Accessed and Dirty lie in its first byte. */
const enum Entry {
  Present = 1 << 0,
  Write = 1 << 1,
  User = 1 << 2,
  Accessed = 1 << 5,
  Dirty = 1 << 6,
  /** Maps a large page. */
  Large = 1 << 7,
}
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
/** Bits 62:52, reserved in the tables of PAE paging outside long mode. */
const LEGACY_RESERVED: u64 = 0x7ff0_0000_0000_0000;
/** Of an entry that maps a page: its protection key, if there are such (APM 2, 5.6.7). */
const KEY_SHIFT: u64 = 59;
/** Of PKRU, in the two bits of each key. */
const enum KeyRights {
  AccessDisabled = 1,
  WriteDisabled = 2,
}
/** Reserved bits of a page-directory-pointer entry in PAE paging outside long mode (APM 2, figure 5-9). */
const PDPE_RESERVED: u64 = 0xfff0_0000_0000_01e6;

const FAULT: u64 = 1 << 63;
/** In place of a page fault: an entry has changed since it was read. */
const CHANGED: u64 = FAULT | (1 << 62);

/** Address bits of an entry that the machine does not have. */
let unimplemented: u64 = 0;

/** Sets the width of the machine's physical addresses (CPUID 8000_0008, EAX 7:0), beyond which bits are reserved. */
export function setPhysicalBits(bits: u32): void {
  unimplemented = ADDRESS & ~(((1 as u64) << (bits as u64)) - 1);
}

/**
 * The guest-physical address of a guest-linear one, with the guest's rights checked at its current privilege level and
 * the accessed and dirty bits set; or, if `isFault`, what `raiseFault` is for.
 */
export function translate(vcpu: Vcpu, linear: u64, access: u32): u64 {
  if (!((vcpu.cr0() as u32) & Cr0.Pg)) return linear & 0xffff_ffff;
  const cr4 = vcpu.cr4() as u32;
  const efer = vcpu.efer() as u32;
  const cr3 = vcpu.cr3();
  const kind: u32 = access | (vcpu.cpl() == 3 ? PageFault.User : 0);
  const reserved = unimplemented | (efer & Efer.Nxe ? 0 : NO_EXECUTE);
  if (efer & Efer.Lma) return walk(vcpu, linear, kind, cr3, cr4 & Cr4.La57 ? 5 : 4, reserved);
  if (cr4 & Cr4.Pae) return walkPae(vcpu, linear, kind, cr3, reserved);
  return walk32(vcpu, linear, kind, cr3, (cr4 & Cr4.Pse) != 0);
}

/** Whether `translate` found a page fault. */
export function isFault(result: u64): bool {
  return (result & FAULT) != 0;
}

/**
 * Raises the page fault that `translate` found. There is none where another of the guest's processors has changed the
 * tables meanwhile: the guest runs the instruction again, and its processor walks them anew.
 */
export function raiseFault(vcpu: Vcpu, linear: u64, result: u64): void {
  if (result != CHANGED) vcpu.raisePageFault(linear, result as u32);
}

/** Whether a linear address is canonical in 64-bit mode. */
export function isCanonical(vcpu: Vcpu, linear: u64): bool {
  const unused: i64 = (vcpu.cr4() as u32) & Cr4.La57 ? 7 : 16;
  return ((((linear as i64) << unused) >> unused) as u64) == linear;
}

/**
 * The guest-physical address of code that the processor has itself just fetched in 64-bit mode, without another
 * check of rights; 0 if the tables no longer map it.
 */
export function translateFetched(vcpu: Vcpu, linear: u64): u64 {
  let entry = vcpu.cr3();
  if ((vcpu.cr4() as u32) & Cr4.La57) {
    entry = readEntry(entryAddress(entry, linear, 48));
    if (!isTable(entry)) return 0;
  }
  entry = readEntry(entryAddress(entry, linear, 39));
  if (!isTable(entry)) return 0;
  entry = readEntry(entryAddress(entry, linear, 30));
  if (!isTable(entry)) return entry & Entry.Present ? inPage(entry, linear, 30) : 0;
  entry = readEntry(entryAddress(entry, linear, 21));
  if (!isTable(entry)) return entry & Entry.Present ? inPage(entry, linear, 21) : 0;
  entry = readEntry(entryAddress(entry, linear, 12));
  return entry & Entry.Present ? inPage(entry, linear, 12) : 0;
}

/** Where the entry for `linear` lies in the table that `parent` points at. */
function entryAddress(parent: u64, linear: u64, shift: u64): u64 {
  return (parent & ADDRESS) | (((linear >> shift) & 511) << 3);
}

/** Present, and not a large page. */
function isTable(entry: u64): bool {
  return ((entry as u32) & (Entry.Present | Entry.Large)) == Entry.Present;
}

/** An address in the page of 1 << `shift` bytes that `entry` maps. */
function inPage(entry: u64, linear: u64, shift: u64): u64 {
  const offset = ((1 as u64) << shift) - 1;
  return (entry & ADDRESS & ~offset) | (linear & offset);
}

/** 8-byte entries: long mode, and PAE paging from its page directory on. */
function walk(vcpu: Vcpu, linear: u64, kind: u32, root: u64, levels: u32, reserved: u64): u64 {
  let table = root;
  let granted: u64 = Entry.Write | Entry.User;
  let noExecute: u64 = 0;
  let level = levels;
  while (true) {
    const shift = (3 + 9 * level) as u64;
    const page = ((1 as u64) << shift) - 1;
    const address = entryAddress(table, linear, shift);
    const entry = readEntry(address);
    if (!(entry & Entry.Present)) return fault(vcpu, kind);
    const large = level > 1 && (entry & Entry.Large) != 0;
    // A large page's address has no bits below its size but PAT, bit 12; PML4E and above cannot map a page.
    const misplaced = large && (level > 3 || (entry & ADDRESS & page & ~0x1000) != 0);
    if (misplaced || (entry & reserved) != 0) return fault(vcpu, kind | PageFault.Present | PageFault.Reserved);
    granted &= entry;
    noExecute |= entry & NO_EXECUTE;
    if (large || level == 1) {
      if (!mayAccess(vcpu, kind, granted, noExecute)) return fault(vcpu, kind | PageFault.Present);
      if (granted & Entry.User && keyForbids(vcpu, kind, entry)) {
        return fault(vcpu, kind | PageFault.Present | PageFault.ProtectionKey);
      }
      if (!mark(address, entry, bitsOfPage(kind))) return CHANGED;
      return inPage(entry, linear, shift);
    }
    if (!mark(address, entry, Entry.Accessed)) return CHANGED;
    table = entry;
    level--;
  }
}

/**
 * PAE paging outside long mode. The four page-directory-pointer entries are read with every walk, and reserved bits
 * in them are a page fault, as nested paging does it (APM 2, 15.25.10).
 */
function walkPae(vcpu: Vcpu, linear: u64, kind: u32, cr3: u64, reserved: u64): u64 {
  const entry = readEntry((cr3 & 0xffff_ffe0) | (((linear >> 30) & 3) << 3));
  if (!(entry & Entry.Present)) return fault(vcpu, kind);
  if (entry & (PDPE_RESERVED | unimplemented)) return fault(vcpu, kind | PageFault.Present | PageFault.Reserved);
  return walk(vcpu, linear, kind, entry, 2, reserved | LEGACY_RESERVED);
}

/** 4-byte entries, with pages of 4 MiB if CR4.PSE (APM 2, 5.2). */
function walk32(vcpu: Vcpu, linear: u64, kind: u32, cr3: u64, pse: bool): u64 {
  const directoryAddress = (cr3 & 0xffff_f000) | (((linear >> 22) & 1023) << 2);
  const directory = readEntry32(directoryAddress);
  if (!(directory & Entry.Present)) return fault(vcpu, kind);
  const large = pse && (directory & Entry.Large) != 0;
  let address = directoryAddress;
  let entry = directory;
  if (!large) {
    if (!mark32(directoryAddress, directory, Entry.Accessed)) return CHANGED;
    address = (directory & 0xffff_f000) | (((linear >> 12) & 1023) << 2);
    entry = readEntry32(address);
    if (!(entry & Entry.Present)) return fault(vcpu, kind);
  }
  // Bits 20:13 of a 4-MiB entry are address bits 39:32, and bit 21 is reserved (APM 2, figure 5-6).
  const high = ((entry >> 13) & 0xff) << 32;
  if (large && ((entry & (1 << 21)) | (high & unimplemented)) != 0) {
    return fault(vcpu, kind | PageFault.Present | PageFault.Reserved);
  }
  if (!mayAccess(vcpu, kind, directory & entry, 0)) return fault(vcpu, kind | PageFault.Present);
  if (!mark32(address, entry, bitsOfPage(kind))) return CHANGED;
  return large ? (entry & 0xffc0_0000) | high | (linear & 0x3f_ffff) : (entry & 0xffff_f000) | (linear & 0xfff);
}

/** Whether the rights that all levels granted allow the access (APM 2, 5.6). */
function mayAccess(vcpu: Vcpu, kind: u32, granted: u64, noExecute: u64): bool {
  const userPage = (granted & Entry.User) != 0;
  if (kind & Access.Fetch && noExecute != 0) return false;
  if (kind & PageFault.User) return userPage && (!(kind & Access.Write) || (granted & Entry.Write) != 0);
  if (kind & Access.Write && !(granted & Entry.Write) && ((vcpu.cr0() as u32) & Cr0.Wp) != 0) return false;
  if (!userPage) return true;
  const cr4 = vcpu.cr4() as u32;
  if (kind & Access.Fetch) return !(cr4 & Cr4.Smep);
  return !(cr4 & Cr4.Smap) || ((vcpu.registers.rflags as u32) & Rflags.Ac) != 0;
}

/** Whether a user page's protection key forbids an access to data; only long mode has keys (APM 2, 5.6.7). */
function keyForbids(vcpu: Vcpu, kind: u32, entry: u64): bool {
  const longMode = ((vcpu.efer() as u32) & Efer.Lma) != 0;
  if (!longMode || !((vcpu.cr4() as u32) & Cr4.Pke) || (kind & Access.Fetch) != 0) return false;
  const rights = readPkru() >> ((((entry >> KEY_SHIFT) as u32) & 15) << 1);
  if (rights & KeyRights.AccessDisabled) return true;
  if (!(kind & Access.Write) || !(rights & KeyRights.WriteDisabled)) return false;
  return (kind & PageFault.User) != 0 || ((vcpu.cr0() as u32) & Cr0.Wp) != 0;
}

/** The error code has its instruction-fetch bit only where fetches have rights of their own. */
function fault(vcpu: Vcpu, code: u32): u64 {
  const cr4 = vcpu.cr4() as u32;
  const noExecute = (cr4 & Cr4.Pae) != 0 && ((vcpu.efer() as u32) & Efer.Nxe) != 0;
  return FAULT | ((noExecute || cr4 & Cr4.Smep ? code : code & ~Access.Fetch) as u64);
}

function readEntry(address: u64): u64 {
  return guestMemory.permits(address, 8) ? physRead64(address) : 0;
}

function readEntry32(address: u64): u64 {
  return guestMemory.permits(address, 4) ? (physRead32(address) as u64) : 0;
}

function bitsOfPage(kind: u32): u32 {
  return kind & Access.Write ? Entry.Accessed | Entry.Dirty : Entry.Accessed;
}

/**
 * Sets accessed and dirty bits that are missing; false if the entry is no longer what was read: then another processor's
 * change stands, and the walk is void. For the access that brought us here the processor has set the bits, so this is rare.
 * A table that a guest puts over the registers of one of Sheer's devices is never written.
 */
function mark(address: u64, entry: u64, bits: u32): bool {
  if (((entry as u32) & bits) == bits || guestSpace.hooks.touches(address, 8)) return true;
  return physCompareExchange64(address, entry, entry | (bits as u64)) == entry;
}

/** The same for an entry of 4 bytes. */
function mark32(address: u64, entry: u64, bits: u32): bool {
  if (((entry as u32) & bits) == bits || guestSpace.hooks.touches(address, 4)) return true;
  return physCompareExchange32(address, entry as u32, (entry as u32) | bits) == (entry as u32);
}
