// The rules for a guest's segment registers at an entry: SDM 3, 27.3.1.2.
import { entersLongMode, isCanonical, secondary } from "./entry-rules.ts";
import { Field, Secondary, type Vmcs } from "./vmcs.ts";

const [ES, CS, SS, DS, FS, GS, LDTR, TR] = [0, 1, 2, 3, 4, 5, 6, 7] as const;
const DATA = [ES, DS, FS, GS];
const ALL = [ES, CS, SS, DS, FS, GS, LDTR, TR];
const UNUSABLE = 1 << 16;
const PRESENT = 1 << 7;
const CODE_OR_DATA = 1 << 4;
const RFLAGS_VM = 1n << 17n;
const PE = 1n;

/** One segment register as the VMCS has it. */
class Register {
  readonly selector: number;
  readonly base: bigint;
  readonly limit: number;
  readonly rights: number;
  readonly #index: number;

  constructor(vmcs: Vmcs, index: number) {
    this.#index = index;
    this.selector = Number(vmcs.get(Field.EsSelector + 2 * index));
    this.base = vmcs.get(Field.EsBase + 2 * index);
    this.limit = vmcs.get32(Field.EsLimit + 2 * index);
    this.rights = vmcs.get32(Field.EsRights + 2 * index);
  }
  get rpl(): number {
    return this.selector & 3;
  }
  get usesLocalTable(): boolean {
    return (this.selector & 4) !== 0;
  }
  get type(): number {
    return this.rights & 15;
  }
  get dpl(): number {
    return (this.rights >> 5) & 3;
  }
  get usable(): boolean {
    return (this.rights & UNUSABLE) === 0;
  }
  get selectorField(): number {
    return Field.EsSelector + 2 * this.#index;
  }
  get baseField(): number {
    return Field.EsBase + 2 * this.#index;
  }
  get limitField(): number {
    return Field.EsLimit + 2 * this.#index;
  }
  get rightsField(): number {
    return Field.EsRights + 2 * this.#index;
  }
  /** G is 0 if a bit of 11:0 of the limit is 0, and 1 if a bit of 31:20 is 1; P is 1; reserved bits are 0. */
  get wellFormed(): boolean {
    const granular = (this.rights & (1 << 15)) !== 0;
    const mayBeBytes = this.limit >>> 20 === 0;
    const mayBePages = (this.limit & 0xfff) === 0xfff;
    return (granular ? mayBePages : mayBeBytes) && (this.rights & PRESENT) !== 0 && (this.rights & 0xfffe_0f00) === 0;
  }
}

type Registers = readonly Register[];

/** The field to blame for the first rule that the segment registers break. */
export function segmentFault(vmcs: Vmcs): number | undefined {
  const registers = ALL.map((index) => new Register(vmcs, index));
  const virtual = (vmcs.get(Field.Rflags) & RFLAGS_VM) !== 0n;
  const ordinary = virtual ? virtual8086Fault(registers) : ordinaryFault(vmcs, registers);
  return ordinary ?? taskFault(vmcs, registers[TR]!) ?? localTableFault(registers[LDTR]!);
}

function virtual8086Fault(registers: Registers): number | undefined {
  for (const register of registers.slice(0, LDTR)) {
    if (register.base !== BigInt(register.selector) << 4n) return register.baseField;
    if (register.limit !== 0xffff) return register.limitField;
    if (register.rights !== 0xf3) return register.rightsField;
  }
  return undefined;
}

function ordinaryFault(vmcs: Vmcs, registers: Registers): number | undefined {
  const unrestricted = secondary(vmcs, Secondary.Unrestricted);
  const [code, stack] = [registers[CS]!, registers[SS]!];
  if (!unrestricted && code.rpl !== stack.rpl) return stack.selectorField;
  const first =
    codeFault(code, stack, unrestricted, entersLongMode(vmcs)) ?? stackFault(vmcs, code, stack, unrestricted);
  if (first !== undefined) return first;
  for (const index of DATA) {
    const fault = dataFault(registers[index]!, index >= FS, unrestricted);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

function codeFault(code: Register, stack: Register, unrestricted: boolean, longMode: boolean): number | undefined {
  if (code.base >> 32n) return code.baseField;
  const both = longMode && (code.rights & 0x6000) === 0x6000;
  const privileged: Record<number, boolean> = {
    3: unrestricted && code.dpl === 0,
    9: code.dpl === stack.dpl,
    11: code.dpl === stack.dpl,
    13: code.dpl <= stack.dpl,
    15: code.dpl <= stack.dpl,
  };
  const right = privileged[code.type] === true && (code.rights & CODE_OR_DATA) !== 0 && code.wellFormed && !both;
  return right ? undefined : code.rightsField;
}

function stackFault(vmcs: Vmcs, code: Register, stack: Register, unrestricted: boolean): number | undefined {
  if (!unrestricted && stack.dpl !== stack.rpl) return stack.rightsField;
  const real = (vmcs.get(Field.Cr0) & PE) === 0n;
  if ((code.type === 3 || real) && stack.dpl !== 0) return stack.rightsField;
  if (!stack.usable) return undefined;
  if (stack.base >> 32n) return stack.baseField;
  const right = [3, 7].includes(stack.type) && (stack.rights & CODE_OR_DATA) !== 0 && stack.wellFormed;
  return right ? undefined : stack.rightsField;
}

function dataFault(register: Register, hasBase: boolean, unrestricted: boolean): number | undefined {
  if (hasBase && !isCanonical(register.base)) return register.baseField;
  if (!register.usable) return undefined;
  if (!hasBase && register.base >> 32n) return register.baseField;
  const accessed = [1, 3, 5, 7, 11, 15].includes(register.type);
  const privileged = unrestricted || register.type > 11 || register.dpl >= register.rpl;
  const right = accessed && (register.rights & CODE_OR_DATA) !== 0 && register.wellFormed && privileged;
  return right ? undefined : register.rightsField;
}

function taskFault(vmcs: Vmcs, task: Register): number | undefined {
  if (task.usesLocalTable) return task.selectorField;
  if (!isCanonical(task.base)) return task.baseField;
  const busy = entersLongMode(vmcs) ? [11] : [3, 11];
  const right = task.usable && busy.includes(task.type) && !(task.rights & CODE_OR_DATA) && task.wellFormed;
  return right ? undefined : task.rightsField;
}

function localTableFault(table: Register): number | undefined {
  if (!table.usable) return undefined;
  if (table.usesLocalTable) return table.selectorField;
  if (!isCanonical(table.base)) return table.baseField;
  return table.type === 2 && !(table.rights & CODE_OR_DATA) && table.wellFormed ? undefined : table.rightsField;
}
