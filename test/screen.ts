// Reads Sheer's text back from the pixels of a screen, with glyphs as src/log/font.ts has them.
import { readFileSync } from "node:fs";

/** A pixel's color as red, green and blue bytes, red highest. */
export type Pixel = (x: number, y: number) => number;

const FONT = new URL("../src/log/font.ts", import.meta.url);
export const CELL = { width: 12, height: 16 } as const;
export const WHITE = 0xff_ffff;
export const DARK_RED = 0x80_0000;

/** The glyphs in the source's table by their pixels, row by row, `#` and `.`. */
function readFont(): Map<string, string> {
  const rows = readFileSync(FONT, "utf8").matchAll(/^ {2}((?:0x[0-9a-f]{2}, ?){7})\/\/ (.+)$/gm);
  return new Map(
    [...rows].map(([, bytes, name]) => {
      const lines = bytes!.split(",").slice(0, 7);
      const pixels = lines.map((byte) => Number(byte).toString(2).padStart(5, "0"));
      return [pixels.join("\n").replaceAll("1", "#").replaceAll("0", "."), name === "space" ? " " : name!];
    }),
  );
}

/** A screen dump in the format PPM, three bytes a pixel. */
export function readPpm(file: string): { width: number; height: number; pixel: Pixel } {
  const bytes = readFileSync(file);
  const header = /^P6\s(\d+)\s(\d+)\s255\s/.exec(bytes.toString("latin1", 0, 64));
  if (!header) throw new Error(`${file} is no PPM file`);
  const width = Number(header[1]);
  const pixel: Pixel = (x, y) => bytes.readUIntBE(header[0].length + 3 * (y * width + x), 3);
  return { width, height: Number(header[2]), pixel };
}

/** What is in one cell of text, row by row; undefined if its pixels are not white and dark red squares of 2 by 2. */
export function glyphAt(pixel: Pixel, column: number, row: number): string | undefined {
  const left = column * CELL.width;
  const top = row * CELL.height;
  const lines: string[] = [];
  for (let y = 0; y < 8; y++) {
    let line = "";
    for (let x = 0; x < 6; x++) {
      const square = [0, 1, 2, 3].map((i) => pixel(left + 2 * x + (i & 1), top + 2 * y + (i >> 1)));
      if (square.some((color) => color !== square[0])) return undefined;
      if (square[0] !== WHITE && square[0] !== DARK_RED) return undefined;
      line += square[0] === WHITE ? "#" : ".";
    }
    lines.push(line);
  }
  const blank = lines[7] === "......" && lines.every((line) => line.endsWith("."));
  return blank
    ? lines
        .map((line) => line.slice(0, 5))
        .slice(0, 7)
        .join("\n")
    : undefined;
}

/** The lines of text at the top of a screen, as far as there are any; `?` stands for a cell that holds no character. */
export function textOf(pixel: Pixel, width: number, height: number): string[] {
  const font = readFont();
  const columns = Math.floor(width / CELL.width);
  const lines: string[] = [];
  for (let row = 0; row < Math.floor(height / CELL.height); row++) {
    const glyphs = Array.from({ length: columns }, (_, column) => glyphAt(pixel, column, row));
    if (glyphs.every((glyph) => glyph === undefined)) break;
    lines.push(
      glyphs
        .map((glyph) => (glyph && font.get(glyph)) ?? "?")
        .join("")
        .trimEnd(),
    );
  }
  return lines;
}
