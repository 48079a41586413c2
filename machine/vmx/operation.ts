// One processor's VMX operation: its instructions and what they say of failure (SDM 3, 31.2 to 31.4).
import type { PhysicalMemory } from "../memory.ts";
import { REVISION, type VmxCapabilities } from "./capabilities.ts";
import { entryFault, hostFault } from "./entry-rules.ts";
import { guestFault } from "./guest-rules.ts";
import { Field, isReadOnly, Vmcs } from "./vmcs.ts";

/** VM-instruction error numbers: table 31-1. */
export const VmxError = {
  VmclearAddress: 2,
  VmclearVmxonPointer: 3,
  LaunchNotClear: 4,
  ResumeNotLaunched: 5,
  EntryControls: 7,
  EntryHostState: 8,
  VmptrldAddress: 9,
  VmptrldVmxonPointer: 10,
  VmptrldRevision: 11,
  NoSuchField: 12,
  ReadOnlyField: 13,
  VmxonInRootOperation: 15,
} as const;

/** Basic exit reason of an entry that fails after its state was loaded, and the bit that says so (27.8). */
const INVALID_GUEST_STATE = 33n;
const ENTRY_FAILURE = 1n << 31n;
const ADDRESS_LIMIT = 2 ** 40;

/** An instruction's outcome: VMsucceed, VMfailInvalid, or VMfailValid with its error number. */
export type Outcome = "succeed" | "invalid" | number;
/** Of VMLAUNCH and VMRESUME: also that the guest's state was refused, which is a VM exit. */
export type EntryOutcome = Outcome | "refused";

export class VmxOperation {
  readonly #memory: PhysicalMemory;
  readonly capabilities: VmxCapabilities;
  /** INVEPT or INVVPID was executed. */
  onInvalidation: () => void = () => undefined;
  readonly #structures = new Map<number, Vmcs>();
  #region: number | undefined;
  #current: number | undefined;

  constructor(memory: PhysicalMemory, capabilities: VmxCapabilities) {
    this.#memory = memory;
    this.capabilities = capabilities;
  }

  /** The structure that VMREAD and VMWRITE mean. */
  get current(): Vmcs | undefined {
    return this.#current === undefined ? undefined : this.#structures.get(this.#current);
  }
  get on(): boolean {
    return this.#region !== undefined;
  }

  vmxon(region: number): Outcome {
    if (this.on) return this.#fail(VmxError.VmxonInRootOperation);
    if (!isPage(region) || this.#memory.read32(region) !== REVISION) return "invalid";
    this.#region = region;
    return "succeed";
  }

  vmclear(address: number): Outcome {
    if (!isPage(address)) return this.#fail(VmxError.VmclearAddress);
    if (address === this.#region) return this.#fail(VmxError.VmclearVmxonPointer);
    const vmcs =
      this.#structures.get(address) ?? new Vmcs(this.capabilities.fields, this.capabilities.options.missingFields);
    this.#structures.set(address, vmcs);
    vmcs.launched = false;
    if (this.#current === address) this.#current = undefined;
    return "succeed";
  }

  vmptrld(address: number): Outcome {
    if (!isPage(address)) return this.#fail(VmxError.VmptrldAddress);
    if (address === this.#region) return this.#fail(VmxError.VmptrldVmxonPointer);
    if (this.#memory.read32(address) !== REVISION) return this.#fail(VmxError.VmptrldRevision);
    if (!this.#structures.has(address)) throw new Error("VMPTRLD of a VMCS that no VMCLEAR has made ready");
    this.#current = address;
    return "succeed";
  }

  vmread(field: number): bigint | Outcome {
    const vmcs = this.current;
    if (!vmcs) return "invalid";
    return vmcs.has(field) ? vmcs.get(field) : this.#fail(VmxError.NoSuchField);
  }

  vmwrite(field: number, value: bigint): Outcome {
    const vmcs = this.current;
    if (!vmcs) return "invalid";
    if (!vmcs.has(field)) return this.#fail(VmxError.NoSuchField);
    if (isReadOnly(field)) return this.#fail(VmxError.ReadOnlyField);
    vmcs.set(field, value);
    return "succeed";
  }

  /** VMLAUNCH or VMRESUME: the checks in the order of 27.1 to 27.3. */
  enter(resume: boolean): EntryOutcome {
    const vmcs = this.current;
    if (!vmcs) return "invalid";
    if (resume !== vmcs.launched) return this.#fail(resume ? VmxError.ResumeNotLaunched : VmxError.LaunchNotClear);
    if (entryFault(vmcs, this.capabilities)) return this.#fail(VmxError.EntryControls);
    if (hostFault(vmcs, this.capabilities)) return this.#fail(VmxError.EntryHostState);
    if (guestFault(vmcs, this.capabilities)) {
      vmcs.set(Field.ExitReason, INVALID_GUEST_STATE | ENTRY_FAILURE);
      vmcs.set(Field.ExitQualification, 0n);
      return "refused";
    }
    vmcs.launched = true;
    return "succeed";
  }

  /** Why an entry did not come about, for whoever reads a test's report. */
  explain(outcome: EntryOutcome): string {
    const vmcs = this.current;
    if (!vmcs) return "there is no current VMCS";
    const field = guestFault(vmcs, this.capabilities);
    if (outcome === "refused") return `field ${field?.toString(16) ?? "?"} of the guest's state breaks a rule`;
    const rule = entryFault(vmcs, this.capabilities) ?? hostFault(vmcs, this.capabilities);
    return `error ${outcome}; broken: ${rule ?? "no rule of the VMCS"}`;
  }

  /** VMfailValid if there is a current VMCS to note the number in. */
  #fail(error: number): Outcome {
    const vmcs = this.current;
    if (!vmcs) return "invalid";
    vmcs.set(Field.InstructionError, BigInt(error));
    return error;
  }
}

function isPage(address: number): boolean {
  return address % 4096 === 0 && address >= 0 && address < ADDRESS_LIMIT;
}
