import { log } from "../../log/log";
import { devicePages } from "../../memory/device-pages";
import { PciFunction } from "../../pci/config";
import { AbsentFunction } from "../../pci/function";
import { guestConfig } from "../../pci/guest";
import { TicketLock } from "../../threads/lock";
import { DmaTables, Domain } from "../page-tables";
import { Iommus, IommuUnit } from "../unit";
import { AmdFormat, DeviceTable } from "./device-table";
import { IvhdReader } from "./ivrs";
import { AmdUnit } from "./unit";

/** 48 address bits. */
const LEVELS: u32 = 4;

/** The IOMMUs of AMD. */
export class AmdIommus extends Iommus {
  private readonly all: AmdUnit[] = [];

  /** Those of the IVRS table at a physical address. */
  constructor(private readonly ivrs: u64) {
    super();
    const reader = new IvhdReader(ivrs);
    while (reader.advance()) {
      if (!this.knows(reader.base))
        this.all.push(new AmdUnit(reader.base, reader.segment, reader.device, reader.flags));
    }
  }

  count(): i32 {
    return this.all.length;
  }
  unit(index: i32): IommuUnit {
    return this.all[index];
  }

  build(end: u64): bool {
    const format = new AmdFormat();
    const guest = new DmaTables(format, LEVELS, end, false).root;
    const sheer = new DmaTables(format, LEVELS, end, true).root;
    for (let i = 0; i < this.all.length; i++) {
      const unit = this.all[i];
      const sibling = this.firstOf(unit.segment);
      unit.deviceTable = sibling < i ? this.all[sibling].deviceTable : this.table(unit.segment, guest, sheer);
    }
    return true;
  }

  /** Takes their functions from configuration space. */
  hide(): void {
    const lock = new TicketLock();
    for (let i = 0; i < this.all.length; i++) {
      const unit = this.all[i];
      const pci = new PciFunction((unit.segment << 16) | unit.device);
      if (!guestConfig.begin() || !guestConfig.add(new AbsentFunction(pci, lock)))
        log.warn("the IOMMU's PCI function cannot be hidden").end();
    }
  }

  /** The device table of a segment's units. */
  private table(segment: u32, guest: u64, sheer: u64): u64 {
    const table = new DeviceTable(this.lastDevice(segment), LEVELS, guest, Domain.GUEST);
    const reader = new IvhdReader(this.ivrs);
    while (reader.advance()) {
      while (reader.segment == segment && reader.advanceDevices()) {
        for (let device = reader.first; device <= reader.last; device++) table.applySettings(device, reader.settings);
      }
    }
    if (segment == 0) {
      for (let i: u32 = 0; i < devicePages.functions; i++) table.set(devicePages.functionAt(i), sheer, Domain.SHEER);
    }
    return table.baseRegister;
  }

  private lastDevice(segment: u32): u32 {
    let last: u32 = 0;
    const reader = new IvhdReader(this.ivrs);
    while (reader.advance()) {
      while (reader.segment == segment && reader.advanceDevices()) last = max(last, reader.last);
    }
    return last;
  }

  /** One IOMMU may have blocks of several types. */
  private knows(base: u64): bool {
    for (let i = 0; i < this.all.length; i++) if (this.all[i].registers == base) return true;
    return false;
  }

  private firstOf(segment: u32): i32 {
    let i = 0;
    while (this.all[i].segment != segment) i++;
    return i;
  }
}
