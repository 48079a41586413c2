// The bodies of src/metal.ts for VT-x: what metal/vmx.h does on a real machine.
import type { Processors } from "../processors.ts";
import { isXcr0 } from "../unswitched.ts";
import { HOST_STATE } from "./host-state.ts";
import type { Outcome, VmxOperation } from "./operation.ts";

const address = (value: bigint): number => Number(BigInt.asUintN(64, value));
const succeeded = (outcome: Outcome): number => Number(outcome === "succeed");

export function vmxImports(processors: Processors, start: (run: number) => void): Record<string, unknown> {
  const operation = (): VmxOperation => {
    const { vmx } = processors.current;
    if (!vmx) throw new Error("an instruction of VT-x on a processor without it");
    return vmx;
  };
  return {
    vmxon: (region: bigint) => succeeded(operation().vmxon(address(region))),
    vmclear: (vmcs: bigint) => succeeded(operation().vmclear(address(vmcs))),
    vmptrld: (vmcs: bigint) => succeeded(operation().vmptrld(address(vmcs))),
    vmread: (field: number) => {
      const value = operation().vmread(field >>> 0);
      return typeof value === "bigint" ? BigInt.asIntN(64, value) : 0n;
    },
    vmwrite: (field: number, value: bigint) => succeeded(operation().vmwrite(field >>> 0, value)),
    // The descriptors of INVEPT and INVVPID are legal on every processor that the core runs on
    invept: () => operation().onInvalidation(),
    invvpid: () => operation().onInvalidation(),
    setCr2: (value: bigint) => (processors.current.unswitched.cr2 = BigInt.asUintN(64, value)),
    trySetXcr0: (value: bigint) => {
      const legal = isXcr0(BigInt.asUintN(64, value));
      if (legal) processors.current.unswitched.xcr0 = BigInt.asUintN(64, value);
      return Number(legal);
    },
    runVmxGuest: (run: number) => {
      for (const [field, value] of HOST_STATE) operation().vmwrite(field, value);
      start(run >>> 0);
    },
  };
}
