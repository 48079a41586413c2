import { detachFirmwareDriver } from "../../boot/drivers";
import { privateVectors } from "../../interrupt/vectors";
import { log } from "../../log/log";
import { guestSpace } from "../../memory/space";
import { Bar } from "../../pci/bar";
import { findCapability } from "../../pci/capability";
import { CONFIG_DATA, configSpace, PciFunction } from "../../pci/config";
import { CapabilityId, Command, Header } from "../../pci/header";
import { configPorts, EcamPage } from "../../pci/mediated";
import { MsiCapability } from "../../pci/msi";
import { FunctionScan } from "../../pci/scan";
import { portHooks } from "../../vcpu/io";
import { Generation, generationOf } from "./intel/ids";
import { IntelCard } from "./intel/card";
import { CardInterrupts } from "./virtio/card-interrupts";
import { VirtioNet } from "./virtio/device";
import { VirtioFunction } from "./virtio/function";

const BARS: u32 = 6;
const EXPANSION_ROM: u32 = 0x30;
/** Bytes of I/O registers that virtio-net needs. */
const MINIMUM_IO: u64 = 32;
const ECAM_PAGE_SIZE: u64 = 4096;

let shown: VirtioFunction | null = null;

/** Silences the mediated card for good, when something in it is broken. The guest lives on without it. */
export function quietNetwork(): void {
  const front = shown;
  if (front === null) return;
  front.lock.acquire();
  front.quiet();
  front.lock.release();
}

/**
 * Takes the first supported network card of the machine that works and shows the guest a virtio-net in its place.
 * False if there is none: the guest then has all cards as they are.
 */
export function attachNetwork(): bool {
  const scan = new FunctionScan();
  while (scan.advance()) {
    const generation = generationOf(scan.id);
    if (generation == Generation.Unsupported) continue;
    if (attach(new PciFunction(scan.address), scan.id, generation)) return true;
  }
  log.info("no network card is taken: all pass through").end();
  return false;
}

function attach(pci: PciFunction, id: u32, generation: Generation): bool {
  detachFirmwareDriver(pci.address >> 8, (pci.address >> 3) & 31, pci.address & 7);
  const command = pci.read16(Header.Command);
  const memoryBar = new Bar(pci, 0);
  const ioBar = findIoBar(pci, memoryBar);
  if (memoryBar.isIo || memoryBar.base() == 0 || ioBar === null) return refuse(pci, "has no usable registers");
  // The firmware's driver may have left these off; the MAC address reads as all ones then.
  pci.write16(Header.Command, Command.MemorySpace | Command.BusMaster);
  const card = new IntelCard(memoryBar.base(), generation);
  const front = card.start() ? makeFront(pci, card, ioBar, memoryBar) : null;
  if (front === null || !front.show() || !showConfig(front)) {
    card.stop();
    guestSpace.unhook(memoryBar.base());
    pci.write16(Header.Command, command);
    return refuse(pci, front === null ? "does not start" : "cannot be hooked");
  }
  retireOthers(pci, memoryBar);
  front.setCommand(command);
  shown = front;
  announce(pci, id, card.mac);
  return true;
}

function announce(pci: PciFunction, id: u32, mac: u64): void {
  log
    .info("virtio-net in place of network card ")
    .hexDigits(id & 0xffff, 4)
    .text(":")
    .hexDigits(id >> 16, 4)
    .text(" at ");
  logAddress(pci.address);
  log.text(", MAC ");
  for (let i: u64 = 0; i < 6; i++) log.hexDigits((mac >> (i << 3)) & 0xff, 2);
  log.end();
}

function makeFront(pci: PciFunction, card: IntelCard, ioBar: Bar, memoryBar: Bar): VirtioFunction {
  const device = new VirtioNet(card);
  const offset = findCapability(pci, CapabilityId.Msi);
  const msi = offset ? new MsiCapability(pci, offset) : null;
  const vector = offset ? privateVectors.allocate(device) : 0;
  const lines = new CardInterrupts(pci, msi, vector, device);
  return new VirtioFunction(pci, device, lines, ioBar, memoryBar);
}

/** Puts the front in the card's place in configuration space, on both ways to it. */
function showConfig(front: VirtioFunction): bool {
  const page = configSpace.ecamPage(front.address);
  if (page && !guestSpace.hook(page, ECAM_PAGE_SIZE, new EcamPage(front))) return false;
  if (!portHooks.find(CONFIG_DATA) && !portHooks.add(CONFIG_DATA, 4, configPorts)) return false;
  return configPorts.add(front);
}

function findIoBar(pci: PciFunction, memoryBar: Bar): Bar | null {
  for (let index: u32 = memoryBar.is64 ? 2 : 1; index < BARS; index++) {
    const bar = new Bar(pci, index);
    if (bar.isIo && bar.size >= MINIMUM_IO) return bar;
    if (bar.is64) index++;
  }
  return null;
}

/** Takes the card's other memory off the bus: the guest does not see it and may give its place to something else. */
function retireOthers(pci: PciFunction, memoryBar: Bar): void {
  for (let index: u32 = memoryBar.is64 ? 2 : 1; index < BARS; index++) {
    const register = Header.Bar0 + (index << 2);
    if (!(pci.read32(register) & 1)) pci.write32(register, 0);
  }
  pci.write32(EXPANSION_ROM, 0);
}

function refuse(pci: PciFunction, why: string): bool {
  log.warn("network card at ");
  logAddress(pci.address);
  log.text(" ").text(why).end();
  return false;
}

function logAddress(address: u32): void {
  log
    .hexDigits(address >> 8, 2)
    .char(0x3a)
    .hexDigits((address >> 3) & 31, 2)
    .char(0x2e)
    .dec(address & 7);
}
