import { describe, expect, test } from "vitest";
import { crc32 } from "../../../machine/net/frames.ts";
import { Guid, guidBytes } from "../../../machine/firmware/uefi.ts";
import { ucs2 } from "../../../machine/firmware/tables.ts";
import { Machine, type MachineOptions } from "../../../machine/machine.ts";

const ERROR = 1n << 63n;
const SCRATCH = 0x20_0000;
const GUID_AT = SCRATCH + 0x1000;
const TEXT_AT = SCRATCH + 0x2000;

/** Uses the firmware as a program does: from the system table on, by offsets of the UEFI specification. */
class Program {
  readonly machine: Machine;
  constructor(options: MachineOptions = {}) {
    this.machine = new Machine(options);
  }
  word(at: number): number {
    return Number(this.machine.memory.read64(at));
  }
  get system(): number {
    return this.machine.firmware.systemTable;
  }
  /** Calls the function whose pointer lies at `table + offset`. */
  call(table: number, offset: number, ...args: (number | bigint)[]): bigint {
    return this.machine.firmware.call(this.word(table + offset), args.map(BigInt));
  }
  boot(offset: number, ...args: (number | bigint)[]): bigint {
    return this.call(this.word(this.system + 96), offset, ...args);
  }
  guid(text: string): number {
    this.machine.memory.writeBytes(GUID_AT, guidBytes(text));
    return GUID_AT;
  }
  text(content: string): number {
    this.machine.memory.writeBytes(TEXT_AT, ucs2(content));
    return TEXT_AT;
  }
  /** HandleProtocol. */
  protocol(handle: number, guid: string): number {
    expect(this.boot(152, handle, this.guid(guid), SCRATCH)).toBe(0n);
    return this.word(SCRATCH);
  }
  get loadedImage(): number {
    return this.protocol(this.machine.firmware.imageHandle, Guid.LoadedImage);
  }
}

test.each([
  ["the system table", 0, "IBI SYST"],
  ["the boot services", 96, "BOOTSERV"],
  ["the runtime services", 88, "RUNTSERV"],
])("%s begins with its signature and a right checksum", (_name, offset, signature) => {
  const program = new Program();
  const { memory } = program.machine;
  const table = offset ? program.word(program.system + offset) : program.system;
  expect(String.fromCharCode(...memory.readBytes(table, 8))).toBe(signature);
  const bytes = memory.readBytes(table, memory.read32(table + 12));
  bytes.fill(0, 16, 20);
  expect(memory.read32(table + 16)).toBe(crc32(bytes));
});

test("CRC-32 has its well-known check value", () => {
  expect(crc32(new TextEncoder().encode("123456789"))).toBe(0xcbf4_3926);
});

test("the console keeps what is written", () => {
  const program = new Program();
  const console = program.word(program.system + 64);
  program.call(console, 8, console, program.text("Hello\r\n"));
  expect(program.machine.screen).toBe("Hello\r\n");
});

describe("the loaded image", () => {
  test("has the load options as UCS-2", () => {
    const program = new Program({ loadOptions: "sheer.efi log=0x3e8" });
    const image = program.loadedImage;
    const size = program.machine.memory.read32(image + 48);
    expect(program.machine.memory.readBytes(program.word(image + 56), size)).toEqual(ucs2("sheer.efi log=0x3e8"));
  });

  test("has a device path that names its file and ends", () => {
    const program = new Program({ programPath: "\\x.efi" });
    const path = program.word(program.loadedImage + 32);
    const { memory } = program.machine;
    expect([...memory.readBytes(path, 4)]).toEqual([4, 4, 4 + 14, 0]);
    expect(memory.readBytes(path + 4, 14)).toEqual(ucs2("\\x.efi"));
    expect([...memory.readBytes(path + 18, 4)]).toEqual([0x7f, 0xff, 4, 0]);
  });
});

describe("files", () => {
  const open = (program: Program, name: string): { status: bigint; file: number } => {
    const fs = program.protocol(program.word(program.loadedImage + 24), Guid.SimpleFileSystem);
    program.call(fs, 8, fs, SCRATCH);
    const root = program.word(SCRATCH);
    const status = program.call(root, 8, root, SCRATCH, program.text(name), 1, 0);
    return { status, file: program.word(SCRATCH) };
  };

  test("are found without regard to case, and read in pieces to the end", () => {
    const program = new Program({ files: { "\\EFI\\sheer.conf": "log=0x3e8\n" } });
    const { file } = open(program, "\\efi\\SHEER.CONF");
    const pieces: string[] = [];
    for (const wanted of [4, 100, 100]) {
      program.machine.memory.write64(SCRATCH, BigInt(wanted));
      expect(program.call(file, 32, file, SCRATCH, SCRATCH + 8)).toBe(0n);
      const bytes = program.machine.memory.readBytes(SCRATCH + 8, program.word(SCRATCH));
      pieces.push(new TextDecoder().decode(bytes));
    }
    expect(pieces).toEqual(["log=", "0x3e8\n", ""]);
  });

  test("tell their size, after saying how much room that takes", () => {
    const program = new Program({ files: { "\\a.txt": "12345" } });
    const { file } = open(program, "a.txt");
    program.machine.memory.write64(SCRATCH, 10n);
    expect(program.call(file, 64, file, program.guid(Guid.FileInfo), SCRATCH, SCRATCH + 8)).toBe(ERROR | 5n);
    expect(program.word(SCRATCH)).toBe(80 + 12);
    expect(program.call(file, 64, file, program.guid(Guid.FileInfo), SCRATCH, SCRATCH + 8)).toBe(0n);
    expect(program.word(SCRATCH + 16)).toBe(5);
  });

  test("that are missing are not found, and none can be written", () => {
    const program = new Program({ files: { "\\a.txt": "12345" } });
    expect(open(program, "\\b.txt").status).toBe(ERROR | 14n);
    const { file } = open(program, "a.txt");
    expect(program.call(file, 40, file, SCRATCH, SCRATCH)).toBe(ERROR | 8n);
  });

  test("are counted while open", () => {
    const program = new Program({ files: { "\\a.txt": "12345" } });
    const { file } = open(program, "a.txt");
    expect(program.machine.firmware.fileSystem.open).toBe(2);
    program.call(file, 16, file);
    expect(program.machine.firmware.fileSystem.open).toBe(1);
  });
});

describe("memory", () => {
  const readMap = (program: Program): { type: number; base: number; pages: number }[] => {
    const { memory } = program.machine;
    const [size, buffer, key, each, version] = [SCRATCH, SCRATCH + 0x100, SCRATCH + 8, SCRATCH + 16, SCRATCH + 24];
    memory.write64(size, 0x4000n);
    expect(program.boot(56, size, buffer, key, each, version)).toBe(0n);
    const step = program.word(each);
    return Array.from({ length: program.word(size) / step }, (_, i) => ({
      type: memory.read32(buffer + i * step),
      base: program.word(buffer + i * step + 8),
      pages: program.word(buffer + i * step + 24),
    }));
  };

  test("the map is ascending, without overlaps, and covers all but the video window", () => {
    const map = readMap(new Program({ memory: 64 }));
    map.slice(1).forEach(({ base }, i) => expect(base).toBeGreaterThanOrEqual(map[i]!.base + map[i]!.pages * 4096));
    expect(map.reduce((sum, { pages }) => sum + pages, 0)).toBe((64 * 1024 - 128) / 4);
  });

  test("too small a buffer is told the size", () => {
    const program = new Program();
    program.machine.memory.write64(SCRATCH, 10n);
    const status = program.boot(56, SCRATCH, SCRATCH + 0x100, SCRATCH + 8, SCRATCH + 16, SCRATCH + 24);
    expect(status).toBe(ERROR | 5n);
    expect(program.word(SCRATCH)).toBeGreaterThan(10);
  });

  test("pages are given below a maximum and come back", () => {
    const program = new Program();
    const before = readMap(program);
    program.machine.memory.write64(SCRATCH, 0xff_ffffn);
    expect(program.boot(40, 1, 0, 16, SCRATCH)).toBe(0n);
    const base = program.word(SCRATCH);
    expect(base + 16 * 4096).toBeLessThanOrEqual(0x100_0000);
    expect(readMap(program)).toContainEqual({ type: 0, base, pages: 16 });
    expect(program.boot(48, base, 16)).toBe(0n);
    expect(readMap(program)).toEqual(before);
    expect(program.boot(48, base, 16)).toBe(ERROR | 14n);
  });

  test("more than there is cannot be had", () => {
    const program = new Program();
    expect(program.boot(40, 0, 4, 1_000_000, SCRATCH)).toBe(ERROR | 9n);
  });

  test("pool that is not freed is seen", () => {
    const program = new Program();
    program.boot(64, 4, 100, SCRATCH);
    const first = program.word(SCRATCH);
    program.boot(64, 4, 100, SCRATCH);
    expect(program.boot(72, first)).toBe(0n);
    expect(program.machine.firmware.bootServices.pool.size).toBe(1);
    expect(program.boot(72, first)).toBe(ERROR | 2n);
  });
});

describe("ACPI", () => {
  const sumOf = (bytes: Uint8Array): number => bytes.reduce((sum, byte) => (sum + byte) & 0xff, 0);

  test("is found through the configuration table, every checksum right", () => {
    const program = new Program();
    const { memory } = program.machine;
    const configuration = program.word(program.system + 112);
    expect(memory.readBytes(configuration, 16)).toEqual(guidBytes(Guid.Acpi20Table));
    const rsdp = program.word(configuration + 16);
    expect(sumOf(memory.readBytes(rsdp, 20))).toBe(0);
    expect(sumOf(memory.readBytes(rsdp, 36))).toBe(0);
    const xsdt = program.word(rsdp + 24);
    const tables = Array.from({ length: (memory.read32(xsdt + 4) - 36) / 8 }, (_, i) =>
      program.word(xsdt + 36 + 8 * i),
    );
    for (const table of [xsdt, ...tables]) expect(sumOf(memory.readBytes(table, memory.read32(table + 4)))).toBe(0);
    const names = tables.map((table) => String.fromCharCode(...memory.readBytes(table, 4)));
    expect(names).toEqual(["FACP", "APIC", "MCFG"]);
    expect(program.word(tables[2]! + 44)).toBe(0xb000_0000);
  });
});

describe("PCI controllers", () => {
  test("tell where they are and let their configuration space be read", () => {
    const program = new Program({ cards: [{ model: "82540EM" }] });
    const { memory } = program.machine;
    program.boot(312, 2, program.guid(Guid.PciIo), 0, SCRATCH, SCRATCH + 8);
    expect(program.word(SCRATCH)).toBe(1);
    const pciIo = program.protocol(program.word(program.word(SCRATCH + 8)), Guid.PciIo);
    program.call(pciIo, 112, pciIo, SCRATCH, SCRATCH + 8, SCRATCH + 16, SCRATCH + 24);
    expect([0, 8, 16, 24].map((at) => program.word(SCRATCH + at))).toEqual([0, 0, 2, 0]);
    program.call(pciIo, 48, pciIo, 2, 0, 1, SCRATCH);
    expect(memory.read32(SCRATCH)).toBe(0x100e_8086);
  });

  test("lose the firmware's driver when it is told to go", () => {
    const program = new Program({ firmwareNicDriver: true });
    const { card, firmware } = program.machine;
    program.machine.clock.advance(5_000_000);
    expect(card.wire.inject(Array.from({ length: 60 }, () => 0xff))).toBe(true);
    program.boot(312, 2, program.guid(Guid.PciIo), 0, SCRATCH, SCRATCH + 8);
    const handle = program.word(program.word(SCRATCH + 8));
    expect(program.boot(272, handle, 0, 0)).toBe(0n);
    expect(firmware.bootServices.disconnected).toEqual([handle]);
    expect(card.wire.inject(Array.from({ length: 60 }, () => 0xff))).toBe(false);
    expect(card.pci.command & 4).toBe(0);
  });
});

test("calls to nowhere and calls with too few arguments are mistakes of the caller", () => {
  const { firmware } = new Machine();
  expect(() => firmware.call(0x1234, [])).toThrow("no function");
  expect(() => firmware.call(firmware.bootService("AllocatePages"), [0n, 0n])).toThrow("takes 4 arguments");
});

test("Stall lets time pass", () => {
  const program = new Program();
  const before = program.machine.clock.now;
  program.boot(248, 250);
  expect(program.machine.clock.now - before).toBe(250_000);
});
