import { Vcpu } from "../vcpu/vcpu";
import { nextByte, peekByte } from "./fetch";
import { Instruction, Repeat, Rex } from "./instruction";
import { lookUpVex } from "./opcode-maps";
import { OpcodeMap } from "./opcodes";

/** Outside 64-bit mode LES and LDS begin like VEX prefixes, but have no register form. */
export function isVex(vcpu: Vcpu, instruction: Instruction, first: u32): bool {
  if (first != 0xc4 && first != 0xc5) return false;
  return instruction.codeBits == 64 || peekByte(vcpu, instruction) >= 0xc0;
}

/**
 * Takes the rest of a VEX prefix (APM 3, 1.9) and the opcode; returns the opcode's word, 0 if it is unknown. What the
 * prefix says goes where the prefixes that it stands for would have put it; none of those may come before it.
 *
 *     C4   ~R ~X ~B mmmmm   W ~vvvv L pp
 *     C5   ~R ~vvvv L pp
 */
export function decodeVex(vcpu: Vcpu, instruction: Instruction, first: u32): u32 {
  if (instruction.operandPrefix || instruction.lock || instruction.repeat != Repeat.None || instruction.rex) return 0;
  let rex = nextByte(vcpu, instruction);
  let last = rex;
  let map: u32 = 1;
  if (first == 0xc4) {
    map = rex & 0x1f;
    last = nextByte(vcpu, instruction);
    rex = ((~rex >> 5) & 7) | ((last & 0x80) >> 4);
  } else {
    rex = (~rex >> 5) & Rex.R;
  }
  const wide = instruction.codeBits == 64;
  instruction.rex = wide ? 0x40 | rex : 0;
  instruction.vectorSource = (~last >> 3) & (wide ? 15 : 7);
  instruction.vectorLength = last & 4 ? 32 : 16;
  const prefix = last & 3;
  instruction.operandPrefix = prefix == 1;
  if (prefix > 1) instruction.repeat = prefix == 2 ? Repeat.Equal : Repeat.NotEqual;
  if (map < 1 || map > 3) return 0;
  instruction.opcode =
    (map == 1 ? OpcodeMap.Two : map == 2 ? OpcodeMap.Three38 : OpcodeMap.Three3a) | nextByte(vcpu, instruction);
  return lookUpVex(instruction.opcode);
}
