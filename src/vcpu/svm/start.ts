import { FirmwareContext } from "../../boot/info";
import { runSvmGuest } from "../../metal";
import { guestSpace } from "../../memory/space";
import { portHooks } from "../io";
import { processors } from "../processors";
import { enableSvm } from "./enable";
import { svmFeatures } from "./features";
import { svmMsrs } from "./msrs";
import { IoPermissions } from "./permissions";
import { GuestRun } from "./run";
import { SvmVcpu } from "./vcpu";
import { Intercept1, Intercept2, Vmcb } from "./vmcb";

const NP_ENABLE: u64 = 1;
const ASID: u32 = 1;

/** What all processors share: which ports and MSRs cause exits. */
class SvmMachine {
  readonly io: IoPermissions = new IoPermissions();

  begin(): void {
    svmFeatures.begin();
    portHooks.begin(this.io);
    svmMsrs.begin();
  }
}

export const svmMachine = new SvmMachine();

/** Makes the processor that this runs on ready to run the guest. Before the heap is sealed, one processor at a time. */
export function prepareSvm(index: u32): SvmVcpu {
  enableSvm();
  const vcpu = new SvmVcpu(changetype<GuestRun>(heap.alloc(offsetof<GuestRun>())), index);
  const vmcb = vcpu.vmcb;
  vmcb.iopmBase = svmMachine.io.address();
  vmcb.msrpmBase = svmMsrs.permissions.address();
  vmcb.guestAsid = ASID;
  vmcb.nestedControl = NP_ENABLE;
  vmcb.nestedCr3 = guestSpace.rootAddress();
  setIntercepts(vmcb);
  vcpu.forgetTranslations();
  vcpu.apic.begin();
  processors.add(vcpu);
  return vcpu;
}

/**
 * External interrupts go to the guest as without Sheer (V_INTR_MASKING is 0: the guest's IF holds them back), until a
 * processor takes private vectors. NMIs end the guest's run, since Sheer sends its own: see interceptNmis.
 */
function setIntercepts(vmcb: Vmcb): void {
  vmcb.interceptMisc1 =
    Intercept1.Init |
    Intercept1.Cpuid |
    Intercept1.Invd |
    Intercept1.Invlpga |
    Intercept1.IoioProt |
    Intercept1.MsrProt |
    Intercept1.Shutdown;
  vmcb.interceptMisc2 =
    Intercept2.Vmrun |
    Intercept2.Vmmcall |
    Intercept2.Vmload |
    Intercept2.Vmsave |
    Intercept2.Stgi |
    Intercept2.Clgi |
    Intercept2.Skinit;
}

/** On a machine with several processors: NMIs are how Sheer stops the guest on another one. */
export function interceptNmis(vcpu: SvmVcpu): void {
  vcpu.vmcb.interceptMisc1 |= Intercept1.Nmi;
}

/** Lets the guest go on as the firmware, whose call of Sheer returns `status`. Does not return on a real machine. */
export function startSvm(vcpu: SvmVcpu, context: FirmwareContext, status: u64): void {
  vcpu.resumeFirmware(context, status);
  vcpu.enter();
  runSvmGuest(changetype<usize>(vcpu.run));
}
