// Which field of a guest's state breaks a rule, by Intel SDM 3, 27.3.1: faults put one by one into states that are good.
import { readFileSync } from "node:fs";
import { beforeEach, describe, expect, test } from "vitest";
import { VmxCapabilities, VmxMsr } from "../../../machine/vmx/capabilities.ts";
import { guestFault } from "../../../machine/vmx/guest-rules.ts";
import { Field, Vmcs } from "../../../machine/vmx/vmcs.ts";
import { compileCore } from "../../compile.ts";
import { random } from "../net/setup.ts";
import {
  base,
  CS,
  DS,
  type Fields,
  LDTR,
  limit,
  longMode,
  realMode,
  rights,
  selector,
  setSegment,
  SS,
  TR,
  UNUSABLE,
  virtual8086,
} from "./states.ts";

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

let fields: Fields;
const capabilities = new VmxCapabilities();
const core = new WebAssembly.Instance(module, {
  "guest-state": { readField: (field: number) => BigInt.asIntN(64, fields.get(field) ?? 0n) },
}).exports as unknown as Core;

/** A string of the core: its length in bytes lies before it. */
function text(pointer: number): string {
  const length = new DataView(core.memory.buffer).getUint32(pointer - 4, true);
  return Buffer.from(core.memory.buffer, pointer, length).toString("utf16le");
}

const {
  Cr0: CR0,
  Cr4: CR4,
  Efer: EFER,
  Rflags: RFLAGS,
  Activity: ACTIVITY,
  Interruptibility: INTERRUPTIBILITY,
} = Field;
const { Secondary: SECONDARY, EntryInterruption: INJECTION } = Field;

beforeEach(() => {
  const fixed = [VmxMsr.Cr0Fixed0, VmxMsr.Cr0Fixed1, VmxMsr.Cr4Fixed0, VmxMsr.Cr4Fixed1] as const;
  const [cr0Fixed0, cr0Fixed1, cr4Fixed0, cr4Fixed1] = fixed.map((index) => capabilities.read(index));
  core.setLimits(cr0Fixed0!, cr0Fixed1!, cr4Fixed0!, cr4Fixed1!, 0xd01n);
});

describe("a state that breaks no rule:", () => {
  test.each([
    ["64-bit mode", longMode],
    ["real mode", realMode],
    ["virtual-8086 mode", virtual8086],
  ])("%s", (_name, state) => {
    fields = state();
    expect(core.holds()).toBe(1);
  });

  test("an unusable segment may hold anything but its base", () => {
    fields = longMode();
    setSegment(fields, DS, 3n, UNUSABLE | 0xffe_0f1fn, 1n, 0xffff_ffff_0000_0000n);
    expect(core.holds()).toBe(1);
  });
});

describe("the field that breaks a rule is named:", () => {
  type Fault = [
    name: string,
    state: () => Fields,
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
    fields = new Map([...state(), ...why, [field, value]]);
    expect(core.holds()).toBe(0);
    expect({ name: text(core.nameOf(core.brokenField())), field: core.brokenField() }).toEqual({ name, field });
    expect(text(core.brokenRule())).not.toBe("");
  });
});

describe("fields of an unrestricted guest are free where its real mode needs it:", () => {
  test("without it PE and PG are 1", () => {
    fields = realMode();
    fields.set(SECONDARY, 2n);
    expect(core.holds()).toBe(0);
    expect(core.brokenField()).toBe(CR0);
  });

  test("code may be data that was loaded in real mode", () => {
    fields = realMode();
    fields.set(rights(CS), 0x93n);
    expect(core.holds()).toBe(1);
  });
});

type Random = (below: number) => number;

/** Values at which rules draw their lines, and some that have nothing to do with them. */
function odd(next: Random): bigint {
  const bit = 1n << BigInt(next(64));
  const event = 0x8000_0000n | BigInt(next(0x1000));
  const values = [bit, ~bit, bit - 1n, 0n, BigInt(next(0x1_0000)), event];
  return BigInt.asUintN(64, values[next(values.length)]!);
}

/** Changes a field or a few of a state that breaks no rule. */
function spoil(fields: Fields, next: Random): void {
  const others = [ACTIVITY, INTERRUPTIBILITY, INJECTION, Field.PinBased, Field.PendingDebug, Field.Debugctl];
  const candidates = [...fields.keys(), ...others].filter((field) => field !== Field.ProcessorBased);
  for (let changes = next(3); changes >= 0; changes--) {
    const field = candidates[next(candidates.length)]!;
    fields.set(field, next(2) ? (fields.get(field) ?? 0n) ^ (1n << BigInt(next(64))) : odd(next));
  }
}

test("the simulated processor blames the same fields", () => {
  const next = random(6);
  let refused = 0;
  const rounds = 3000;
  for (let round = 0; round < rounds; round++) {
    fields = [longMode, realMode, virtual8086][round % 3]!();
    spoil(fields, next);
    const vmcs = new Vmcs();
    for (const [field, value] of fields) vmcs.set(field, value);
    for (const field of fields.keys()) fields.set(field, vmcs.get(field)); // as wide as the field is
    const expected = guestFault(vmcs, capabilities);
    const named = core.holds() ? undefined : core.brokenField();
    if (named !== expected) expect({ round, named }).toEqual({ round, named: expected });
    if (expected !== undefined) refused++;
  }
  expect(refused).toBeGreaterThan(rounds / 4);
  expect(refused).toBeLessThan(rounds);
});

test.each([
  [7, "VM entry with invalid control fields"],
  [8, "VM entry with invalid host-state fields"],
  [26, "VM entry with events blocked by MOV SS"],
  [14, "an error without a name"],
])("error %i of a VMX instruction in words: %s", (number, words) => {
  expect(text(core.errorText(number))).toContain(words);
});
