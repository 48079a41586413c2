// Registers that are the guest's and the host's in one: on a processor with VT-x no entry or exit switches CR2 and DR6, and
// on none XCR0.

export class UnswitchedRegisters {
  cr2 = 0n;
  dr6 = 0xffff_0ff0n;
  /** The guest has enabled x87, SSE and AVX. */
  xcr0 = 7n;
}

/** XSETBV of XCR0 on this processor: x87 always, AVX only with SSE, and nothing else (SDM 1, 13.3). */
export function isXcr0(value: bigint): boolean {
  return value === 1n || value === 3n || value === 7n;
}
