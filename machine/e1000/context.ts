// The context descriptor (8254x manual, 3.3.6).
import type { Context } from "../net/offload.ts";

export function parseContext(descriptor: DataView): Context {
  const command = descriptor.getUint32(8, true);
  return {
    ipStart: descriptor.getUint8(0),
    ipOffset: descriptor.getUint8(1),
    ipEnd: descriptor.getUint16(2, true),
    tcpStart: descriptor.getUint8(4),
    tcpOffset: descriptor.getUint8(5),
    tcpEnd: descriptor.getUint16(6, true),
    payloadLength: command & 0xf_ffff,
    headerLength: descriptor.getUint8(13),
    segmentSize: descriptor.getUint16(14, true),
    tcp: ((command >>> 24) & 1) === 1,
    ipv4: ((command >>> 25) & 1) === 1,
  };
}
