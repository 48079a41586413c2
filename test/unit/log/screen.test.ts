// Reports of the hypervisor's own traps on the screen: read back from the framebuffer of the simulated machine.
import { describe, expect, test } from "vitest";
import { type Display, FRAMEBUFFER, framebufferBytes, PixelFormat } from "../../../machine/firmware/graphics.ts";
import { Machine } from "../../../machine/machine.ts";
import { CELL, glyphAt, type Pixel, textOf } from "../../screen.ts";

const GUEST_PIXEL = 0x12_3456;
const UNREACHABLE = 0x105;
const DISPLAY: Display = { width: 800, height: 600 };

/** A machine with these screens, filled with the guest's pixels, on which Sheer runs. */
function start(...displays: Display[]): Machine {
  const machine = new Machine({ displays, forbidTraps: true, loadOptions: "sheer.efi log=0x3e8 log.level=debug" });
  expect(machine.boot()).toBe(0n);
  for (const display of displays) {
    const base = display.base ?? FRAMEBUFFER;
    machine.memory.writeBytes(base, new Uint8Array(guestPixels(display).buffer));
  }
  return machine;
}

function guestPixels(display: Display): Uint32Array {
  return new Uint32Array(framebufferBytes(display) / 4).fill(GUEST_PIXEL);
}

/** Red, green and blue as the screen shows them. */
function pixels({ memory }: Machine, display: Display): Pixel {
  const { width, pixelsPerScanLine = width, format = PixelFormat.BlueGreenRed, base = FRAMEBUFFER } = display;
  return (x, y) => {
    const value = memory.read32(base + (y * pixelsPerScanLine + x) * 4);
    if (format === PixelFormat.BlueGreenRed) return value & 0xff_ffff;
    return ((value & 0xff) << 16) | (value & 0xff00) | ((value >> 16) & 0xff);
  };
}

function shown(machine: Machine, display: Display): string[] {
  return textOf(pixels(machine, display), display.width, display.height);
}

/** Whether nothing was drawn anywhere in the framebuffer. */
function untouched({ memory }: Machine, display: Display): boolean {
  const base = display.base ?? FRAMEBUFFER;
  const bytes = memory.readBytes(base, framebufferBytes(display));
  return new Uint32Array(bytes.buffer).every((pixel) => pixel === GUEST_PIXEL);
}

/** The reports that the log has. */
function reports(machine: Machine): string[] {
  return machine.log().match(/^.*error: trap.*(?=\r)/gm) ?? [];
}

describe("a trap's report", () => {
  test("is on the screen as it is in the log", () => {
    const machine = start(DISPLAY);
    machine.core.trap(UNREACHABLE, 0x1234_5678_9abc_def0n);
    expect(reports(machine)).toEqual(["sheer: error: trap 0x105 at 0x123456789abcdef0 in "]);
    expect(shown(machine, DISPLAY)).toEqual([reports(machine)[0]!.trimEnd()]);
  });

  test("has glyphs that look like their characters", () => {
    const machine = start(DISPLAY);
    machine.core.trap(UNREACHABLE, 0xan);
    const glyphs: Record<string, string> = {
      s: ".....\n.....\n.####\n#....\n.###.\n....#\n####.",
      h: "#....\n#....\n####.\n#...#\n#...#\n#...#\n#...#",
      "1": "..#..\n.##..\n#.#..\n..#..\n..#..\n..#..\n#####",
      "5": "#####\n#....\n#....\n####.\n....#\n....#\n####.",
      ":": ".....\n..##.\n..##.\n.....\n..##.\n..##.\n.....",
      " ": Array(7).fill(".....").join("\n"),
    };
    const line = "sheer: error: trap 0x105";
    for (const [character, glyph] of Object.entries(glyphs)) {
      expect(glyphAt(pixels(machine, DISPLAY), line.indexOf(character), 0)).toBe(glyph);
    }
  });

  test("is drawn over the whole width and touches nothing below", () => {
    const machine = start(DISPLAY);
    machine.core.trap(UNREACHABLE, 0n);
    const pixel = pixels(machine, DISPLAY);
    expect(pixel(DISPLAY.width - 1, 0)).toBe(0x80_0000);
    expect(pixel(DISPLAY.width - 1, CELL.height - 1)).toBe(0x80_0000);
    for (let x = 0; x < DISPLAY.width; x++) expect(pixel(x, CELL.height)).toBe(GUEST_PIXEL);
  });

  test("is wrapped to the width of a narrow screen", () => {
    const narrow = { width: 125, height: 200 };
    const machine = start(narrow);
    machine.core.trap(UNREACHABLE, 0x1234_5678n);
    const lines = shown(machine, narrow);
    expect(lines.length).toBe(5);
    expect(
      lines
        .map((line) => line.padEnd(10))
        .join("")
        .trimEnd(),
    ).toBe(reports(machine)[0]!.trimEnd());
  });

  test("goes below the one before, and to the top again after the last row", () => {
    const low = { width: 800, height: 3 * CELL.height + 5 };
    const machine = start(low);
    for (let address = 0xa1n; address <= 0xa4n; address++) machine.core.trap(UNREACHABLE, address);
    const found = reports(machine).map((line) => line.trimEnd());
    expect(found.length).toBe(4);
    expect(shown(machine, low)).toEqual([found[3], found[1], found[2]]);
    expect(pixels(machine, low)(0, 3 * CELL.height)).toBe(GUEST_PIXEL);
  });

  test.each<[string, Display]>([
    ["with lines longer than they show", { ...DISPLAY, pixelsPerScanLine: 832 }],
    ["whose pixels have red lowest", { ...DISPLAY, format: PixelFormat.RedGreenBlue }],
    ["above 4 GiB", { ...DISPLAY, base: 2 ** 36 }],
  ])("is right on a screen %s", (_name, display) => {
    const machine = start(display);
    machine.core.trap(UNREACHABLE, 0n);
    expect(shown(machine, display)).toEqual([reports(machine)[0]!.trimEnd()]);
    const { width, pixelsPerScanLine = width } = display;
    if (pixelsPerScanLine > width) {
      expect(machine.memory.read32((display.base ?? FRAMEBUFFER) + 4 * width)).toBe(GUEST_PIXEL);
    }
  });

  test("is on the second screen if the first has no framebuffer", () => {
    const machine = start({ width: 800, height: 600, format: PixelFormat.BltOnly, base: 0xe000_0000 }, DISPLAY);
    machine.core.trap(UNREACHABLE, 0n);
    expect(shown(machine, DISPLAY).length).toBe(1);
  });
});

describe("no screen is drawn on, and the report is in the log,", () => {
  test.each<[string, Display]>([
    ["if its pixels are a bit mask", { ...DISPLAY, format: PixelFormat.BitMask }],
    ["if it has no framebuffer", { ...DISPLAY, format: PixelFormat.BltOnly }],
    ["if the framebuffer is smaller than its lines", { ...DISPLAY, size: 800 * 600 * 4 - 1 }],
    ["if its lines are shorter than what they show", { ...DISPLAY, pixelsPerScanLine: 799 }],
    ["if it has no room for a character", { ...DISPLAY, height: 15 }],
    ["if it is beyond the machine's address width", { ...DISPLAY, base: 2 ** 40 }],
    ["if its pixels lie across words", { ...DISPLAY, base: FRAMEBUFFER + 2 }],
  ])("%s", (_name, display) => {
    const machine = start(display);
    machine.core.trap(UNREACHABLE, 0n);
    expect(untouched(machine, display)).toBe(true);
    expect(reports(machine).length).toBe(1);
  });

  test("if it lies in Sheer's block, wholly or in part", () => {
    const { block } = start();
    for (const base of [block.base, block.base + 0x40_0000, block.base - 0x1000, block.base + block.size - 0x1000]) {
      const machine = new Machine({ loadOptions: "sheer.efi log=0x3e8", displays: [{ ...DISPLAY, base }] });
      expect(machine.boot()).toBe(0n);
      expect(machine.block).toEqual(block);
      const before = machine.memory.readBytes(base - (base % 4096), 0x1_0000);
      machine.core.trap(UNREACHABLE, 0n);
      const after = machine.memory.readBytes(base - (base % 4096), 0x1_0000);
      expect(reports(machine).length).toBe(1);
      // The log's own bytes change; no pixel of the report's background may be there.
      const red = (bytes: Uint8Array): number =>
        bytes.filter((byte, i) => byte === 0x80 && bytes[i - 2] === 0 && bytes[i - 1] === 0 && bytes[i + 1] === 0)
          .length;
      expect(red(after)).toBe(red(before));
    }
  });

  test("if there is none", () => {
    const machine = start();
    machine.core.trap(UNREACHABLE, 0n);
    expect(reports(machine).length).toBe(1);
  });

  test("and its size wraps around the address space", () => {
    const display = { ...DISPLAY, size: Number.MAX_SAFE_INTEGER };
    const machine = start(display);
    machine.core.trap(UNREACHABLE, 0n);
    expect(untouched(machine, display)).toBe(true);
  });
});
