import { Field } from "./vmcs";

/** Of the guest's state, by the index in the field's encoding (Intel SDM 3, appendix B). */
const words: StaticArray<string> = [
  "ES selector",
  "CS selector",
  "SS selector",
  "DS selector",
  "FS selector",
  "GS selector",
  "LDTR selector",
  "TR selector",
];
const quadwords: StaticArray<string> = [
  "VMCS link pointer",
  "IA32_DEBUGCTL",
  "IA32_PAT",
  "IA32_EFER",
  "IA32_PERF_GLOBAL_CTRL",
  "PDPTE0",
  "PDPTE1",
  "PDPTE2",
  "PDPTE3",
];
const doublewords: StaticArray<string> = [
  "ES limit",
  "CS limit",
  "SS limit",
  "DS limit",
  "FS limit",
  "GS limit",
  "LDTR limit",
  "TR limit",
  "GDTR limit",
  "IDTR limit",
  "ES access rights",
  "CS access rights",
  "SS access rights",
  "DS access rights",
  "FS access rights",
  "GS access rights",
  "LDTR access rights",
  "TR access rights",
  "interruptibility state",
  "activity state",
];
const naturals: StaticArray<string> = [
  "CR0",
  "CR3",
  "CR4",
  "ES base",
  "CS base",
  "SS base",
  "DS base",
  "FS base",
  "GS base",
  "LDTR base",
  "TR base",
  "GDTR base",
  "IDTR base",
  "DR7",
  "RSP",
  "RIP",
  "RFLAGS",
  "pending debug exceptions",
  "IA32_SYSENTER_ESP",
  "IA32_SYSENTER_EIP",
];

/** Bits of a field's encoding: index in 9:1, type in 11:10, width in 14:13 (Intel SDM 3, table 25-21). */
const TYPE_AND_WIDTH: u32 = 0x6c00;

/** The name of a field of the guest's state. */
export function guestFieldName(field: Field): string {
  switch ((field as u32) & TYPE_AND_WIDTH) {
    case 0x0800:
      return nameIn(words, field);
    case 0x2800:
      return nameIn(quadwords, field);
    case 0x4800:
      return nameIn(doublewords, field);
    case 0x6800:
      return nameIn(naturals, field);
    default:
      return "a field without a name";
  }
}

function nameIn(names: StaticArray<string>, field: Field): string {
  const index = (((field as u32) >> 1) & 0x1ff) as i32;
  return index < names.length ? unchecked(names[index]) : "a field without a name";
}
