import { cpuid } from "../metal";
import { Svm } from "./svm/virtualization";
import { Virtualization } from "./virtualization";
import { Vmx } from "./vmx/virtualization";

/** "Genu", as the vendor's name begins in EBX of CPUID leaf 0. */
const INTEL: u32 = 0x756e6547;

const svm = new Svm();
const vmx = new Vmx();

/** The virtualization of this machine's processors. */
export function virtualization(): Virtualization {
  const registers = memory.data(32, 8);
  cpuid(0, 0, registers);
  return load<u32>(registers, 24) == INTEL ? (vmx as Virtualization) : svm;
}
