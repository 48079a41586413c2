import { FirmwareContext } from "../../boot/info";
import { EntryFormat } from "../../memory/entry-format";
import { Vcpu } from "../vcpu";
import { Virtualization } from "../virtualization";
import { VmxSupport, vmxSupport } from "./enable";
import { ExtendedEntries } from "./nested-entries";
import { prepareVmx, startVmx, vmxMachine } from "./start";
import { VmxVcpu } from "./vcpu";

/** Intel VT-x. */
export class Vmx extends Virtualization {
  private readonly format: ExtendedEntries = new ExtendedEntries();

  obstacle(): string {
    switch (vmxSupport()) {
      case VmxSupport.Ready:
        return "";
      case VmxSupport.DisabledByFirmware:
        return "Sheer needs Intel VT-x, which the firmware has disabled: turn it on in the firmware's setup. The machine goes on without Sheer.";
      case VmxSupport.NoExtendedPageTables:
        return "Sheer needs a processor with extended page tables, which this one lacks. The machine goes on without Sheer.";
      case VmxSupport.NoUnrestrictedGuest:
        return "Sheer needs a processor with unrestricted guests, which this one lacks. The machine goes on without Sheer.";
      case VmxSupport.NoTrueControls:
        return "Sheer needs a processor with true VMX controls, which this one lacks. The machine goes on without Sheer.";
      case VmxSupport.NoSwitchedMsrs:
        return "Sheer needs a processor whose VM entries switch EFER and PAT, which this one's do not. The machine goes on without Sheer.";
      default:
        return "Sheer needs a processor with Intel VT-x, which this one lacks. The machine goes on without Sheer.";
    }
  }
  entryFormat(): EntryFormat {
    return this.format;
  }
  nestedLevels(_hostLevels: u32): u32 {
    return 4;
  }
  begin(): void {
    vmxMachine.begin();
  }
  prepare(index: u32): Vcpu {
    return prepareVmx(index);
  }
  interceptNmis(_vcpu: Vcpu): void {
    // They always are: one that comes while the host runs is injected, for which the window to wait for needs that.
  }
  start(vcpu: Vcpu, context: FirmwareContext, status: u64): void {
    startVmx(changetype<VmxVcpu>(changetype<usize>(vcpu)), context, status);
  }
}
