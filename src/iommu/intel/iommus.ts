import { devicePages } from "../../memory/device-pages";
import { DmaTables, Domain } from "../page-tables";
import { Iommus, IommuUnit } from "../unit";
import { IntelFormat, RootTable } from "./context";
import { readDmar } from "./dmar";
import { Width } from "./registers";
import { IntelUnit } from "./unit";

/** The remapping units of Intel VT-d. */
export class IntelIommus extends Iommus {
  private readonly all: IntelUnit[] = [];

  /** Those of the DMAR table at a physical address. */
  constructor(dmar: u64) {
    super();
    readDmar(dmar, this.all);
  }

  count(): i32 {
    return this.all.length;
  }
  unit(index: i32): IommuUnit {
    return this.all[index];
  }

  build(end: u64): bool {
    let widths: u32 = Width.Levels3 | Width.Levels4;
    for (let i = 0; i < this.all.length; i++) widths &= this.all[i].widths;
    if (!widths) return false;
    const levels: u32 = widths & Width.Levels4 ? 4 : 3;
    const format = new IntelFormat();
    const guest = new DmaTables(format, levels, end, false).root;
    const sheer = new DmaTables(format, levels, end, true).root;
    const others = new RootTable(levels, guest, Domain.GUEST);
    const first = new RootTable(levels, guest, Domain.GUEST);
    for (let i: u32 = 0; i < devicePages.functions; i++) first.set(devicePages.functionAt(i), sheer, Domain.SHEER);
    for (let i = 0; i < this.all.length; i++) {
      const unit = this.all[i];
      unit.root = unit.segment ? others.address : first.address;
    }
    return true;
  }

  /** Nothing of them is in configuration space. */
  hide(): void {
    return;
  }
}
