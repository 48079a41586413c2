import { devicePages } from "../memory/device-pages";
import { findCapability } from "../pci/capability";
import { PciFunction } from "../pci/config";
import { CapabilityId, Header, HeaderType } from "../pci/header";
import { FunctionScan } from "../pci/scan";

/** PCI Express Capabilities register, behind the capability's head: the port's type in bits 7:4 (PCI Express 3.0, 7.8.2). */
const EXPRESS_CAPABILITIES: u32 = 2;
const TO_CONVENTIONAL: u32 = 7;

/**
 * Adds the other names that requests of Sheer's devices may carry: behind a bridge to conventional PCI, that of the bridge
 * and that of the first function on the bridge's bus (PCI Express to PCI/PCI-X Bridge 1.0, 2.3).
 */
export function addRequesters(): void {
  for (let i: u32 = 0, count = devicePages.functions; i < count; i++) {
    const bus = devicePages.functionAt(i) >> 8;
    const scan = new FunctionScan();
    while (bus && scan.advance()) {
      if (scan.identity.headerType == HeaderType.Bridge) addBridge(scan.identity.address, bus);
    }
  }
}

function addBridge(address: u32, bus: u32): void {
  const bridge = new PciFunction(address);
  const buses = bridge.read32(Header.BusNumbers);
  const secondary = (buses >> 8) & 0xff;
  const subordinate = (buses >> 16) & 0xff;
  if (bus < secondary || bus > subordinate || !isConventional(bridge)) return;
  devicePages.addFunction(address);
  devicePages.addFunction(secondary << 8);
}

/** Whether what is behind a bridge is conventional PCI. */
function isConventional(bridge: PciFunction): bool {
  const express = findCapability(bridge, CapabilityId.Express);
  return !express || ((bridge.read16(express + EXPRESS_CAPABILITIES) >> 4) & 15) == TO_CONVENTIONAL;
}
