import { guestSpace } from "../../memory/space";
import { invept, invvpid, rdmsr } from "../../metal";
import { Capability, EptCapability } from "./capabilities";

/** The processor's number for the one guest's translations. */
export const VPID: u32 = 1;

const SINGLE_CONTEXT: u32 = 1;
const ALL_CONTEXTS: u32 = 2;

/** Write-back tables, four levels, and accessed and dirty bits where the processor has them (Intel SDM 3, table 25-9). */
const TABLES_WRITE_BACK: u64 = 6;
const WALK_LENGTH_4: u64 = 3 << 3;
const ACCESSED_DIRTY: u64 = 1 << 6;

/** What the processor knows of the guest's addresses. */
class Translations {
  private capabilities: u64 = 0;

  begin(): void {
    this.capabilities = rdmsr(Capability.EptVpid);
  }

  eptPointer(): u64 {
    const marks: u64 = this.capabilities & EptCapability.ACCESSED_DIRTY ? ACCESSED_DIRTY : 0;
    return guestSpace.rootAddress() | TABLES_WRITE_BACK | WALK_LENGTH_4 | marks;
  }

  /** Has it forget all (Intel SDM 3, 29.4.3). */
  forget(): void {
    invept(ALL_CONTEXTS, 0);
    if (this.capabilities & EptCapability.INVVPID) invvpid(SINGLE_CONTEXT, VPID);
  }
}

export const translations = new Translations();
