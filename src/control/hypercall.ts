import { Vcpu } from "../vcpu/vcpu";
export function hypercall(_vcpu: Vcpu): bool { return false; }
