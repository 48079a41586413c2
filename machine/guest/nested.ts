// Nested paging, as far as AMD's nested and Intel's extended page tables are alike: a cache of translations that the
// hypervisor must have emptied, and what is known of an access that the tables do not allow.
import type { Access, Translation } from "./paging.ts";

export const Right = { Read: 1, Write: 2, Execute: 4 } as const;

export interface NestedPage {
  readonly frame: number;
  readonly rights: number;
}

/** Finds the page around an address: "absent" if none is mapped, "reserved" if an entry on the way is none. */
export type Walk = (address: number) => NestedPage | "absent" | "reserved";

export interface NestedFault {
  readonly address: number;
  readonly access: Access;
  /** The access is to the guest's page tables. */
  readonly tables: boolean;
  readonly present: boolean;
  readonly reserved: boolean;
  /** What the entries allow. */
  readonly rights: number;
}

export class NestedTranslator {
  readonly #walk: Walk;
  readonly #cache = new Map<number, NestedPage>();

  constructor(walk: Walk) {
    this.#walk = walk;
  }

  forget(): void {
    this.#cache.clear();
  }

  translate(address: number, access: Access, tables: boolean): Translation {
    const offset = address % 4096;
    const cached = this.#cache.get(address - offset);
    if (cached && allows(cached, access)) return { address: cached.frame + offset };
    const page = this.#walk(address - offset);
    const found = typeof page === "object" ? page : undefined;
    if (found && allows(found, access)) {
      this.#cache.set(address - offset, found);
      return { address: found.frame + offset };
    }
    const [present, reserved] = [page !== "absent", page === "reserved"];
    return { fault: { address, access, tables, present, reserved, rights: found?.rights ?? 0 } };
  }
}

function allows({ rights }: NestedPage, { write, fetch }: Access): boolean {
  const needed = (write ? Right.Write : 0) | (fetch ? Right.Execute : Right.Read);
  return (rights & needed) === needed;
}
