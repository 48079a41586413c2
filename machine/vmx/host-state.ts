// What an exit loads that metal/vmx.h sets and not the core: a host in 64-bit mode with its own tables.
import { Field } from "./vmcs.ts";

const PROGRAM = 0xffff_ffff_8000_0000n;

export const HOST_STATE: readonly (readonly [number, bigint])[] = [
  [Field.HostCsSelector, 8n],
  [Field.HostSsSelector, 16n],
  [Field.HostTrSelector, 24n],
  [Field.HostCr0, 0x8001_0033n],
  [Field.HostCr3, 0x1000n],
  [Field.HostCr4, 0x26a0n],
  [Field.HostTrBase, PROGRAM],
  [Field.HostGdtrBase, PROGRAM],
  [Field.HostIdtrBase, PROGRAM],
  [Field.HostRsp, PROGRAM],
  [Field.HostRip, PROGRAM],
];
