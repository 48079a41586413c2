import { BootInfo } from "../../boot/info";
import { runSvmGuest } from "../../metal";
import { guestSpace, TranslationCaches } from "../../memory/space";
import { InterruptIntercept, privateVectors } from "../../interrupt/vectors";
import { portHooks } from "../io";
import { enableSvm } from "./enable";
import { svmMsrs } from "./msrs";
import { IoPermissions } from "./permissions";
import { GuestRun } from "./run";
import { SvmVcpu } from "./vcpu";
import { Intercept1, Intercept2, Vmcb } from "./vmcb";

const NP_ENABLE: u64 = 1;
const FLUSH_ALL: u8 = 1;
const ASID: u32 = 1;

/** The one processor's translation caches: emptied by its next VMRUN. */
class SvmTranslationCaches extends TranslationCaches {
  constructor(private readonly vmcb: Vmcb) {
    super();
  }
  flush(): void {
    this.vmcb.tlbControl = FLUSH_ALL;
  }
}

/**
 * Interrupts go to the guest as without Sheer (V_INTR_MASKING is 0: the guest's IF holds them back), but once intercepted
 * one that the guest can take ends its run first, so that private vectors are seen. NMIs go straight to the guest.
 */
class SvmInterruptIntercept extends InterruptIntercept {
  constructor(private readonly vmcb: Vmcb) {
    super();
  }
  begin(): void {
    this.vmcb.interceptMisc1 |= Intercept1.Intr;
  }
}

/** Makes this processor ready to run the guest; its exits, ports and address space are in place afterwards. */
export function prepareSvm(): SvmVcpu {
  enableSvm();
  const vcpu = new SvmVcpu(changetype<GuestRun>(heap.alloc(offsetof<GuestRun>())));
  const vmcb = vcpu.vmcb;
  const io = new IoPermissions();
  portHooks.begin(io);
  svmMsrs.begin();
  privateVectors.setIntercept(new SvmInterruptIntercept(vmcb));
  guestSpace.setCaches(new SvmTranslationCaches(vmcb));
  vmcb.iopmBase = io.address();
  vmcb.msrpmBase = svmMsrs.permissions.address();
  vmcb.guestAsid = ASID;
  vmcb.tlbControl = FLUSH_ALL;
  vmcb.nestedControl = NP_ENABLE;
  vmcb.nestedCr3 = guestSpace.nested.rootAddress();
  setIntercepts(vmcb);
  return vcpu;
}

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

/** Lets the guest go on as the firmware, whose call of sheer.efi returns `status`. Does not return on a real machine. */
export function startSvm(vcpu: SvmVcpu, info: BootInfo, status: u64): void {
  vcpu.resumeFirmware(info, status);
  runSvmGuest(changetype<usize>(vcpu.run));
}
