/** 256 bits, one for each vector. */
export class VectorSet {
  readonly #words = new Uint32Array(8);
  set(vector: number): void {
    this.#words[vector >> 5]! |= 1 << (vector & 31);
  }
  clear(vector: number): void {
    this.#words[vector >> 5]! &= ~(1 << (vector & 31));
  }
  clearAll(): void {
    this.#words.fill(0);
  }
  has(vector: number): boolean {
    return ((this.#words[vector >> 5]! >>> (vector & 31)) & 1) === 1;
  }
  /** The highest vector in the set, or -1. */
  highest(): number {
    for (let word = 7; word >= 0; word--) {
      const bits = this.#words[word]!;
      if (bits) return word * 32 + 31 - Math.clz32(bits);
    }
    return -1;
  }
  word(index: number): number {
    return this.#words[index]!;
  }
}
