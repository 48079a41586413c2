// The core's half of the tests of a guest's state: the fields are the test's.
import { instructionErrorText } from "../../../../src/vcpu/vmx/errors";
import { guestFieldName } from "../../../../src/vcpu/vmx/field-names";
import { GuestState } from "../../../../src/vcpu/vmx/guest-state";
import { FieldReader, StateLimits } from "../../../../src/vcpu/vmx/state-rules";
import { Field } from "../../../../src/vcpu/vmx/vmcs";

export declare function readField(field: u32): u64;

class TestFields extends FieldReader {
  read(field: Field): u64 {
    return readField(field);
  }
}

const limits = new StateLimits();
const state = new GuestState(new TestFields(), limits);

export function setLimits(cr0Fixed0: u64, cr0Fixed1: u64, cr4Fixed0: u64, cr4Fixed1: u64, efer: u64): void {
  limits.cr0Fixed0 = cr0Fixed0;
  limits.cr0Fixed1 = cr0Fixed1;
  limits.cr4Fixed0 = cr4Fixed0;
  limits.cr4Fixed1 = cr4Fixed1;
  limits.efer = efer;
  limits.activityStates = 7;
  limits.physicalBits = 40;
  limits.linearBits = 48;
}

export function holds(): bool {
  return state.holds();
}
export function brokenField(): u32 {
  return state.finding.field;
}
export function brokenRule(): string {
  return state.finding.rule;
}
export function nameOf(field: u32): string {
  return guestFieldName(field as Field);
}
export function errorText(number: u32): string {
  return instructionErrorText(number);
}
