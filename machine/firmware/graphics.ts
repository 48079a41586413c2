// EFI_GRAPHICS_OUTPUT_PROTOCOL: UEFI Specification 2.10, 12.9.
import type { TableBuilder } from "./tables.ts";
import { EfiStatus } from "./uefi.ts";

/** EFI_GRAPHICS_PIXEL_FORMAT. */
export const PixelFormat = { RedGreenBlue: 0, BlueGreenRed: 1, BitMask: 2, BltOnly: 3 } as const;

/** A screen in its current mode, with pixels of 32 bits unless the format says otherwise. */
export interface Display {
  readonly width: number;
  readonly height: number;
  readonly pixelsPerScanLine?: number;
  readonly format?: number;
  readonly base?: number;
  /** Size of the framebuffer in bytes. */
  readonly size?: number;
}

export const FRAMEBUFFER = 0xd000_0000;

export function framebufferBytes({ width, height, pixelsPerScanLine = width }: Display): number {
  return pixelsPerScanLine * height * 4;
}

/** Lays the protocol of one screen out; returns its address. */
export function buildGraphicsOutput(builder: TableBuilder, display: Display): number {
  const { width, height, pixelsPerScanLine = width, format = PixelFormat.BlueGreenRed, base = FRAMEBUFFER } = display;
  const info = builder.reserve(36);
  [0, width, height, format, 0, 0, 0, 0, pixelsPerScanLine].forEach((word, i) =>
    builder.memory.write32(info + 4 * i, word),
  );
  // MaxMode 1 and Mode 0 share the first word.
  const mode = builder.words([1, info, 36, base, display.size ?? framebufferBytes(display)]);
  const functions = ["QueryMode", "SetMode", "Blt"].map((name) =>
    builder.define({ name: `GraphicsOutput.${name}`, arity: 0, body: () => EfiStatus.Unsupported }),
  );
  return builder.words([...functions, mode]);
}
