import { allOnes, truncate, type Width } from "./bits.ts";

/** Registers of a device at a range of I/O ports. */
export interface PortDevice {
  readPort(offset: number, width: Width): number;
  writePort(offset: number, width: Width, value: number): void;
}

interface Claim {
  readonly first: number;
  readonly device: PortDevice;
}

/** The 64 KiB of I/O ports. The device at the first byte answers the whole access; nobody there reads as ones. */
export class PortSpace {
  readonly #claims = new Map<number, Claim>();
  /** Called for each access, before it happens. */
  onAccess: (port: number, width: Width, value: number | undefined) => void = () => undefined;

  /** Makes a device answer at a range; returns what takes it away again. */
  add(first: number, count: number, device: PortDevice): () => void {
    const claim = { first, device };
    for (let port = first; port < first + count; port++) this.#claims.set(port, claim);
    return () => {
      for (let port = first; port < first + count; port++) {
        if (this.#claims.get(port) === claim) this.#claims.delete(port);
      }
    };
  }

  read(port: number, width: Width): number {
    this.onAccess(port, width, undefined);
    const claim = this.#claims.get(port);
    return claim ? truncate(claim.device.readPort(port - claim.first, width), width) : allOnes(width);
  }

  write(port: number, width: Width, value: number): void {
    this.onAccess(port, width, truncate(value, width));
    const claim = this.#claims.get(port);
    claim?.device.writePort(port - claim.first, width, truncate(value, width));
  }
}
