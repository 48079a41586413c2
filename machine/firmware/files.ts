// The file system of the boot volume, read only: UEFI Specification 2.10, 13.4 and 13.5.
import type { PhysicalMemory } from "../memory.ts";
import { readUcs2, type TableBuilder, ucs2 } from "./tables.ts";
import { EfiStatus, FILE, Guid, guidText } from "./uefi.ts";

const REVISION = 0x0001_0000;
const DIRECTORY = 0x10n;
const INFO_SIZE = 80;

interface OpenFile {
  readonly path: string;
  /** Undefined for a directory. */
  readonly content: Uint8Array | undefined;
  position: number;
}

/** Files by their path from the root with backslashes; case does not matter. */
export type Files = Readonly<Record<string, Uint8Array | string>>;

export class FileSystem {
  /** Address of the EFI_SIMPLE_FILE_SYSTEM_PROTOCOL. */
  readonly protocol: number;
  /** Files that were opened and not closed. */
  get open(): number {
    return this.#open.size;
  }
  readonly #builder: TableBuilder;
  readonly #memory: PhysicalMemory;
  readonly #files = new Map<string, Uint8Array>();
  readonly #open = new Map<number, OpenFile>();
  readonly #functions: number[];

  constructor(builder: TableBuilder, files: Files) {
    this.#builder = builder;
    this.#memory = builder.memory;
    for (const [path, content] of Object.entries(files)) {
      this.#files.set(normal(path), typeof content === "string" ? new TextEncoder().encode(content) : content);
    }
    this.#functions = FILE.map((name) => this.#define(name));
    const openVolume = builder.define({
      name: "OpenVolume",
      arity: 2,
      body: ([, root]) => this.#give(Number(root), { path: "\\", content: undefined, position: 0 }),
    });
    this.protocol = builder.words([REVISION, openVolume]);
  }

  #define(name: (typeof FILE)[number]): number {
    const bodies: Partial<Record<typeof name, [number, (file: OpenFile, args: readonly bigint[]) => bigint]>> = {
      Open: [5, (file, args) => this.#openFile(file, args)],
      Close: [1, (_file, [self]) => this.#close(Number(self))],
      Read: [3, (file, args) => this.#read(file, Number(args[1]), Number(args[2]))],
      GetPosition: [2, (file, args) => this.#out(Number(args[1]), BigInt(file.position))],
      SetPosition: [2, (file, args) => this.#seek(file, args[1]!)],
      GetInfo: [4, (file, args) => this.#getInfo(file, args)],
      Delete: [1, () => EfiStatus.WriteProtected],
      Write: [3, () => EfiStatus.WriteProtected],
      SetInfo: [4, () => EfiStatus.WriteProtected],
    };
    const [arity, body] = bodies[name] ?? [0, () => EfiStatus.Unsupported];
    return this.#builder.define({
      name: `File.${name}`,
      arity,
      body: (args) => {
        const file = this.#open.get(Number(args[0]));
        return file ? body(file, args) : EfiStatus.InvalidParameter;
      },
    });
  }

  #give(result: number, file: OpenFile): bigint {
    const handle = this.#builder.words([REVISION, ...this.#functions]);
    this.#open.set(handle, file);
    return this.#out(result, BigInt(handle));
  }

  #out(address: number, value: bigint): bigint {
    this.#memory.write64(address, value);
    return EfiStatus.Success;
  }

  #openFile(from: OpenFile, args: readonly bigint[]): bigint {
    const name = readUcs2(this.#memory, Number(args[2]));
    if (args[3] !== 1n) return EfiStatus.WriteProtected;
    const path = normal(name.startsWith("\\") ? name : `${from.path}\\${name}`);
    const content = this.#files.get(path);
    const isDirectory = path === "\\" || [...this.#files.keys()].some((key) => key.startsWith(`${path}\\`));
    if (!content && !isDirectory) return EfiStatus.NotFound;
    return this.#give(Number(args[1]), { path, content, position: 0 });
  }

  #close(handle: number): bigint {
    this.#open.delete(handle);
    return EfiStatus.Success;
  }

  #read(file: OpenFile, sizeAt: number, buffer: number): bigint {
    if (!file.content) return EfiStatus.Unsupported;
    if (file.position > file.content.length) return EfiStatus.DeviceError;
    const wanted = Number(this.#memory.read64(sizeAt));
    const bytes = file.content.subarray(file.position, file.position + wanted);
    this.#memory.writeBytes(buffer, bytes);
    file.position += bytes.length;
    return this.#out(sizeAt, BigInt(bytes.length));
  }

  #seek(file: OpenFile, position: bigint): bigint {
    const toEnd = position === (1n << 64n) - 1n;
    file.position = toEnd ? (file.content?.length ?? 0) : Number(position);
    return EfiStatus.Success;
  }

  #getInfo(file: OpenFile, args: readonly bigint[]): bigint {
    if (guidText(this.#memory.readBytes(Number(args[1]), 16)) !== Guid.FileInfo) return EfiStatus.Unsupported;
    const sizeAt = Number(args[2]);
    const name = ucs2(file.path.slice(file.path.lastIndexOf("\\") + 1));
    const size = INFO_SIZE + name.length;
    const room = Number(this.#memory.read64(sizeAt));
    this.#memory.write64(sizeAt, BigInt(size));
    if (room < size) return EfiStatus.BufferTooSmall;
    const buffer = Number(args[3]);
    const length = BigInt(file.content?.length ?? 0);
    this.#memory.fill(buffer, INFO_SIZE, 0);
    this.#memory.write64(buffer, BigInt(size));
    this.#memory.write64(buffer + 8, length);
    this.#memory.write64(buffer + 16, length);
    this.#memory.write64(buffer + 72, file.content ? 1n : DIRECTORY);
    this.#memory.writeBytes(buffer + INFO_SIZE, name);
    return EfiStatus.Success;
  }
}

/** One leading backslash, none doubled or trailing, lower case. */
function normal(path: string): string {
  const parts = path.toLowerCase().split(/[\\/]+/);
  return "\\" + parts.filter((part) => part !== "" && part !== ".").join("\\");
}
