import { Level, log } from "../log/log";
import { DeviceRules } from "./device-rules";
import { lengthTo, number, same } from "./text";

/** Who has the network card. */
export const enum NetMode {
  Virtio,
  Pass,
}

/** What the network card's MSI carries. */
export const enum NetInterrupts {
  /** A vector of Sheer's own, which is translated. */
  Private,
  /** The message that the guest wrote for frames received. */
  Guest,
}

/** Whether devices are kept from Sheer's block, where there is an IOMMU. */
export const enum DmaFence {
  Fence,
  /** The IOMMU is the guest's. */
  Off,
}

const SPACE: u32 = 32;
const HASH: u32 = 35;
const EQUALS: u32 = 61;

/** Sheer's settings: `key=value` words, from the settings file and then the command line, which wins. */
class Settings {
  /** I/O port of the log's UART, 0 for none. */
  logPort: u32 = 0;
  logLevel: Level = Level.Info;
  net: NetMode = NetMode.Virtio;
  netInterrupts: NetInterrupts = NetInterrupts.Private;
  /** Whether the guest may have a frame spread over several receive buffers. */
  mergeBuffers: bool = false;
  /** Whether external interrupts may end the guest's run where Sheer has a use for that. */
  intercept: bool = true;
  dma: DmaFence = DmaFence.Fence;
  stealth: bool = false;
  /** Whether sheer.efi reports failure on success, so that the boot manager goes on with the next entry. */
  thenNext: bool = false;
  /** Whether Sheer's threads run on one processor at a time. */
  oneProcessor: bool = false;
  /** Who gets which PCI device. */
  readonly devices: DeviceRules = new DeviceRules();

  /** Takes the settings in ASCII text; `#` starts a comment. What is not understood is named in the log and changes nothing. */
  parse(text: usize, length: u32): void {
    this.devices.beginText();
    let at: u32 = 0;
    while (at < length) {
      const first: u32 = load<u8>(text + at);
      if (first <= SPACE) {
        at++;
      } else if (first == HASH) {
        while (at < length && load<u8>(text + at) != 10) at++;
      } else {
        const start = at;
        while (at < length && load<u8>(text + at) > SPACE) at++;
        if (!this.take(text + start, at - start)) {
          log
            .warn("setting not understood, ignored: ")
            .ascii(text + start, at - start)
            .end();
        }
      }
    }
  }

  /** To be called when all has been read: of two settings that do not go together one is ignored. */
  reconcile(): void {
    if (this.intercept || this.netInterrupts == NetInterrupts.Private) return;
    this.netInterrupts = NetInterrupts.Private;
    log.warn("net.interrupts=guest is ignored: interrupts.intercept=off takes MSI-X away, which it needs").end();
  }

  private take(word: usize, length: u32): bool {
    const equals = lengthTo(word, length, EQUALS);
    if (equals == length) return false;
    const value = word + equals + 1;
    const size = length - equals - 1;
    if (same(word, equals, "log")) return this.takeLog(value, size);
    if (same(word, equals, "log.level")) return this.takeLevel(value, size);
    if (same(word, equals, "net")) {
      if (same(value, size, "virtio")) this.net = NetMode.Virtio;
      else if (same(value, size, "pass")) this.net = NetMode.Pass;
      else return false;
      return true;
    }
    if (same(word, equals, "net.interrupts")) {
      if (same(value, size, "private")) this.netInterrupts = NetInterrupts.Private;
      else if (same(value, size, "guest")) this.netInterrupts = NetInterrupts.Guest;
      else return false;
      return true;
    }
    if (same(word, equals, "memory.dma")) {
      if (same(value, size, "fence")) this.dma = DmaFence.Fence;
      else if (same(value, size, "off")) this.dma = DmaFence.Off;
      else return false;
      return true;
    }
    if (same(word, equals, "then")) {
      if (same(value, size, "next")) this.thenNext = true;
      else if (same(value, size, "return")) this.thenNext = false;
      else return false;
      return true;
    }
    if (same(word, equals, "device")) return this.devices.add(value, size);
    const on = same(value, size, "on");
    return (on || same(value, size, "off")) && this.turn(word, equals, on);
  }

  /** Those that are on or off; false if the key is none of them. */
  private turn(key: usize, length: u32, on: bool): bool {
    if (same(key, length, "net.mergeBuffers")) this.mergeBuffers = on;
    else if (same(key, length, "interrupts.intercept")) this.intercept = on;
    else if (same(key, length, "stealth")) this.stealth = on;
    else if (same(key, length, "threads.oneProcessor")) this.oneProcessor = on;
    else return false;
    return true;
  }

  private takeLog(value: usize, size: u32): bool {
    if (same(value, size, "off")) {
      this.logPort = 0;
      return true;
    }
    const port = number(value, size);
    if (port <= 0 || port > 0xfff8) return false;
    this.logPort = port as u32;
    return true;
  }

  private takeLevel(value: usize, size: u32): bool {
    if (same(value, size, "error")) this.logLevel = Level.Error;
    else if (same(value, size, "warn")) this.logLevel = Level.Warn;
    else if (same(value, size, "info")) this.logLevel = Level.Info;
    else if (same(value, size, "debug")) this.logLevel = Level.Debug;
    else return false;
    return true;
  }
}

export const settings = new Settings();
