// Which field of a guest's state breaks a rule, by Intel SDM 3, 27.3.1: faults put one by one into states that are good.
import { readFileSync } from "node:fs";
import { beforeEach, describe, expect, test } from "vitest";
import { compileCore } from "../../compile.ts";

const module = new WebAssembly.Module(readFileSync(compileCore("guest-state", "test/unit/vmx/core/guest-state.ts")));

interface Core {
  readonly memory: { readonly buffer: ArrayBuffer };
  setLimits(cr0Fixed0: bigint, cr0Fixed1: bigint, cr4Fixed0: bigint, cr4Fixed1: bigint, efer: bigint): void;
  holds(): number;
  brokenField(): number;
  brokenRule(): number;
  nameOf(field: number): number;
  errorText(number: number): number;
}

const fields = new Map<number, bigint>();
const core = new WebAssembly.Instance(module, {
  "guest-state": { readField: (field: number) => BigInt.asIntN(64, fields.get(field) ?? 0n) },
}).exports as unknown as Core;

/** A string of the core: its length in bytes lies before it. */
function text(pointer: number): string {
  const length = new DataView(core.memory.buffer).getUint32(pointer - 4, true);
  return Buffer.from(core.memory.buffer, pointer, length).toString("utf16le");
}

/** Encodings from appendix B. */
const EFER = 0x2806;
const SECONDARY = 0x401e;
const ENTRY = 0x4012;
const INJECTION = 0x4016;
const INTERRUPTIBILITY = 0x4824;
const ACTIVITY = 0x4826;
const CR0 = 0x6800;
const CR4 = 0x6804;
const RFLAGS = 0x6820;
const [CS, SS, DS, LDTR, TR] = [1, 2, 3, 6, 7];
const selector = (segment: number): number => 0x800 + 2 * segment;
const limit = (segment: number): number => 0x4800 + 2 * segment;
const rights = (segment: number): number => 0x4814 + 2 * segment;
const base = (segment: number): number => 0x6806 + 2 * segment;

const UNRESTRICTED = 1n << 7n;
const UNUSABLE = 1n << 16n;

function set(values: Iterable<readonly [number, bigint]>): void {
  for (const [field, value] of values) fields.set(field, value);
}

function setSegment(segment: number, at: bigint, end: bigint, attributes: bigint, value: bigint): void {
  set([
    [selector(segment), value],
    [base(segment), at],
    [limit(segment), end],
    [rights(segment), attributes],
  ]);
}

/** A kernel in 64-bit mode. */
function longMode(): void {
  fields.clear();
  set([
    [SECONDARY, UNRESTRICTED | 2n],
    [ENTRY, (1n << 2n) | (1n << 9n) | (1n << 14n) | (1n << 15n)],
    [CR0, 0x8005_0033n],
    [CR4, 0x2620n],
    [EFER, 0xd01n],
    [0x2804, 0x0007_0406_0007_0406n],
    [0x2800, 0xffff_ffff_ffff_ffffn],
    [0x6802, 0x12_3000n],
    [0x681a, 0x400n],
    [0x681e, 0xffff_ffff_8000_0000n],
    [RFLAGS, 0x202n],
    [0x4810, 0x7fn],
    [0x4812, 0xfffn],
  ]);
  for (const segment of [0, DS, 4, 5]) setSegment(segment, 0n, 0xffff_ffffn, 0xc093n, 0x18n);
  setSegment(CS, 0n, 0xffff_ffffn, 0xa09bn, 0x10n);
  setSegment(SS, 0n, 0xffff_ffffn, 0xc093n, 0x18n);
  setSegment(LDTR, 0n, 0n, UNUSABLE, 0n);
  setSegment(TR, 0xffff_8000_0000_0000n, 0x67n, 0x8bn, 0x40n);
}

/** After a start-up interrupt. */
function realMode(): void {
  longMode();
  set([
    [ENTRY, (1n << 2n) | (1n << 14n) | (1n << 15n)],
    [CR0, 0x6000_0030n],
    [CR4, 0x2000n],
    [EFER, 0n],
    [0x6802, 0n],
    [0x681e, 0n],
    [RFLAGS, 2n],
  ]);
  for (const segment of [0, SS, DS, 4, 5]) setSegment(segment, 0n, 0xffffn, 0x93n, 0n);
  setSegment(CS, 0x9_9000n, 0xffffn, 0x9bn, 0x9900n);
  setSegment(LDTR, 0n, 0xffffn, 0x82n, 0n);
  setSegment(TR, 0n, 0xffffn, 0x8bn, 0n);
}

/** A DOS program in virtual-8086 mode. */
function virtual8086(): void {
  realMode();
  set([
    [CR0, 0x33n],
    [RFLAGS, 0x2_0202n],
  ]);
  for (const segment of [0, CS, SS, DS, 4, 5]) setSegment(segment, 0x1_2340n, 0xffffn, 0xf3n, 0x1234n);
}

beforeEach(() => {
  // As on a processor of 2013: PE, NE and PG, and VMXE, are always 1.
  core.setLimits(0x8000_0021n, 0xffff_ffffn, 0x2000n, 0x17_67ffn, 0xd01n);
});

describe("a state that breaks no rule:", () => {
  test.each([
    ["64-bit mode", longMode],
    ["real mode", realMode],
    ["virtual-8086 mode", virtual8086],
  ])("%s", (_name, state) => {
    state();
    expect(core.holds()).toBe(1);
  });

  test("an unusable segment may hold anything but its base", () => {
    longMode();
    setSegment(DS, 0xffff_ffff_0000_0000n, 1n, UNUSABLE | 0xffe_0f1fn, 3n);
    expect(core.holds()).toBe(1);
  });
});

describe("the field that breaks a rule is named:", () => {
  type Fault = [
    name: string,
    state: () => void,
    field: number,
    value: bigint,
    why?: Iterable<readonly [number, bigint]>,
  ];
  const EXTERNAL = 0x8000_0030n;
  const NMI = 0x8000_0202n;
  test.each<Fault>([
    ["CR0", longMode, CR0, 0x8005_0013n], // NE is missing
    ["CR0", longMode, CR0, 0x1_8005_0033n],
    ["CR0", realMode, CR0, 0x8000_0030n], // PG without PE
    ["CR0", longMode, CR0, 0x33n], // IA-32e mode without PG
    ["CR4", longMode, CR4, 0x620n], // VMXE is missing
    ["CR4", longMode, CR4, 0x80_2620n],
    ["CR4", longMode, CR4, 0x2600n], // IA-32e mode without PAE
    ["CR4", realMode, CR4, 0x2_2000n], // PCIDE outside it
    ["CR3", longMode, 0x6802, 1n << 40n],
    ["DR7", longMode, 0x681a, 1n << 32n],
    ["IA32_DEBUGCTL", longMode, 0x2802, 1n << 3n],
    ["IA32_PAT", longMode, 0x2804, 0x0007_0406_0007_0206n],
    ["IA32_EFER", longMode, EFER, 0x1d01n],
    ["IA32_EFER", longMode, EFER, 0x901n], // not LMA, in IA-32e mode
    ["IA32_EFER", longMode, EFER, 0xc01n], // not LME, with LMA and paging
    ["IA32_SYSENTER_ESP", longMode, 0x6824, 1n << 47n],
    ["IA32_SYSENTER_EIP", longMode, 0x6826, 0xffff_7fff_ffff_ffffn],
    [
      "PDPTE2",
      realMode,
      0x280e,
      3n,
      [
        [CR0, 0x8000_0031n],
        [CR4, 0x2020n],
        [0x681e, 0n],
      ],
    ],
    ["CS access rights", longMode, rights(CS), 0xa093n, [[SECONDARY, 2n]]], // data as code
    ["CS access rights", longMode, rights(CS), 0xe09bn], // L and D
    ["CS access rights", longMode, rights(CS), 0xa0fbn], // DPL 3, SS DPL 0
    ["CS access rights", longMode, rights(CS), 0xa01bn], // not present
    ["CS access rights", longMode, rights(CS), 0x209bn], // limit beyond 1 MiB without G
    ["CS base", longMode, base(CS), 1n << 32n],
    ["SS selector", longMode, selector(SS), 0x1bn, [[SECONDARY, 2n]]],
    ["SS access rights", longMode, rights(SS), 0xc09bn],
    ["SS access rights", realMode, rights(SS), 0xf3n, [[rights(CS), 0xfbn]]], // DPL 3 in real mode
    ["SS base", longMode, base(SS), 1n << 63n],
    ["DS access rights", longMode, rights(DS), 0xc092n], // not accessed
    ["DS access rights", longMode, rights(DS), 0xc099n], // code that cannot be read
    ["DS access rights", longMode, rights(DS), 0xc193n],
    ["DS access rights", longMode, rights(DS), 0xc083n], // a system segment
    ["ES access rights", longMode, rights(0), 0xc093n, [[limit(0), 0xffff_f000n]]],
    ["FS base", longMode, base(4), 1n << 48n],
    ["GS base", longMode, base(5), 1n << 62n],
    ["LDTR access rights", realMode, rights(LDTR), 0x8bn],
    ["LDTR selector", realMode, selector(LDTR), 4n],
    ["TR access rights", longMode, rights(TR), 0x83n], // of 16 bits, in IA-32e mode
    ["TR access rights", longMode, rights(TR), UNUSABLE | 0x8bn],
    ["TR access rights", longMode, rights(TR), 0x89n], // not busy
    ["TR selector", longMode, selector(TR), 0x44n],
    ["TR base", longMode, base(TR), 1n << 50n],
    ["ES base", virtual8086, base(0), 0x1_2350n],
    ["FS limit", virtual8086, limit(4), 0x1_ffffn],
    ["GS access rights", virtual8086, rights(5), 0x93n],
    ["GDTR base", longMode, 0x6816, 1n << 60n],
    ["IDTR base", longMode, 0x6818, 1n << 48n],
    ["GDTR limit", longMode, 0x4810, 0x1_0000n],
    ["IDTR limit", longMode, 0x4812, 0x1_0000n],
    ["RIP", longMode, 0x681e, 1n << 47n],
    ["RIP", realMode, 0x681e, 1n << 32n],
    ["RFLAGS", longMode, RFLAGS, 0x200n],
    ["RFLAGS", longMode, RFLAGS, 0x20an],
    ["RFLAGS", longMode, RFLAGS, 0x2_0202n], // VM in IA-32e mode
    ["RFLAGS", longMode, RFLAGS, 2n, [[INJECTION, EXTERNAL]]],
    ["activity state", longMode, ACTIVITY, 4n],
    ["activity state", longMode, ACTIVITY, 1n, [[INTERRUPTIBILITY, 1n]]],
    ["activity state", longMode, ACTIVITY, 3n, [[INJECTION, NMI]]],
    ["activity state", virtual8086, ACTIVITY, 1n], // HLT at privilege level 3
    ["interruptibility state", longMode, INTERRUPTIBILITY, 3n],
    ["interruptibility state", longMode, INTERRUPTIBILITY, 32n],
    ["interruptibility state", longMode, INTERRUPTIBILITY, 4n],
    ["interruptibility state", longMode, INTERRUPTIBILITY, 1n, [[RFLAGS, 2n]]],
    ["interruptibility state", longMode, INTERRUPTIBILITY, 2n, [[INJECTION, EXTERNAL]]],
    ["interruptibility state", longMode, INTERRUPTIBILITY, 2n, [[INJECTION, NMI]]],
    [
      "interruptibility state",
      longMode,
      INTERRUPTIBILITY,
      8n,
      [
        [INJECTION, NMI],
        [0x4000, 1n << 5n],
      ],
    ],
    ["pending debug exceptions", longMode, 0x6822, 1n << 4n],
    [
      "pending debug exceptions",
      longMode,
      0x6822,
      0n,
      [
        [INTERRUPTIBILITY, 1n],
        [RFLAGS, 0x302n],
      ],
    ],
    ["pending debug exceptions", longMode, 0x6822, 1n << 14n, [[INTERRUPTIBILITY, 2n]]],
    ["VMCS link pointer", longMode, 0x2800, 0x1001n],
  ])("%s", (name, state, field, value, why = []) => {
    state();
    set(why);
    fields.set(field, value);
    expect(core.holds()).toBe(0);
    expect({ name: text(core.nameOf(core.brokenField())), field: core.brokenField() }).toEqual({ name, field });
    expect(text(core.brokenRule())).not.toBe("");
  });
});

describe("fields of an unrestricted guest are free where its real mode needs it:", () => {
  test("without it PE and PG are 1", () => {
    realMode();
    fields.set(SECONDARY, 2n);
    expect(core.holds()).toBe(0);
    expect(core.brokenField()).toBe(CR0);
  });

  test("code may be data that was loaded in real mode", () => {
    realMode();
    fields.set(rights(CS), 0x93n);
    expect(core.holds()).toBe(1);
  });
});

test.each([
  [7, "VM entry with invalid control fields"],
  [8, "VM entry with invalid host-state fields"],
  [26, "VM entry with events blocked by MOV SS"],
  [14, "an error without a name"],
])("error %i of a VMX instruction in words: %s", (number, words) => {
  expect(text(core.errorText(number))).toContain(words);
});
