import { log } from "../log/log";
import { readPort, writePort } from "../pci/widths";
import { PortDevice } from "../vcpu/ports";

/** Of the PM1 control register (ACPI 6.5, 4.8.3.2.1). */
const SLP_EN: u32 = 1 << 13;
const SLP_TYP_SHIFT: u32 = 10;
const SLP_TYP: u32 = 7;

/**
 * A PM1 control register of the machine's, by which it goes to sleep: the guest's, but for states that processors come out
 * of by reset. They would wake in the guest's code, outside Sheer.
 */
export class SleepControl extends PortDevice {
  private refused: u32 = 0;

  /** `allowed` has a bit for each SLP_TYP that the guest may choose. */
  constructor(
    private readonly port: u32,
    private readonly allowed: u32,
  ) {
    super();
  }

  read(port: u32, width: u32): u32 {
    return readPort(port, width);
  }

  write(port: u32, width: u32, value: u32): void {
    const register = value << ((port - this.port) << 3);
    if (register & SLP_EN && !((this.allowed >> ((register >> SLP_TYP_SHIFT) & SLP_TYP)) & 1)) return this.refuse();
    writePort(port, width, value);
  }

  private refuse(): void {
    const times = ++this.refused;
    if (times & (times - 1)) return;
    log
      .warn("the guest wants to sleep in a state that processors would leave without Sheer: ignored, times: ")
      .dec(times)
      .end();
  }
}
