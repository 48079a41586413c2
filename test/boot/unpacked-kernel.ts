import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

/** The setup header's fields (Linux's boot protocol 2.15, by their offset in the file). */
const Setup = {
  sectors: 0x1f1,
  size: 0x1f4,
  entry32: 0x214,
  payloadOffset: 0x248,
  payloadLength: 0x24c,
};
const sectorSize = 512;
/** What `entry32` counts from: where a kernel's protected-mode part once had to lie. */
const protectedModeBase = 0x10_0000;
/** Behind the payload, the size of what is packed. */
const packedSizeBytes = 4;

const page = 4096;
const segmentLoad = 1;

/**
 * A Linux kernel as a loader takes it that enters it in 32-bit mode (GRUB does), but not packed: to unpack it takes most of the
 * time of a boot where each instruction is emulated.
 */
export function unpackedKernel(file: string): Buffer {
  const kernel = readFileSync(file);
  const setupSize = (kernel[Setup.sectors]! + 1) * sectorSize;
  const image = imageOf(unpack(kernel, setupSize));
  const whole = Buffer.concat([image, entryTo(image.length)]);
  const setup = Buffer.from(kernel.subarray(0, setupSize));
  setup.writeUInt32LE(whole.length / 16, Setup.size);
  setup.writeUInt32LE(protectedModeBase + image.length, Setup.entry32);
  setup.writeUInt32LE(0, Setup.payloadLength);
  return Buffer.concat([setup, whole]);
}

function unpack(kernel: Buffer, setupSize: number): Buffer {
  const start = setupSize + kernel.readUInt32LE(Setup.payloadOffset);
  const end = start + kernel.readUInt32LE(Setup.payloadLength) - packedSizeBytes;
  return execFileSync("xz", ["--decompress", "--stdout"], {
    input: kernel.subarray(start, end),
    maxBuffer: 256 * 1024 * 1024,
  });
}

/**
 * The kernel's segments as they lie in memory, up to a page's end and without what it clears itself. Its first byte is its
 * entry in 64-bit mode.
 */
function imageOf(elf: Buffer): Buffer {
  const [headers, size, count] = [Number(elf.readBigUInt64LE(32)), elf.readUInt16LE(54), elf.readUInt16LE(56)];
  const segments = Array.from({ length: count }, (_, index) => elf.subarray(headers + index * size))
    .filter((header) => header.readUInt32LE(0) === segmentLoad)
    .map((header) => ({
      offset: Number(header.readBigUInt64LE(8)),
      address: Number(header.readBigUInt64LE(24)),
      length: Number(header.readBigUInt64LE(32)),
    }));
  const base = Number(elf.readBigUInt64LE(24));
  const cleared = offsetOf(".bss", elf); // the kernel does that
  for (const segment of segments) segment.length = Math.min(segment.length, cleared - segment.offset);
  const end = Math.max(...segments.map(({ address, length }) => address + length));
  const image = Buffer.alloc(Math.ceil((end - base) / page) * page);
  for (const { offset, address, length } of segments) elf.copy(image, address - base, offset, offset + length);
  return image;
}

/** Where a section of an ELF file begins in the file. */
function offsetOf(name: string, elf: Buffer): number {
  const [headers, size, count, names] = [
    Number(elf.readBigUInt64LE(40)),
    ...[58, 60, 62].map((at) => elf.readUInt16LE(at)),
  ];
  const sections = Array.from({ length: count! }, (_, index) => elf.subarray(headers + index * size!));
  const offset = (section: Buffer): number => Number(section.readBigUInt64LE(24));
  const texts = elf.subarray(offset(sections[names!]!));
  const nameOf = (at: number): string => texts.toString("latin1", at, texts.indexOf(0, at));
  return offset(sections.find((section) => nameOf(section.readUInt32LE(0)) === name)!);
}

/**
 * The three pages behind the kernel: code that goes from 32-bit mode to 64-bit mode, with ESI left alone, and calls the kernel,
 * `size` bytes before; and its page tables, by which the lowest 4 GiB are where they are, in pages of 1 GiB.
 */
function entryTo(size: number): Buffer {
  const [root, table, gdt, gdtRegister] = [page, 2 * page, 0x100, 0x180];
  const pages = Buffer.alloc(3 * page);
  const code: (string | number)[] = [
    ...["8b9e", Setup.entry32], // mov ebx,[esi+entry32]: where this page lies
    ...["8da3", page], // lea esp,[ebx+page]
    ...["8d83", table | 3, "8983", root], // the root's first entry: present, writable
    ...["8d83", gdt, "8983", gdtRegister + 2, "0f0193", gdtRegister], // lgdt [ebx+gdtRegister]
    ...["8d83", root, "0f22d8"], // mov cr3,eax
    ...["0f20e0 0fbae805 0f22e0"], // CR4.PAE
    ...["b9800000c0 0f32 0fbae808 0f30"], // EFER.LME
    ...["0f20c0 0fbae81f 0f22c0"], // CR0.PG
    ...["8d83", -size, "6a10 50 cb"], // push 0x10; push eax; retf
  ];
  const bytes = code.map((part) =>
    typeof part === "string" ? Buffer.from(part.replaceAll(" ", ""), "hex") : word(part),
  );
  Buffer.concat(bytes).copy(pages);
  pages.writeBigUInt64LE(0x00af_9a00_0000_ffffn, gdt + 0x10); // code, 64 bits
  pages.writeBigUInt64LE(0x00cf_9200_0000_ffffn, gdt + 0x18); // data
  pages.writeUInt16LE(0x1f, gdtRegister);
  for (let gigabyte = 0n; gigabyte < 4n; gigabyte++)
    pages.writeBigUInt64LE((gigabyte << 30n) | 0x83n, table + Number(gigabyte) * 8); // present, writable, large
  return pages;
}

function word(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value | 0);
  return bytes;
}
