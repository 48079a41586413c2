import { settings } from "../config/settings";
import { log } from "../log/log";
import { physOf, physRead16, physRead32, physRead64 } from "../metal";
import { firmware, guid, Status } from "./firmware";
import { BOOT_INFO, BootInfo } from "./info";

const LOADED_IMAGE_PROTOCOL = guid(0x5b1b31a1, 0x9562, 0x11d2, 0x8e3f_00a0_c969_723b);
const SIMPLE_FILE_SYSTEM_PROTOCOL = guid(0x964e5b22, 0x6459, 0x11d2, 0x8e39_00a0_c969_723b);

/** EFI_LOADED_IMAGE_PROTOCOL (UEFI 2.10, 9.1). */
const enum LoadedImage {
  DeviceHandle = 24,
  LoadOptionsSize = 48,
  LoadOptions = 56,
}
/** EFI_SIMPLE_FILE_SYSTEM_PROTOCOL and EFI_FILE_PROTOCOL (13.4, 13.5). */
const OPEN_VOLUME: u64 = 8;
const enum File {
  Open = 8,
  Close = 16,
  Read = 32,
}
const MODE_READ: u64 = 1;

const SETTINGS_FILE = "\\EFI\\sheer\\sheer.conf\0";
const LONGEST: u32 = 4096;
/** One byte more, by which a file that is too long is known. */
const text = heap.alloc(LONGEST + 1);
const word = heap.alloc(16);

/** Reads the settings file beside the firmware's boot files, if there is one, and then the command line. */
export function readSettings(): void {
  const image = firmware.protocol(changetype<BootInfo>(BOOT_INFO).imageHandle, LOADED_IMAGE_PROTOCOL);
  if (!image) return;
  const fileLength = readFile(physRead64(image + LoadedImage.DeviceHandle), SETTINGS_FILE);
  if (fileLength > LONGEST) log.warn("the settings file is longer than 4096 bytes: the rest is ignored").end();
  settings.parse(text, min(fileLength, LONGEST));
  settings.parse(text, commandLine(image));
  settings.reconcile();
}

/** The whole of a small file on a device's file system into `text`; 0 if it cannot be read. */
function readFile(device: u64, path: string): u32 {
  const volume = firmware.protocol(device, SIMPLE_FILE_SYSTEM_PROTOCOL);
  if (!volume || firmware.call(volume, OPEN_VOLUME, volume, physOf(word)) != Status.SUCCESS) return 0;
  const directory = load<u64>(word);
  let length: u32 = 0;
  if (
    firmware.call(directory, File.Open, directory, physOf(word), physOf(changetype<usize>(path)), MODE_READ) ==
    Status.SUCCESS
  ) {
    const file = load<u64>(word);
    store<u64>(word, LONGEST + 1, 8);
    if (firmware.call(file, File.Read, file, physOf(word) + 8, physOf(text)) == Status.SUCCESS)
      length = load<u32>(word, 8);
    firmware.call(file, File.Close, file);
  }
  firmware.call(directory, File.Close, directory);
  return length;
}

/**
 * The load options into `text`, without the program's own name, which the shell puts first. A boot entry's options may
 * be anything: only plain text is taken.
 */
function commandLine(image: u64): u32 {
  const size = min(physRead32(image + LoadedImage.LoadOptionsSize) >> 1, LONGEST);
  const options = physRead64(image + LoadedImage.LoadOptions);
  if (!options) return 0;
  let length: u32 = 0;
  let named = false;
  for (let i: u32 = 0; i < size; i++) {
    const code = physRead16(options + ((i as u64) << 1));
    if (!code) break;
    if (code > 126) return 0;
    store<u8>(text + length++, code);
    if (!named && (code == 32 || code == 61)) {
      named = true;
      if (code == 32) length = 0;
    }
  }
  return named ? length : 0;
}
