// A PCI-to-PCI bridge: PCI-to-PCI Bridge Architecture Specification 1.2, chapter 3. Its windows are left out: what is
// behind it decodes wherever it was told to.
import { Config, PciFunction, type PciHost } from "./function.ts";

export const BridgeConfig = { Primary: 0x18, Secondary: 0x19, Subordinate: 0x1a } as const;

export class PciBridge extends PciFunction {
  /** What is behind it, by device 7:3 and function 2:0. */
  readonly #children = new Map<number, PciFunction>();

  constructor() {
    super({ vendor: 0x1b36, device: 0x000c, classCode: 0x06_0400, express: true });
    this.set(Config.HeaderType, 1, 1);
    this.allowWrites(BridgeConfig.Primary, 4, 0xffff_ffff);
    this.onConfigWrite(() => this.#tellChildren());
  }

  get secondary(): number {
    return this.get(BridgeConfig.Secondary, 1);
  }

  /** Numbers the buses as firmware does. */
  number(primary: number, secondary: number, subordinate: number): void {
    this.writeConfig(BridgeConfig.Primary, 4, primary | (secondary << 8) | (subordinate << 16));
  }

  /** Plugs a function in behind it. */
  plug(pci: PciFunction, host: PciHost, device: number, func = 0): void {
    pci.host = host;
    this.#children.set((device << 3) | func, pci);
    this.#tellChildren();
  }

  unplug(pci: PciFunction): void {
    pci.writeConfig(Config.Command, 2, 0);
    for (const [place, child] of this.#children) if (child === pci) this.#children.delete(place);
  }

  /**
   * The function that a configuration access to this address reaches through the bridge: its secondary bus takes the
   * access as its own, the buses from there to the subordinate are further down (3.1.2.1).
   */
  route(address: number): PciFunction | undefined {
    const bus = (address >> 8) & 0xff;
    if (bus === this.secondary) return this.#children.get(address & 0xff);
    if (bus < this.secondary || bus > this.get(BridgeConfig.Subordinate, 1)) return undefined;
    return routeBehind(this.#children.values(), address);
  }

  #tellChildren(): void {
    for (const [place, child] of this.#children) child.address = (this.secondary << 8) | place;
  }
}

/** The function that an access reaches through one of these, if there is a bridge that takes it. */
export function routeBehind(functions: Iterable<PciFunction>, address: number): PciFunction | undefined {
  for (const bridge of functions) {
    const found = bridge instanceof PciBridge ? bridge.route(address) : undefined;
    if (found) return found;
  }
  return undefined;
}
