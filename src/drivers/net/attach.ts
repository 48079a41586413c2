import { NetMode, settings } from "../../config/settings";
import { detachFirmwareDriver } from "../../boot/drivers";
import { privateVectors } from "../../interrupt/vectors";
import { log } from "../../log/log";
import { devicePages } from "../../memory/device-pages";
import { guestSpace } from "../../memory/space";
import { Bar } from "../../pci/bar";
import { findCapability } from "../../pci/capability";
import { logAddress, PciFunction } from "../../pci/config";
import { DeviceDriver } from "../../pci/driver";
import { CapabilityId, Command, Header } from "../../pci/header";
import { PciIdentity } from "../../pci/identity";
import { guestConfig } from "../../pci/guest";
import { disableMessages, MsiCapability } from "../../pci/msi";
import { Socket } from "../../pci/socket";
import { scheduler } from "../../threads/scheduler";
import { NetworkCard } from "./card";
import { Housekeeping } from "./housekeeping";
import { CardInterrupts } from "./virtio/card-interrupts";
import { VirtioNet } from "./virtio/device";
import { IO_SIZE, VirtioFunction } from "./virtio/function";

const BARS: u32 = 6;
const EXPANSION_ROM: u32 = 0x30;

let shown: VirtioFunction | null = null;
let housekeeping: Housekeeping | null = null;

/** Silences the mediated card for good, when something in it is broken. The guest lives on without it. */
export function quietNetwork(): void {
  const front = shown;
  if (front === null) return;
  front.lock.acquire();
  front.quiet();
  front.lock.release();
}

/** Begins to look after the mediated card, if there is one. */
export function startHousekeeping(): void {
  const thread = housekeeping;
  if (thread !== null) scheduler.start(thread);
}

/** A driver of network cards: it makes the card, this shows the guest a virtio-net in its place. */
export abstract class NetworkDriver extends DeviceDriver {
  /** The driver's side of a function whose BAR 0 has its registers at `registers`; nothing is touched yet. */
  abstract makeCard(pci: PciFunction, id: u32, registers: u64): NetworkCard;

  /** Takes the card, if it works and is the first: the others are the guest's. */
  attach(identity: PciIdentity): bool {
    if (shown !== null || settings.net == NetMode.Pass) return false;
    const pci = new PciFunction(identity.address);
    if (!settings.intercept && !pci.read8(Header.InterruptPin))
      return refuse(pci, "has no interrupt pin: with interrupts.intercept=off the guest has it as it is");
    detachFirmwareDriver(pci.address >> 8, (pci.address >> 3) & 31, pci.address & 7);
    const command = pci.read16(Header.Command);
    const memoryBar = new Bar(pci, 0);
    const ioBar = findIoBar(pci, memoryBar);
    if (memoryBar.isIo || memoryBar.base() == 0) return refuse(pci, "has no usable registers");
    disableMessages(pci);
    // The firmware's driver may have left these off; the MAC address reads as all ones then.
    pci.write16(Header.Command, Command.MemorySpace | Command.BusMaster);
    const card = this.makeCard(pci, identity.id, memoryBar.base());
    const front = card.start() ? makeFront(pci, card, ioBar, memoryBar) : null;
    if (front === null || !front.show() || !guestConfig.begin() || !guestConfig.add(new Socket(pci, front))) {
      card.stop();
      guestSpace.unhook(memoryBar.base());
      pci.write16(Header.Command, command);
      return refuse(pci, front === null ? "does not start" : "cannot be hooked");
    }
    retireOthers(pci, memoryBar);
    front.setCommand(command);
    devicePages.addFunction(pci.address);
    shown = front;
    housekeeping = new Housekeeping(front.device);
    announce(pci, identity.id, card.mac);
    return true;
  }
}

/** Says so if the guest has all network cards as they are. */
export function reportNetwork(): void {
  if (shown === null && settings.net == NetMode.Virtio) log.info("no network card is taken: all pass through").end();
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

function makeFront(pci: PciFunction, card: NetworkCard, ioBar: Bar | null, memoryBar: Bar): VirtioFunction {
  const device = new VirtioNet(card);
  // A message would have to be translated, for which interrupts are intercepted
  const offset = settings.intercept && card.usesMessages() ? findCapability(pci, CapabilityId.Msi) : 0;
  const msi = offset ? new MsiCapability(pci, offset) : null;
  const vector = offset ? privateVectors.allocate(device) : 0;
  const lines = new CardInterrupts(pci, msi, vector, device);
  return new VirtioFunction(pci, device, lines, ioBar, memoryBar);
}

/** The card's own I/O registers, if it has any that virtio-net's fit in place of. */
function findIoBar(pci: PciFunction, memoryBar: Bar): Bar | null {
  for (let index: u32 = memoryBar.is64 ? 2 : 1; index < BARS; index++) {
    const bar = new Bar(pci, index);
    if (bar.isIo && bar.size >= (IO_SIZE as u64)) return bar;
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
