import { physRead32, physRead64 } from "../metal";
import { log } from "../log/log";
import { screen } from "../log/screen";
import { firmware, guid } from "./firmware";

const GRAPHICS_OUTPUT_PROTOCOL = guid(0x9042a9de, 0x23dc, 0x4a38, 0x96fb_7ade_d080_516a);
/** EFI_GRAPHICS_OUTPUT_PROTOCOL.Mode (UEFI 2.10, 12.9.2). */
const MODE: u64 = 24;
/** EFI_GRAPHICS_OUTPUT_PROTOCOL_MODE. */
const enum Mode {
  Info = 8,
  FrameBufferBase = 24,
  FrameBufferSize = 32,
}
/** EFI_GRAPHICS_OUTPUT_MODE_INFORMATION. */
const enum ModeInformation {
  HorizontalResolution = 4,
  VerticalResolution = 8,
  PixelFormat = 12,
  PixelsPerScanLine = 32,
}
/** EFI_GRAPHICS_PIXEL_FORMAT: 32 bits a pixel with red or blue in the lowest byte; the others may be anything. */
const enum PixelFormat {
  RedGreenBlue = 0,
  BlueGreenRed = 1,
}
const DARK_RED: u32 = 0x80;

const count = heap.alloc(8);

/** Finds a screen on which Sheer can write by itself once the firmware has gone. Without one it only logs. */
export function useScreen(): void {
  const handles = firmware.handles(GRAPHICS_OUTPUT_PROTOCOL, count);
  if (!handles) return;
  const number = load<u64>(count);
  // The first may be the firmware's splitter, which stands for several screens and has no framebuffer of its own.
  for (let i: u64 = 0; i < number; i++) {
    const graphics = firmware.protocol(physRead64(handles + (i << 3)), GRAPHICS_OUTPUT_PROTOCOL);
    if (graphics && useMode(physRead64(graphics + MODE))) break;
  }
  firmware.freePool(handles);
}

function useMode(mode: u64): bool {
  const info = mode ? physRead64(mode + Mode.Info) : 0;
  const base = mode ? physRead64(mode + Mode.FrameBufferBase) : 0;
  if (!info || !base) return false;
  const format = physRead32(info + ModeInformation.PixelFormat);
  if (format != PixelFormat.RedGreenBlue && format != PixelFormat.BlueGreenRed) return false;
  const width = physRead32(info + ModeInformation.HorizontalResolution);
  const height = physRead32(info + ModeInformation.VerticalResolution);
  const pitch = physRead32(info + ModeInformation.PixelsPerScanLine);
  const background = format == PixelFormat.RedGreenBlue ? DARK_RED : DARK_RED << 16;
  if (!screen.use(base, physRead64(mode + Mode.FrameBufferSize), width, height, pitch, background)) return false;
  log.debug("screen of ").dec(width).text(" by ").dec(height).text(" at ").hex(base).end();
  return true;
}
