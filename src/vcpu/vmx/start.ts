import { FirmwareContext } from "../../boot/info";
import { log } from "../../log/log";
import { rdmsr, runVmxGuest, vmwrite } from "../../metal";
import { portHooks } from "../io";
import { processors } from "../processors";
import { Capability, controls, supported } from "./capabilities";
import { controlRegisters } from "./control-registers";
import { enableVmx } from "./enable";
import { EntryControl, ExitControl, Field, PinBased, ProcessorBased, Secondary } from "./vmcs";
import { entryFailures } from "./failure";
import { vmxMsrs } from "./msrs";
import { IoBitmaps } from "./permissions";
import { VmxRun } from "./run";
import { translations, VPID } from "./translations";
import { VmxVcpu } from "./vcpu";

const MSR_PAT: u32 = 0x277;
const MSR_EFER: u32 = 0xc000_0080;
const NO_LINK: u64 = ~0;

/** What all processors share: which ports and MSRs cause exits. */
class VmxMachine {
  readonly io: IoBitmaps = new IoBitmaps();

  begin(): void {
    portHooks.begin(this.io);
    controlRegisters.begin();
    translations.begin();
    vmxMsrs.begin();
    entryFailures.begin();
  }
}

export const vmxMachine = new VmxMachine();

/** Makes the processor that this runs on ready to run the guest. Before the heap is sealed, one processor at a time. */
export function prepareVmx(index: u32): VmxVcpu {
  const enabled = enableVmx();
  const vcpu = new VmxVcpu(changetype<VmxRun>(heap.alloc(offsetof<VmxRun>())), index);
  if (!enabled || !vcpu.makeCurrent()) unreachable(); // vmxSupport has looked at all that could stand in the way
  setControls();
  setExecutionState();
  vcpu.apic.begin();
  processors.add(vcpu);
  return vcpu;
}

/** Interrupts go to the guest as without Sheer until a processor takes private vectors. */
function setControls(): void {
  set(Field.PinBasedControls, controls(Capability.PinBased, PinBased.NmiExiting | PinBased.VirtualNmis));
  const primary = ProcessorBased.UseIoBitmaps | ProcessorBased.UseMsrBitmaps | ProcessorBased.ActivateSecondaryControls;
  set(Field.ProcessorBasedControls, controls(Capability.Primary, primary));
  set(Field.SecondaryControls, controls(Capability.Secondary, secondaryControls()));
  const saved = ExitControl.SaveDebugControls | ExitControl.HostAddressSpaceSize;
  const exit = saved | ExitControl.SavePat | ExitControl.LoadPat | ExitControl.SaveEfer | ExitControl.LoadEfer;
  set(Field.ExitControls, controls(Capability.Exit, exit));
  set(
    Field.EntryControls,
    controls(Capability.Entry, EntryControl.LoadDebugControls | EntryControl.LoadPat | EntryControl.LoadEfer),
  );
}

/** Beside what Sheer needs, instructions that CPUID tells the guest it has: they are #UD unless enabled here. */
function secondaryControls(): u32 {
  const wanted =
    Secondary.EnableEpt |
    Secondary.UnrestrictedGuest |
    Secondary.EnableVpid |
    Secondary.EnableRdtscp |
    Secondary.EnableInvpcid |
    Secondary.EnableXsaves |
    Secondary.EnableUserWait;
  return supported(Capability.Secondary, wanted);
}

function setExecutionState(): void {
  set(Field.VirtualProcessorId, VPID);
  set(Field.IoBitmapA, vmxMachine.io.addressA());
  set(Field.IoBitmapB, vmxMachine.io.addressB());
  set(Field.MsrBitmap, vmxMsrs.bitmaps.address());
  set(Field.EptPointer, translations.eptPointer());
  if (supported(Capability.Secondary, Secondary.EnableXsaves)) set(Field.XssExitingBitmap, 0);
  set(Field.ExceptionBitmap, 0);
  set(Field.Cr3TargetCount, 0);
  set(Field.ExitMsrStoreCount, 0);
  set(Field.ExitMsrLoadCount, 0);
  set(Field.EntryMsrLoadCount, 0);
  set(Field.EntryInterruptionInformation, 0);
  set(Field.Cr0GuestHostMask, controlRegisters.cr0Mask);
  set(Field.Cr4GuestHostMask, controlRegisters.cr4Mask);
  set(Field.VmcsLinkPointer, NO_LINK);
  set(Field.GuestDebugctl, 0);
  set(Field.GuestPendingDebugExceptions, 0);
  set(Field.GuestInterruptibility, 0);
  set(Field.GuestActivityState, 0);
  set(Field.HostPat, rdmsr(MSR_PAT));
  set(Field.HostEfer, rdmsr(MSR_EFER));
}

/** A field that this processor lacks is left out, which the log tells: its control is 0 as well, or should be. */
function set(field: Field, value: u64): void {
  if (!vmwrite(field, value)) log.warn("this processor's VMCS lacks the field ").hex(field).end();
}

/** Lets the guest go on as the firmware, whose call of Sheer returns `status`. Does not return on a real machine. */
export function startVmx(vcpu: VmxVcpu, context: FirmwareContext, status: u64): void {
  vcpu.resumeFirmware(context, status);
  vcpu.enter();
  runVmxGuest(changetype<usize>(vcpu.run));
}
