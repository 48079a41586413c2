import { NetInterrupts, settings } from "../../../config/settings";
import { MESSAGE_SPACE, messageVector } from "../../../interrupt/guest";
import { privateVectors } from "../../../interrupt/vectors";
import { log } from "../../../log/log";
import { PciFunction } from "../../../pci/config";
import { Command, Header } from "../../../pci/header";
import { MsiCapability } from "../../../pci/msi";
import { processors } from "../../../vcpu/processors";
import { InterruptFallback, VirtioNet } from "./device";

const RECEIVE_QUEUE: u32 = 0;
/** No command register has this value. */
const UNKNOWN: u32 = 0xffff_ffff;

/**
 * How the card behind interrupts: by its INTx line, or while the guest uses MSI-X by MSI. That carries a private vector to
 * the boot processor, or the message that the guest wrote for frames received, by setting or once a task priority of the
 * guest's keeps private vectors back.
 */
export class CardInterrupts extends InterruptFallback {
  private messages: bool = false;
  private command: u32 = 0;
  private guestMessages: bool = settings.netInterrupts == NetInterrupts.Guest;
  /** What the card's MSI was last set to. */
  private address: u64 = 0;
  private data: u32 = 0;

  /** `vector` is private to the device; `msi` is null for a card that has only INTx. */
  constructor(
    private readonly pci: PciFunction,
    private readonly msi: MsiCapability | null,
    private readonly vector: u32,
    private readonly device: VirtioNet,
  ) {
    super();
    device.interrupts.msix.listener = this;
    device.fallback = this;
  }

  /** Whether the guest can be offered MSI-X. */
  get hasMessages(): bool {
    return this.msi !== null && this.vector != 0;
  }

  /**
   * Brings the card in line with what the guest has chosen; returns whether that changed how it interrupts. Whatever
   * the guest's command register says, the card decodes memory and masters the bus: Sheer needs both. Its I/O space
   * stays off.
   */
  route(guestCommand: u32): bool {
    const messages = this.hasMessages && this.device.interrupts.msix.enabled;
    const passed = guestCommand & (Command.ParityErrorResponse | Command.SerrEnable | Command.InterruptDisable);
    const command = Command.MemorySpace | Command.BusMaster | passed | (messages ? Command.InterruptDisable : 0);
    if (command != this.command) this.pci.write16(Header.Command, command);
    this.command = command;
    if (messages == this.messages) return false;
    this.messages = messages;
    const msi = this.msi;
    if (messages) this.setMessage();
    else if (msi !== null) msi.disable();
    return true;
  }

  /** The same for a card that has been told nothing yet. */
  renew(guestCommand: u32): void {
    this.command = UNKNOWN;
    this.messages = false;
    this.route(guestCommand);
  }

  messagesChanged(): void {
    if (this.messages && this.guestMessages) this.setMessage();
  }

  arePrivate(): bool {
    return this.messages && !this.guestMessages;
  }

  useGuestMessages(): void {
    if (this.guestMessages) return;
    this.guestMessages = true;
    if (!this.messages) return;
    log.info("the guest's task priority keeps private vectors back: the card now sends the guest's own messages").end();
    this.setMessage();
    this.device.poll(); // for what was kept back
  }

  restore(): void {
    this.pci.write16(Header.Command, this.command);
    const msi = this.msi;
    if (this.messages && msi !== null) msi.enable(this.address, this.data);
  }

  /** No DMA and no interrupts any more. */
  cut(): void {
    this.messages = false;
    this.pci.write16(Header.Command, Command.InterruptDisable);
    const msi = this.msi;
    if (msi !== null) msi.disable();
  }

  /** While the guest's message is masked or none, Sheer's own keeps the card's frames from being lost. */
  private setMessage(): void {
    const msix = this.device.interrupts.msix;
    const entry = this.device.interrupts.getQueueVector(RECEIVE_QUEUE);
    const guests =
      this.guestMessages && msix.isOpen(entry) ? messageVector(msix.messageAddress(entry), msix.messageData(entry)) : 0;
    if (guests) {
      privateVectors.claim(guests, this.device);
      this.send(msix.messageAddress(entry), msix.messageData(entry));
    } else {
      privateVectors.expect();
      this.send(MESSAGE_SPACE | ((processors.at(0).apic.id as u64) << 12), this.vector);
    }
  }

  private send(address: u64, data: u32): void {
    const msi = this.msi;
    if (msi === null || (address == this.address && data == this.data && msi.enabled)) return;
    this.address = address;
    this.data = data;
    msi.enable(address, data);
  }
}
