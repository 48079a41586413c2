import { CaseMaker, Flag } from "./case-maker.ts";

/** An instruction of BMI1 or BMI2 behind VEX, as APM 3 lists it. */
interface Picking {
  name: string;
  prefix?: 0x66 | 0xf3 | 0xf2;
  map: 2 | 3;
  opcode: number;
  /** ModRM.reg where it is part of the opcode. */
  reg?: number;
  undefinedFlags?: bigint;
}

const PICKING: Picking[] = [
  { name: "andn", map: 2, opcode: 0xf2, undefinedFlags: Flag.Af | Flag.Pf },
  { name: "blsr", map: 2, opcode: 0xf3, reg: 1, undefinedFlags: Flag.Af | Flag.Pf },
  { name: "blsmsk", map: 2, opcode: 0xf3, reg: 2, undefinedFlags: Flag.Af | Flag.Pf },
  { name: "blsi", map: 2, opcode: 0xf3, reg: 3, undefinedFlags: Flag.Af | Flag.Pf },
  { name: "bzhi", map: 2, opcode: 0xf5, undefinedFlags: Flag.Af | Flag.Pf },
  { name: "pext", prefix: 0xf3, map: 2, opcode: 0xf5 },
  { name: "pdep", prefix: 0xf2, map: 2, opcode: 0xf5 },
  { name: "mulx", prefix: 0xf2, map: 2, opcode: 0xf6 },
  { name: "bextr", map: 2, opcode: 0xf7, undefinedFlags: Flag.Sf | Flag.Af | Flag.Pf },
  { name: "shlx", prefix: 0x66, map: 2, opcode: 0xf7 },
  { name: "sarx", prefix: 0xf3, map: 2, opcode: 0xf7 },
  { name: "shrx", prefix: 0xf2, map: 2, opcode: 0xf7 },
  { name: "rorx", prefix: 0xf2, map: 3, opcode: 0xf0 },
];
/** Not rBX, which is the address, nor rSP. */
const REGISTERS = [0, 1, 2, 5, 6, 7];

/** Counting and picking bits. */
export abstract class BitCases extends CaseMaker {
  protected countedBits(emulated: boolean): void {
    const undefinedFlags = Flag.Of | Flag.Sf | Flag.Af | Flag.Pf;
    this.modRm("popcnt", [0x0f, 0xb8], { lead: [0xf3], samples: 6 });
    this.modRm("tzcnt", [0x0f, 0xbc], { lead: [0xf3], samples: 6, undefinedFlags });
    this.modRm("lzcnt", [0x0f, 0xbd], { lead: [0xf3], samples: 6, undefinedFlags });
    this.modRm("crc32", [0x0f, 0x38, 0xf0], { lead: [0xf2] });
    if (!emulated || this.bits !== 16) this.modRm("crc32", [0x0f, 0x38, 0xf1], { lead: [0xf2] });
  }

  protected pickedBits(emulated: boolean): void {
    for (const picking of PICKING.filter(({ name }) => !emulated || name !== "blsi")) {
      for (const wide of this.bits === 64 ? [0, 1] : [0]) {
        for (let i = 0; i < 16; i++) this.picking(picking, wide, i % 4 === 3);
      }
    }
  }

  private picking({ name, prefix, map, opcode, reg, undefinedFlags }: Picking, wide: number, register: boolean): void {
    const pick = (): number => REGISTERS[this.random() % REGISTERS.length]!;
    const source = name === "rorx" ? 0 : pick() + (this.bits === 64 && this.random() & 1 ? 8 : 0);
    const pp = [undefined, 0x66, 0xf3, 0xf2].indexOf(prefix);
    const start = [0xc4, 0xe0 | map, (wide << 7) | ((~source & 15) << 3) | pp, opcode];
    const field = reg ?? pick();
    const operand = register ? [0xc0 | (field << 3) | pick()] : [this.modRmOf(field), this.place()];
    const tail = map === 3 ? [this.random() >>> 24] : [];
    this.add(name, [...start, ...operand, ...tail], undefinedFlags);
  }

  /** A displacement from the page border. */
  private place(): number {
    return [0, 8, 0x11, 0xff, 0xfd, 0xf9, 0xc0][this.random() % 7]!;
  }
}
