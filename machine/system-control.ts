import type { PortDevice } from "./ports.ts";

/** System control port B, which tells whether a device caused the last NMI ("NMI status and control" in chipsets' datasheets). */
export const SYSTEM_CONTROL_PORT = 0x61;

const SERR_DISABLED = 1 << 2;
const SERR_CAUSED = 1 << 7;
const WRITABLE = 0x0f;

export class SystemControl implements PortDevice {
  #written = 0;
  /** A device has asserted SERR#; software takes that back by disabling it for a moment. */
  systemError = false;

  readPort(): number {
    return this.#written | (this.systemError ? SERR_CAUSED : 0);
  }

  writePort(_offset: number, _width: number, value: number): void {
    this.#written = value & WRITABLE;
    if (value & SERR_DISABLED) this.systemError = false;
  }
}
