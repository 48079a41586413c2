import { guestMemory } from "../memory/guest";
import { physWrite32 } from "../metal";
import { GLYPH_HEIGHT, GLYPH_WIDTH, glyphRow } from "./font";
import { log } from "./log";

/** Each pixel of a glyph is drawn as a square of so many: today's screens have small pixels. */
const SCALE: u32 = 2;
/** One pixel of space to the right of and below each glyph. */
const CELL_WIDTH: u32 = (GLYPH_WIDTH + 1) * SCALE;
const CELL_HEIGHT: u32 = (GLYPH_HEIGHT + 1) * SCALE;
const BYTES_PER_PIXEL: u64 = 4;
/** Wider or higher than any screen: sizes beyond are the firmware's mistake. */
const LARGEST: u32 = 0xffff;

const WHITE: u32 = 0x00ff_ffff;
const NEW_LINE: u32 = 10;

/**
 * The firmware's screen, for what must be seen where nobody reads the log: a line over the whole width for each report,
 * from the top downwards, over whatever is shown. The guest is not told; it draws over it when it likes.
 */
class Screen {
  private base: u64 = 0;
  private width: u32 = 0;
  private pitch: u32 = 0;
  private background: u32 = 0;
  private columns: u32 = 0;
  private rows: u32 = 0;
  private row: u32 = 0;

  /**
   * Uses a framebuffer of `size` bytes at a physical address, with 32-bit pixels, `pitch` of them from one line to the
   * next. False, and no screen, if it cannot be what the firmware says or lies where Sheer must not write.
   */
  use(base: u64, size: u64, width: u32, height: u32, pitch: u32, background: u32): bool {
    if (base & 3 || width > pitch || pitch > LARGEST || height > LARGEST) return false;
    if ((pitch as u64) * (height as u64) * BYTES_PER_PIXEL > size || !guestMemory.permits(base, size)) return false;
    if (width < CELL_WIDTH || height < CELL_HEIGHT) return false;
    this.base = base;
    this.width = width;
    this.pitch = pitch;
    this.background = background;
    this.columns = width / CELL_WIDTH;
    this.rows = height / CELL_HEIGHT;
    return true;
  }

  /** Shows the lines of the log from byte `from` on; the next ones go below, and after the last row to the top again. */
  showLog(from: u64): void {
    if (!this.rows) return;
    let column: u32 = this.columns;
    for (let at = max(from, log.oldest()); at < log.next(); at++) {
      const code = log.byteAt(at);
      if (code == NEW_LINE) {
        column = this.columns;
        continue;
      }
      if (column == this.columns) {
        this.beginRow();
        column = 0;
      }
      this.draw(column++, code);
    }
  }

  /** Goes to the next row and clears it. */
  private beginRow(): void {
    this.row = this.row < this.rows ? this.row + 1 : 1;
    const top = this.top();
    for (let y: u32 = 0; y < CELL_HEIGHT; y++) {
      for (let x: u32 = 0; x < this.width; x++) this.setPixel(x, top + y, this.background);
    }
  }

  private draw(column: u32, code: u32): void {
    const left = column * CELL_WIDTH;
    const top = this.top();
    for (let y: u32 = 0; y < GLYPH_HEIGHT * SCALE; y++) {
      const pixels = glyphRow(code, y / SCALE);
      for (let x: u32 = 0; x < GLYPH_WIDTH * SCALE; x++) {
        if ((pixels >> (GLYPH_WIDTH - 1 - x / SCALE)) & 1) this.setPixel(left + x, top + y, WHITE);
      }
    }
  }

  /** Rows are counted from 1; 0 is none yet. */
  private top(): u32 {
    return (this.row - 1) * CELL_HEIGHT;
  }

  private setPixel(x: u32, y: u32, color: u32): void {
    physWrite32(this.base + (((y * this.pitch) as u64) + (x as u64)) * BYTES_PER_PIXEL, color);
  }
}

export const screen = new Screen();
