import { beforeEach, describe, expect, test } from "vitest";
import { PhysicalMemory } from "../../../machine/memory.ts";
import { Virtqueue } from "../../../machine/driver/virtqueue.ts";

const BASE = 0x1_0000;
let memory: PhysicalMemory;
let queue: Virtqueue;

beforeEach(() => {
  memory = new PhysicalMemory(1 << 20);
  queue = new Virtqueue(memory, BASE, 256);
});

/** Acts as the device: returns a buffer. */
function use(id: number, length: number): void {
  const index = memory.read16(queue.used + 2);
  memory.write32(queue.used + 4 + 8 * (index % 256), id);
  memory.write32(queue.used + 8 + 8 * (index % 256), length);
  memory.write16(queue.used + 2, (index + 1) & 0xffff);
}

test("a queue of 256 lies as the specification's formula says", () => {
  expect(queue.available).toBe(BASE + 4096);
  expect(queue.used).toBe(BASE + 8192);
  expect(queue.bytes).toBe(8192 + 4096);
});

test("a buffer of two pieces is a chain of two descriptors, available once published", () => {
  const head = queue.add([
    { address: 0x5000, length: 10, writable: false },
    { address: 0x6000, length: 99, writable: true },
  ]);
  expect(memory.read16(queue.available + 2)).toBe(0);
  queue.publish();
  expect(memory.read16(queue.available + 2)).toBe(1);
  expect(memory.read16(queue.available + 4)).toBe(head);
  const first = BASE + 16 * head;
  const next = memory.read16(first + 14);
  expect([memory.read64(first), memory.read32(first + 8), memory.read16(first + 12)]).toEqual([0x5000n, 10, 1]);
  const second = BASE + 16 * next;
  expect([memory.read64(second), memory.read32(second + 8), memory.read16(second + 12)]).toEqual([0x6000n, 99, 2]);
});

test("used buffers give their descriptors back, round after round", () => {
  for (let round = 0; round < 700; round++) {
    const head = queue.add([{ address: 0x5000, length: 64, writable: true }]);
    queue.publish();
    use(head, round);
    expect(queue.takeUsed()).toEqual([{ id: head, length: round }]);
  }
  expect(queue.free).toBe(256);
});

test("a device that returns what was not available is found out", () => {
  use(7, 0);
  expect(() => queue.takeUsed()).toThrow("buffer 7");
});

test("an indirect buffer is one descriptor that points to a table", () => {
  const head = queue.addIndirect(
    [
      { address: 0x5000, length: 10, writable: false },
      { address: 0x6000, length: 99, writable: false },
    ],
    0x9000,
  );
  const at = BASE + 16 * head;
  expect([memory.read64(at), memory.read32(at + 8), memory.read16(at + 12)]).toEqual([0x9000n, 32, 4]);
  expect(memory.read16(0x9000 + 14)).toBe(1);
  expect(memory.read16(0x9000 + 16 + 12)).toBe(0);
});

describe("notifications", () => {
  const publish = (): boolean => {
    queue.add([{ address: 0x5000, length: 64, writable: true }]);
    return queue.publish();
  };

  test("are left out while the device's flag says so", () => {
    expect(publish()).toBe(true);
    memory.write16(queue.used, 1);
    expect(publish()).toBe(false);
  });

  test("with event indices are sent when the device's index is passed", () => {
    queue.eventIndex = true;
    memory.write16(queue.used + 4 + 8 * 256, 2);
    expect([publish(), publish(), publish(), publish()]).toEqual([false, false, true, false]);
  });
});
