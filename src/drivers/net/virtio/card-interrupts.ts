import { privateVectors } from "../../../interrupt/vectors";
import { cpuid } from "../../../metal";
import { PciFunction } from "../../../pci/config";
import { Command, Header } from "../../../pci/header";
import { MsiCapability } from "../../../pci/msi";
import { VirtualMsix } from "../../../pci/msix";

const APIC_BASE: u64 = 0xfee0_0000;
const cpuidResult: usize = memory.data(16, 8);

/** How the card behind interrupts: by MSI with a private vector while the guest uses MSI-X, else by its INTx line. */
export class CardInterrupts {
  private messages: bool = false;
  private command: u32 = 0;
  private readonly address: u64;

  /** `vector` is private to the device; `msi` is null for a card that has only INTx. Called on the boot processor. */
  constructor(
    private readonly pci: PciFunction,
    private readonly msi: MsiCapability | null,
    private readonly vector: u32,
    private readonly msix: VirtualMsix,
  ) {
    cpuid(1, 0, cpuidResult);
    this.address = APIC_BASE | ((load<u8>(cpuidResult, 7) as u64) << 12);
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
    const messages = this.hasMessages && this.msix.enabled;
    const passed = guestCommand & (Command.ParityErrorResponse | Command.SerrEnable | Command.InterruptDisable);
    const command = Command.MemorySpace | Command.BusMaster | passed | (messages ? Command.InterruptDisable : 0);
    if (command != this.command) this.pci.write16(Header.Command, command);
    this.command = command;
    if (messages == this.messages) return false;
    this.messages = messages;
    const msi = this.msi;
    if (messages) privateVectors.expect();
    if (msi !== null) {
      if (messages) msi.enable(this.address, this.vector);
      else msi.disable();
    }
    return true;
  }

  /** No DMA and no interrupts any more. */
  cut(): void {
    this.pci.write16(Header.Command, Command.InterruptDisable);
    const msi = this.msi;
    if (msi !== null) msi.disable();
  }
}
