import { guestMemory } from "../memory/guest";
import { translateFetched } from "../memory/translate";
import { Vcpu } from "../vcpu/vcpu";

const PAGE: u64 = 0x1000;

/** Where code that caused exits was found: the same few places in a guest cause most exits. */
@unmanaged
class CodePlace {
  rip: u64;
  cr3: u64;
  physical: u64;
  unused: u64;
}

/** As many as the bits of RIP that choose among them tell apart. */
const COUNT: u64 = 16;

/**
 * The places of one processor's guest in 64-bit mode. What lies there is read anew each time. Should the guest have
 * changed its tables since, what it has at the old place is carried out, if that is an instruction that can have caused
 * the exit: this reaches nothing that the guest does not reach anyhow.
 */
export class CodePlaces {
  private readonly places: usize = heap.alloc((COUNT as usize) * offsetof<CodePlace>());

  /** The guest-physical address of the code at RIP, or 0 if it is not known. */
  @inline find(rip: u64, cr3: u64): u64 {
    const place = this.at(rip);
    return place.rip == rip && place.cr3 == cr3 ? place.physical : 0;
  }

  note(rip: u64, cr3: u64, physical: u64): void {
    const place = this.at(rip);
    place.rip = rip;
    place.cr3 = cr3;
    place.physical = physical;
  }

  @inline private at(rip: u64): CodePlace {
    return changetype<CodePlace>(this.places + ((rip & (COUNT - 1)) as usize) * offsetof<CodePlace>());
  }
}

/** More than the longest instruction that is read here: REX, opcode, ModRM, SIB, displacement, immediate. */
const LONGEST: u64 = 12;

/**
 * The guest-physical address of the instruction that the processor has just fetched at RIP in 64-bit mode: the page is
 * the guest's, and as many bytes as are read lie in it. 0 in other modes and at the end of a page.
 */
export function fetchedCode(vcpu: Vcpu): u64 {
  const rip = vcpu.registers.rip;
  if (vcpu.codeBits() != 64 || (rip & (PAGE - 1)) > PAGE - LONGEST) return 0;
  const cr3 = vcpu.cr3();
  const known = vcpu.places.find(rip, cr3);
  return known ? known : look(vcpu, rip, cr3);
}

function look(vcpu: Vcpu, rip: u64, cr3: u64): u64 {
  const code = translateFetched(vcpu, rip);
  if (!code || !guestMemory.permits(code & ~(PAGE - 1), PAGE)) return 0;
  vcpu.places.note(rip, cr3, code);
  return code;
}
