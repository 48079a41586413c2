import { FirmwareContext } from "../../boot/info";
import { EntryFormat } from "../../memory/entry-format";
import { Vcpu } from "../vcpu";
import { Virtualization } from "../virtualization";
import { SvmSupport, svmSupport } from "./enable";
import { NestedEntries } from "./nested-entries";
import { interceptNmis, prepareSvm, startSvm, svmMachine } from "./start";
import { SvmVcpu } from "./vcpu";

/** AMD-V. */
export class Svm extends Virtualization {
  private readonly format: NestedEntries = new NestedEntries();

  obstacle(): string {
    switch (svmSupport()) {
      case SvmSupport.Ready:
        return "";
      case SvmSupport.DisabledByFirmware:
        return "Sheer needs AMD-V, which the firmware has disabled: turn SVM on in the firmware's setup. The machine goes on without Sheer.";
      case SvmSupport.NoNestedPaging:
        return "Sheer needs a processor with nested paging, which this one lacks. The machine goes on without Sheer.";
      default:
        return "Sheer needs a processor with AMD-V, which this one lacks. The machine goes on without Sheer.";
    }
  }
  entryFormat(): EntryFormat {
    return this.format;
  }
  /** As many as the host's (AMD APM 2, 15.25.3). */
  nestedLevels(hostLevels: u32): u32 {
    return hostLevels;
  }
  begin(): void {
    svmMachine.begin();
  }
  prepare(index: u32): Vcpu {
    return prepareSvm(index);
  }
  interceptNmis(vcpu: Vcpu): void {
    interceptNmis(changetype<SvmVcpu>(changetype<usize>(vcpu)));
  }
  start(vcpu: Vcpu, context: FirmwareContext, status: u64): void {
    startSvm(changetype<SvmVcpu>(changetype<usize>(vcpu)), context, status);
  }
}
