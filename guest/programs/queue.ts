// Has Sheer's virtio-net send from its own block: the legacy interface, with one descriptor (virtio 0.9.5, 2.2 and 2.3).
import {
  in16,
  in8,
  out16,
  out32,
  out8,
  pause,
  physOf,
  physRead16,
  physWrite16,
  physWrite32,
  physWrite64,
} from "../../src/metal";
import { takePages } from "../../src/memory/frames";
import { PciFunction } from "../../src/pci/config";
import { Command, Header } from "../../src/pci/header";
import { FunctionScan } from "../../src/pci/scan";
import { say } from "./block";

const VIRTIO_NET: u32 = 0x1000_1af4;
const enum Register {
  QueueAddress = 8,
  QueueSize = 12,
  QueueSelect = 14,
  QueueNotify = 16,
  Status = 18,
}
const ACKNOWLEDGED: u32 = 1 | 2; // and a driver is there
const DRIVER_OK: u32 = 4;
const TRANSMIT: u32 = 1;
const LENGTH: u32 = 256;
const PATIENCE: u32 = 1_000_000;

function findDevice(): u32 {
  const scan = new FunctionScan();
  while (scan.advance()) {
    if (scan.identity.id != VIRTIO_NET) continue;
    const pci = new PciFunction(scan.identity.address);
    pci.write16(Header.Command, Command.IoSpace | Command.BusMaster);
    return pci.read32(Header.Bar0) & ~3;
  }
  return 0;
}

/** Sends one frame that lies at an address; true if the device says that it is done with it. */
function send(ports: u32, address: u64): bool {
  out8(ports + Register.Status, 0);
  out8(ports + Register.Status, ACKNOWLEDGED);
  out16(ports + Register.QueueSelect, TRANSMIT);
  const size = in16(ports + Register.QueueSize) as u64;
  // Descriptors of 16 bytes, the available ring behind them, the used ring on the next page.
  const available = size * 16;
  const used = (available + 6 + 2 * size + 4095) & ~4095;
  const pages = (used + 6 + 8 * size + 4095) >> 12;
  const queue = physOf(takePages(pages as u32));
  physWrite64(queue, address);
  physWrite32(queue + 8, LENGTH);
  out32(ports + Register.QueueAddress, (queue >> 12) as u32);
  out8(ports + Register.Status, ACKNOWLEDGED | DRIVER_OK);
  physWrite16(queue + available + 2, 1);
  out16(ports + Register.QueueNotify, TRANSMIT);
  for (let polls: u32 = 0; polls < PATIENCE; polls++) {
    in8(ports + Register.Status);
    if (physRead16(queue + used + 2)) return true;
    pause();
  }
  return false;
}

export function attackByQueue(block: u64): void {
  const ports = findDevice();
  say("virtio-net-found", ports != 0);
  if (!ports) return;
  say("queue-sends-own-memory", send(ports, physOf(takePages(1))));
  say("queue-does-not-send-block", !send(ports, block + 4096));
}
