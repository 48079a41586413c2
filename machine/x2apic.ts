// The MSRs by which a local APIC is moved between its modes and, in x2APIC mode, reached: AMD64 Architecture Programmer's
// Manual volume 2, 16.9 to 16.14; Intel SDM volume 3, 10.12.
import { high32, low32 } from "./bits.ts";
import { Apic, type ApicMode, type LocalApic, Shorthand } from "./apic.ts";
import { GeneralProtection, Msr } from "./msrs.ts";

const FIRST = 0x800;
const LAST = 0x8ff;
const SELF_IPI = 0x3f0;

const Base = { Boot: 1n << 8n, X2apic: 1n << 10n, Enabled: 1n << 11n } as const;
const BASE_RESERVED = 0x2ffn;
const PAGE = 0xfee0_0000n;

const READ_ONLY: readonly number[] = [Apic.Id, Apic.Version, Apic.Ppr, Apic.Ldr, Apic.TimerCurrent];
/** Those that are written only, and the largest value that they take. */
const WRITE_ONLY: Readonly<Record<number, number>> = { [Apic.Eoi]: 0, [SELF_IPI]: 0xff };
/** Those that are read and written, and the bits that they have. */
const READ_WRITE: Readonly<Record<number, number>> = {
  [Apic.Tpr]: 0xff,
  [Apic.Svr]: 0x13ff,
  [Apic.Esr]: 0,
  [Apic.LvtTimer]: 0x7_10ff,
  [Apic.LvtThermal]: 0x1_17ff,
  [Apic.LvtCounter]: 0x1_17ff,
  [Apic.LvtLint0]: 0x1_f7ff,
  [Apic.LvtLint1]: 0x1_f7ff,
  [Apic.LvtError]: 0x1_10ff,
  [Apic.TimerInitial]: 0xffff_ffff,
  [Apic.TimerDivide]: 0xb,
};
/** Bits of the interrupt command below the destination that are reserved. */
const COMMAND_RESERVED = 0xfff3_2000;

export interface ApicMsrOptions {
  /** The processor has x2APIC mode. */
  readonly x2apic: boolean;
  readonly bootProcessor: boolean;
  /** Bits of an address that the processor does not have. */
  readonly reservedAddress: bigint;
}

export class ApicMsrs {
  readonly #apic: LocalApic;
  readonly #options: ApicMsrOptions;
  #rest: bigint;
  /** Destination of the interrupt command sent last. */
  #destination = 0;

  constructor(apic: LocalApic, options: ApicMsrOptions) {
    this.#apic = apic;
    this.#options = options;
    this.#rest = PAGE | (options.bootProcessor ? Base.Boot : 0n);
  }

  has(index: number): boolean {
    return index === Msr.ApicBase || (index >= FIRST && index <= LAST);
  }

  read(index: number): bigint {
    if (index === Msr.ApicBase) return this.#rest | modeBits(this.#apic.mode);
    const register = this.#register(index, false);
    const value = BigInt(this.#apic.readRegister(register));
    return register === Apic.IcrLow ? (BigInt(this.#destination) << 32n) | value : value;
  }

  write(index: number, value: bigint): void {
    if (index === Msr.ApicBase) return this.#writeBase(value);
    const register = this.#register(index, true);
    if (register === Apic.IcrLow) return this.#sendCommand(value);
    const bits = WRITE_ONLY[register] ?? READ_WRITE[register]!;
    if ((value & ~BigInt(bits)) !== 0n) throw refusal("write", index);
    if (register === SELF_IPI) this.#apic.send((Shorthand.Self << 18) | low32(value), 0);
    else this.#apic.writeRegister(register, low32(value));
  }

  #writeBase(value: bigint): void {
    const { x2apic, reservedAddress } = this.#options;
    const reserved = BASE_RESERVED | reservedAddress | (x2apic ? 0n : Base.X2apic);
    const mode = modeOf(value);
    const { mode: old } = this.#apic;
    const legal = mode && !(old === "x2apic" && mode === "xapic") && !(old === "disabled" && mode === "x2apic");
    if ((value & reserved) !== 0n || !legal) throw refusal("write", Msr.ApicBase);
    this.#rest = value & ~(Base.Enabled | Base.X2apic);
    if (mode !== old) this.#apic.mode = mode;
  }

  #sendCommand(value: bigint): void {
    if ((low32(value) & COMMAND_RESERVED) !== 0) throw refusal("write", FIRST + (Apic.IcrLow >> 4));
    this.#destination = high32(value);
    this.#apic.send(low32(value), this.#destination);
  }

  /** The register's offset in the page. */
  #register(index: number, write: boolean): number {
    const register = (index - FIRST) << 4;
    const vectors = register >= Apic.Isr && register < Apic.Esr;
    const readable = vectors || READ_ONLY.includes(register);
    const exists = register === Apic.IcrLow || register in READ_WRITE || (write ? register in WRITE_ONLY : readable);
    if (this.#apic.mode !== "x2apic" || !exists) throw refusal(write ? "write" : "read", index);
    return register;
  }
}

function refusal(access: string, index: number): GeneralProtection {
  return new GeneralProtection(`${access} of MSR ${index.toString(16)}`);
}

/** EN and EXTD (APM 2, table 16-2); undefined where they must not be as they are. */
function modeOf(base: bigint): ApicMode | undefined {
  if ((base & Base.Enabled) === 0n) return (base & Base.X2apic) === 0n ? "disabled" : undefined;
  return (base & Base.X2apic) === 0n ? "xapic" : "x2apic";
}

function modeBits(mode: ApicMode): bigint {
  if (mode === "disabled") return 0n;
  return mode === "xapic" ? Base.Enabled : Base.Enabled | Base.X2apic;
}
