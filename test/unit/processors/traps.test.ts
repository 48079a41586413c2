// A trap of Sheer's on one processor: what it held is free again, and the others go on.
import { describe, expect, test } from "vitest";
import { VirtioNetDriver } from "../../../machine/driver/virtio-net.ts";
import type { Machine } from "../../../machine/machine.ts";
import { Config } from "../../../machine/pci/function.ts";
import { MODERATION, VECTORS } from "../net/setup.ts";
import { type Boot, readCounters, VENDORS } from "../vcpu/setup.ts";
import { Command, nmis, place, send, settle } from "./setup.ts";

const ELSEWHERE = 0xd000_0000;
const MAXIMUM = 60;
/** Where no trap can be: in locks and signals, and in the VMCS. */
const NEVER = /^(atomic|thisProcessor|pause|vmread|vmwrite)/;

/** The core traps at its n-th import from now on, on the second processor. */
class Trapping {
  readonly machine: Machine;
  left = -1;
  /** What another does just before. */
  meanwhile: () => void = () => undefined;

  constructor(boot: Boot, cards: boolean) {
    const onImport = (name: string): void => {
      if (this.left < 0 || NEVER.test(name) || this.machine.processors.current.number !== 1) return;
      if (this.left-- > 0) return;
      this.meanwhile();
      throw new WebAssembly.RuntimeError("unreachable");
    };
    const options = cards ? { cards: [{ model: "82574L" as const }] } : {};
    this.machine = boot({ processors: 3, forbidTraps: false, onImport, ...options });
    this.machine.clock.advance(MODERATION);
  }
}

describe.each(VENDORS)("%s", (_vendor, boot) => {
  test("wherever it is, the others go on, and so does the one that it was on", () => {
    const trapping = new Trapping(boot, false);
    const { machine } = trapping;
    const [first, second, third] = machine.guests as [typeof machine.guest, typeof machine.guest, typeof machine.guest];
    let traps = 0;
    for (let point = 0; point < MAXIMUM; point++) {
      trapping.left = point;
      second.hypercall({ 0: 0x5348_0002n, 3: 0n });
      second.write32(0xfee0_0080, 0);
      const trapped = trapping.left < 0;
      trapping.left = -1;
      if (!trapped) break;
      traps++;
      for (const guest of [first, third, second]) {
        expect(guest.hypercall({ 0: 0x5348_0000n })).toBe(0x1_0000_0100n);
        guest.write32(0xfee0_0080, 0);
      }
      send(first, Command.Nmi, 1);
      settle(machine);
      expect(nmis(second)).toBe(traps);
    }
    expect(traps).toBeGreaterThan(1);
    expect(traps).toBeLessThan(MAXIMUM);
    expect(readCounters(machine).get("traps")).toBe(BigInt(traps));
    expect(machine.guests.map(({ processor }) => processor.traps.length)).toEqual([0, traps, 0]);
  });

  test("the one that it was on takes note of what another changed meanwhile", () => {
    const trapping = new Trapping(boot, true);
    const { machine } = trapping;
    const second = machine.guests[1]!;
    const driver = new VirtioNetDriver(machine.guest, { vectors: VECTORS });
    driver.start();
    const table = driver.tableEntry(0) - driver.pci.bar(1) + ELSEWHERE;
    expect(second.read32(table)).toBe(0xffff_ffff);
    trapping.meanwhile = () => driver.pci.write(Config.Bar0 + 4, 4, ELSEWHERE);
    trapping.left = 0;
    second.plain("invd");
    expect(second.processor.traps.length).toBe(1);
    // The trap has silenced the card; that its place is not plain any more shows in an exit.
    const before = second.exits("nested page fault");
    second.read32(table);
    expect(second.exits("nested page fault")).toBe(before + 1);
  });

  test("INIT and SIPI reach the one that it was on", () => {
    const trapping = new Trapping(boot, false);
    const { machine } = trapping;
    trapping.meanwhile = () => send(machine.guest, Command.Init, 1);
    trapping.left = 0;
    machine.guests[1]!.plain("invd");
    expect(machine.guests[1]!.processor.traps.length).toBe(1);
    send(machine.guest, Command.startup(0x21), 1);
    settle(machine);
    expect(place(machine.guests[1]!)).toBe("2100:0");
  });
});
