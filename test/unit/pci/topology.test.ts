// Where functions are found: segments, single-function devices, ECAM's base, and bridges that the guest numbers anew.
import { describe, expect, test } from "vitest";
import { ecamAddress, type ConfigWay } from "../../../machine/driver/pci.ts";
import { ECAM_BASE } from "../../../machine/pci/bus.ts";
import { BridgeConfig, PciBridge } from "../../../machine/pci/bridge.ts";
import type { Machine } from "../../../machine/machine.ts";
import { Config, PciFunction } from "../../../machine/pci/function.ts";
import { random } from "../net/setup.ts";
import { ABSENT, addBridge, addFunction, bootWith, guestFunction, idAt, plugCard, VIRTIO_NET } from "./setup.ts";

const WAYS: ConfigWay[] = ["ports", "ecam"];
const PLAIN = 0x5678_1234;
const SEGMENT_1 = 0x1_0000;

describe("a second segment", () => {
  function machine(rule = ""): Machine {
    return bootWith({ loadOptions: `sheer.efi ${rule}` }, (bare) => {
      addFunction(bare, "00:05.0");
      for (const slot of ["100:05.0", "100:06.0"]) addFunction(bare, slot, { device: 0x9abc });
    });
  }

  test("is the machine's own, apart from the first", () => {
    const pc = machine();
    expect(idAt(pc, "00:05.0", "ecam")).toBe(PLAIN);
    expect([idAt(pc, "100:05.0", "ecam"), idAt(pc, "100:06.0", "ecam")]).toEqual([0x9abc_1234, 0x9abc_1234]);
    guestFunction(pc, "100:05.0", "ecam").write(Config.InterruptLine, 1, 0x55);
    expect(pc.bus.find(SEGMENT_1 | (5 << 3))!.get(Config.InterruptLine, 1)).toBe(0x55);
    expect(pc.bus.find(5 << 3)!.get(Config.InterruptLine, 1)).toBe(0);
  });

  test("has its slots in rules", () => {
    const pc = machine("device=conceal,slot=0001:00:05.0");
    expect(idAt(pc, "00:05.0", "ecam")).toBe(PLAIN);
    expect([idAt(pc, "100:05.0", "ecam"), idAt(pc, "100:06.0", "ecam")]).toEqual([ABSENT, 0x9abc_1234]);
  });

  test("hides the other functions of a concealed device with one", () => {
    const pc = bootWith({ loadOptions: "sheer.efi device=conceal,slot=0001:*" }, (bare) => {
      addFunction(bare, "100:05.0");
      addFunction(bare, "100:05.3");
    });
    for (let func = 0; func < 8; func++) expect(idAt(pc, `100:05.${func}`, "ecam")).toBe(ABSENT);
  });
});

test.each(WAYS)("what the hardware shows at other functions of a mediated device is not there, by %s", (way) => {
  const pc = bootWith({}, (bare) => {
    for (let func = 1; func < 8; func++) addFunction(bare, `00:02.${func}`);
    addFunction(bare, "00:03.1");
  });
  expect(idAt(pc, "00:02.0", way)).toBe(VIRTIO_NET);
  for (let func = 1; func < 8; func++) {
    expect(idAt(pc, `00:02.${func}`, way)).toBe(ABSENT);
    guestFunction(pc, `00:02.${func}`, way).write(Config.InterruptLine, 1, 0x55);
    expect(pc.bus.find((2 << 3) | func)!.get(Config.InterruptLine, 1)).toBe(0);
  }
  expect(idAt(pc, "00:03.1", way)).toBe(PLAIN);
});

describe("the host bridge's ECAM base", () => {
  function machine(base: number): Machine {
    return bootWith({}, (bare) => {
      const bridge = bare.bus.find(0)!;
      bridge.set(0x60, 4, base);
      for (const offset of [0x5c, 0x60, 0x64, 0x68]) bridge.allowWrites(offset, 4, 0xffff_ffff);
    });
  }

  test.each(WAYS)("cannot be moved, by %s at any width", (way) => {
    const pc = machine(ECAM_BASE | 1);
    const bridge = guestFunction(pc, "00:00.0", way);
    for (const width of [1, 2, 4] as const) {
      for (let offset = 0x58; offset < 0x70; offset++) {
        if ((offset & 3) + width <= 4 || way === "ecam") bridge.write(offset, width, 0);
      }
    }
    pc.guest.write(ecamAddress(0) + 0x60, 8, 0);
    expect([bridge.read(0x60, 4), bridge.read(0x64, 4)]).toEqual([ECAM_BASE + 1, 0]);
    bridge.write(0x5c, 4, 0x1234_5678);
    bridge.write(0x68, 2, 0x9abc);
    expect([bridge.read(0x5c, 4), bridge.read(0x68, 4)]).toEqual([0x1234_5678, 0x9abc]);
  });

  test("is any register where it is not ECAM's", () => {
    const pc = machine(0);
    guestFunction(pc, "00:00.0").write(0x60, 4, 0x1234_5678);
    expect(guestFunction(pc, "00:00.0").read(0x60, 4)).toBe(0x1234_5678);
  });
});

describe("behind a bridge", () => {
  /** The card at 01:00.0, and a plain function beside it. */
  function machine(): { pc: Machine; bridge: PciBridge } {
    let bridge!: PciBridge;
    const pc = bootWith({}, (bare) => {
      bridge = addBridge(bare, "00:04.0", 1, 3);
      plugCard(bare, bridge);
      addFunction(bare, "00:05.0");
    });
    return { pc, bridge };
  }

  test.each(WAYS)("the card moves with its bus, by %s", (way) => {
    const { pc } = machine();
    expect(idAt(pc, "01:00.0", way)).toBe(VIRTIO_NET);
    guestFunction(pc, "00:04.0", way).write(BridgeConfig.Primary, 4, 0x09_07_00);
    expect([idAt(pc, "01:00.0", way), idAt(pc, "07:00.0", way)]).toEqual([ABSENT, VIRTIO_NET]);
    guestFunction(pc, "07:00.0", way).write(Config.InterruptLine, 1, 0x55);
    expect(pc.card.pci.get(Config.InterruptLine, 1)).toBe(0x55);
  });

  test.each([0, 1, 2] as const)("a bus can be numbered by a byte at a time (%i)", (at) => {
    const { pc } = machine();
    guestFunction(pc, "00:04.0").write(BridgeConfig.Primary + at, 1, 2);
    expect(idAt(pc, at === 1 ? "02:00.0" : "01:00.0")).toBe(VIRTIO_NET);
  });

  test("of no bus it is nowhere, and what has its number is the machine's", () => {
    const { pc } = machine();
    guestFunction(pc, "00:04.0").write(BridgeConfig.Primary, 4, 0);
    expect(idAt(pc, "00:00.0")).toBe(0x29c0_8086);
    expect(idAt(pc, "01:00.0")).toBe(ABSENT);
    guestFunction(pc, "00:04.0").write(BridgeConfig.Primary, 4, 0x01_01_00);
    expect(idAt(pc, "01:00.0")).toBe(VIRTIO_NET);
  });

  test("and behind a second one it moves with either", () => {
    const pc = bootWith({}, (bare) => {
      const outer = addBridge(bare, "00:04.0", 1, 3);
      const inner = new PciBridge();
      outer.plug(inner, bare.bus, 6);
      inner.number(1, 2, 2);
      plugCard(bare, inner);
    });
    expect(idAt(pc, "02:00.0")).toBe(VIRTIO_NET);
    guestFunction(pc, "00:04.0").write(BridgeConfig.Primary, 4, 0x20_10_00);
    expect([idAt(pc, "10:06.0"), idAt(pc, "02:00.0")]).toEqual([0x000c_1b36, ABSENT]);
    guestFunction(pc, "10:06.0").write(BridgeConfig.Primary, 4, 0x12_12_10);
    expect([idAt(pc, "12:00.0"), idAt(pc, "02:00.0")]).toEqual([VIRTIO_NET, ABSENT]);
  });

  test("a bus cannot have two bridges", () => {
    const pc = bootWith({}, (bare) => {
      plugCard(bare, addBridge(bare, "00:04.0", 1, 1));
      addBridge(bare, "00:06.0", 2, 2);
    });
    guestFunction(pc, "00:06.0").write(BridgeConfig.Secondary, 1, 1);
    expect(guestFunction(pc, "00:06.0").read(BridgeConfig.Secondary, 1)).toBe(2);
    guestFunction(pc, "00:04.0").write(BridgeConfig.Primary, 4, 0);
    guestFunction(pc, "00:06.0").write(BridgeConfig.Secondary, 1, 1);
    expect(guestFunction(pc, "00:06.0").read(BridgeConfig.Secondary, 1)).toBe(1);
  });

  test.each([1, 2, 3])("whatever the guest writes, it never reaches the card itself (seed %i)", (seed) => {
    const pick = random(seed);
    const bridges: PciBridge[] = [];
    const pc = bootWith({}, (bare) => {
      const outer = addBridge(bare, "00:04.0", 1, 4);
      const inner = new PciBridge();
      outer.plug(inner, bare.bus, 6);
      inner.number(1, 2, 2);
      plugCard(bare, inner);
      const beside = addBridge(bare, "00:06.0", 5, 5);
      beside.plug(new PciFunction({ vendor: 0x1234, device: 0x5678, classCode: 0xff_0000 }), bare.bus, 0);
      bridges.push(outer, inner, beside);
    });
    for (let step = 0; step < 300; step++) {
      const bridge = bridges[pick(bridges.length)]!;
      const width = ([1, 2, 4] as const)[pick(3)]!;
      const register = BridgeConfig.Primary + pick(5 - width);
      const way = WAYS[pick(2)]!;
      const pci = guestFunction(pc, slotOf(bridge.address), way);
      pci.write(
        register,
        width,
        [pick(8), pick(8), pick(8)].reduce((value, bus) => value * 256 + bus),
      );
      for (let bus = 0; bus < 8; bus++) {
        const device = pick(2) ? 0 : pick(8);
        const id = idAt(pc, `${bus}:${device.toString(16)}.0`, WAYS[pick(2)]);
        expect([ABSENT, VIRTIO_NET, 0x29c0_8086, 0x000c_1b36, PLAIN]).toContain(id);
      }
    }
  });
});

function slotOf(address: number): string {
  return `${(address >> 8).toString(16)}:${((address >> 3) & 31).toString(16)}.${address & 7}`;
}

describe("while another processor changes 0xCF8", () => {
  const CARD = 0x8000_1000;
  const BRIDGE = 0x8000_0000;
  const LINE = 0x3c;

  /** Has `action` happen once, before the next call of an import. */
  function withIntrusion(mcfg: boolean): { pc: Machine; before: (name: string, action: () => void) => void } {
    let awaited = "";
    let act = (): void => undefined;
    const onImport = (name: string): void => {
      if (name !== awaited) return;
      awaited = "";
      act();
    };
    const pc = bootWith({ mcfg, processors: 2, onImport });
    return { pc, before: (name, action) => ([awaited, act] = [name, action]) };
  }

  test("an access goes to the function that was named, by the way of memory", () => {
    const { pc, before } = withIntrusion(true);
    pc.guest.out(0xcf8, 4, BRIDGE);
    let came = 0;
    const intrude = (): void => {
      came++;
      pc.ports.write(0xcf8, 4, CARD | LINE);
    };
    before("physRead32", intrude);
    expect(pc.guest.in(0xcfc, 4)).toBe(0x29c0_8086);
    pc.guest.out(0xcf8, 4, (BRIDGE | LINE) >>> 0);
    before("physWrite8", intrude);
    pc.guest.out(0xcfc, 1, 0x55);
    expect(came).toBe(2);
    expect(pc.card.pci.get(LINE, 1)).not.toBe(0x55);
    expect(pc.bus.find(0)!.get(LINE, 1)).toBe(0x55);
  });
});

describe("without ECAM", () => {
  test("the guest's 0xCF8 is its own: what Sheer does meanwhile does not change it, nor the other way round", () => {
    const pc = bootWith({ mcfg: false, processors: 2 });
    const [first, second] = pc.guests as [typeof pc.guest, typeof pc.guest];
    first.out(0xcf8, 4, 0x8000_1000);
    expect(pc.ports.read(0xcf8, 4)).not.toBe(0x8000_1000); // the machine's own register is Sheer's
    expect(first.in(0xcfc, 4)).toBe(VIRTIO_NET);
    second.out(0xcf8, 4, 0xffff_ffff);
    expect(first.in(0xcf8, 4)).toBe(0x80ff_fffc);
    first.out(0xcf8, 1, 0x12);
    expect(first.in(0xcf8, 4)).toBe(0x80ff_fffc);
  });
});
