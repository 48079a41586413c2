// Handles and the protocols on them: UEFI Specification 2.10, 7.3.
import type { TableBuilder } from "./tables.ts";

interface Handle {
  readonly address: number;
  readonly protocols: Map<string, number>;
}

export class Handles {
  readonly #builder: TableBuilder;
  readonly #handles = new Map<number, Handle>();

  constructor(builder: TableBuilder) {
    this.#builder = builder;
  }

  create(protocols: Readonly<Record<string, number>>): number {
    const address = this.#builder.reserve(16);
    this.#handles.set(address, { address, protocols: new Map(Object.entries(protocols)) });
    return address;
  }

  install(handle: number, guid: string, protocol: number): void {
    this.#handles.get(handle)!.protocols.set(guid, protocol);
  }

  has(handle: number): boolean {
    return this.#handles.has(handle);
  }

  /** The interface of a protocol on a handle. */
  protocol(handle: number, guid: string): number | undefined {
    return this.#handles.get(handle)?.protocols.get(guid);
  }

  /** Handles with a protocol, or all. */
  with(guid: string | undefined): number[] {
    const all = [...this.#handles.values()];
    return all.filter(({ protocols }) => guid === undefined || protocols.has(guid)).map(({ address }) => address);
  }
}
