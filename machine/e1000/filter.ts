// Which frames a card takes: 8254x manual, 3.2.1 and 13.5; 82574 data sheet, 7.1.1.
import { MULTICAST_WORDS, RAH_VALID, Rctl, RECEIVE_ADDRESSES, Reg } from "./registers.ts";
import type { Registers } from "./state.ts";
import { get16 } from "../net/frames.ts";
import { isBroadcast, isMulticast } from "./statistics.ts";

const ETHERTYPE_VLAN = 0x8100;

export function accepts(registers: Registers, frame: Uint8Array): boolean {
  return acceptsAddress(registers, frame) && acceptsVlan(registers, frame);
}

function acceptsAddress(registers: Registers, frame: Uint8Array): boolean {
  const rctl = registers.get(Reg.RCTL);
  if (isBroadcast(frame)) return (rctl & (Rctl.AcceptBroadcast | Rctl.MulticastPromiscuous)) !== 0;
  if (matchesReceiveAddress(registers, frame)) return true;
  if (!isMulticast(frame)) return (rctl & Rctl.UnicastPromiscuous) !== 0;
  return (rctl & Rctl.MulticastPromiscuous) !== 0 || matchesMulticastTable(registers, frame);
}

function matchesReceiveAddress(registers: Registers, frame: Uint8Array): boolean {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  for (let entry = 0; entry < RECEIVE_ADDRESSES; entry++) {
    const high = registers.get(Reg.RAH0 + 8 * entry);
    if (!(high & RAH_VALID)) continue;
    const low = registers.get(Reg.RAL0 + 8 * entry);
    if (view.getUint32(0, true) === low && view.getUint16(4, true) === (high & 0xffff)) return true;
  }
  return false;
}

/** RCTL.MO chooses 12 bits of the last two address bytes: 47:36, 46:35, 45:34 or 43:32. */
function matchesMulticastTable(registers: Registers, frame: Uint8Array): boolean {
  const offset = (registers.get(Reg.RCTL) >>> 12) & 3;
  const shift = [4, 3, 2, 0][offset]!;
  const hash = (((frame[5]! << 8) | frame[4]!) >> shift) & 0xfff;
  return ((registers.get(Reg.MTA + 4 * ((hash >> 5) % MULTICAST_WORDS)) >>> (hash & 31)) & 1) === 1;
}

function acceptsVlan(registers: Registers, frame: Uint8Array): boolean {
  if (!(registers.get(Reg.RCTL) & Rctl.VlanFilter) || get16(frame, 12) !== ETHERTYPE_VLAN) return true;
  const id = get16(frame, 14) & 0xfff;
  return ((registers.get(Reg.VFTA + 4 * (id >> 5)) >>> (id & 31)) & 1) === 1;
}
