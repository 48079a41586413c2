import { QUEUE_SIZE } from "./queue";

/** Chains that were taken from a queue and wait for their use, by their heads, first in first out; at most a queue full. */
export class HeldChains {
  private first: u32 = 0;
  count: u32 = 0;
  private readonly heads: StaticArray<u32> = new StaticArray<u32>(QUEUE_SIZE);

  clear(): void {
    this.count = 0;
  }
  /** False if there is no room. */
  push(head: u32): bool {
    if (this.count == QUEUE_SIZE) return false;
    unchecked((this.heads[(this.first + this.count++) % QUEUE_SIZE] = head));
    return true;
  }
  /** There is one. */
  shift(): u32 {
    const head = unchecked(this.heads[this.first]);
    this.first = (this.first + 1) % QUEUE_SIZE;
    this.count--;
    return head;
  }
}
