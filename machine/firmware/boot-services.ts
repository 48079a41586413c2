// EFI_BOOT_SERVICES, as far as a program that never leaves the firmware needs them: UEFI Specification 2.10, chapter 7.
import type { Clock } from "../clock.ts";
import { crc32 } from "../net/frames.ts";
import { type MemoryMap, PAGE } from "./memory-map.ts";
import type { Handles } from "./protocols.ts";
import type { TableBuilder } from "./tables.ts";
import { BOOT_SERVICES, EfiStatus, guidText, MemoryType } from "./uefi.ts";

type Body = (args: readonly bigint[]) => bigint;
type Service = (typeof BOOT_SERVICES)[number];

const DESCRIPTOR_SIZE = 48;
const DESCRIPTOR_VERSION = 1n;
const WRITE_BACK = 8n;
const LOCATE = { AllHandles: 0n, ByProtocol: 2n } as const;
const SIGNATURE = 0x5652_4553_544f_4f42n;

export class BootServices {
  /** Address of the table. */
  readonly table: number;
  /** Pool allocations that were not freed. */
  readonly pool = new Map<number, number>();
  /** Controllers that drivers were told to leave, in order. */
  readonly disconnected: number[] = [];
  onDisconnect: (controller: number) => void = () => undefined;
  readonly #builder: TableBuilder;
  readonly #map: MemoryMap;
  readonly #handles: Handles;
  readonly #clock: Clock;

  constructor(builder: TableBuilder, map: MemoryMap, handles: Handles, clock: Clock) {
    this.#builder = builder;
    this.#map = map;
    this.#handles = handles;
    this.#clock = clock;
    const bodies: Partial<Record<Service, [number, Body]>> = {
      ...this.#memoryServices(),
      ...this.#protocolServices(),
      ...this.#otherServices(),
    };
    const functions = BOOT_SERVICES.map((name) => {
      const [arity, body] = bodies[name] ?? [0, () => EfiStatus.Unsupported];
      return builder.define({ name, arity, body });
    });
    this.table = builder.words([0, 0, 0, ...functions]);
    builder.header(this.table, SIGNATURE, 24 + 8 * functions.length);
  }

  #memoryServices(): Partial<Record<Service, [number, Body]>> {
    return {
      AllocatePages: [4, ([way, type, pages, result]) => this.#allocatePages(way!, type!, pages!, Number(result))],
      FreePages: [2, ([base, pages]) => this.#map.free(Number(base), Number(pages))],
      GetMemoryMap: [5, (args) => this.#getMemoryMap(args.map(Number))],
      AllocatePool: [3, ([type, size, result]) => this.#allocatePool(Number(type), Number(size), Number(result))],
      FreePool: [1, ([address]) => this.#freePool(Number(address))],
    };
  }

  #protocolServices(): Partial<Record<Service, [number, Body]>> {
    return {
      HandleProtocol: [3, ([handle, guid, result]) => this.#openProtocol(handle!, guid!, Number(result))],
      OpenProtocol: [6, ([handle, guid, result]) => this.#openProtocol(handle!, guid!, Number(result))],
      CloseProtocol: [4, () => EfiStatus.Success],
      LocateProtocol: [3, ([guid, , result]) => this.#locateProtocol(guid!, Number(result))],
      LocateHandle: [5, (args) => this.#locateHandle(args)],
      LocateHandleBuffer: [5, (args) => this.#locateHandleBuffer(args)],
      ConnectController: [4, () => EfiStatus.Success],
      DisconnectController: [3, ([controller]) => this.#disconnect(Number(controller))],
    };
  }

  #otherServices(): Partial<Record<Service, [number, Body]>> {
    const { memory } = this.#builder;
    return {
      RaiseTPL: [1, () => 4n],
      RestoreTPL: [1, () => EfiStatus.Success],
      SetWatchdogTimer: [4, () => EfiStatus.Success],
      Stall: [
        1,
        ([microseconds]) => {
          this.#clock.advance(Number(microseconds) * 1000);
          return EfiStatus.Success;
        },
      ],
      CalculateCrc32: [3, ([data, size, result]) => this.#crc(Number(data), Number(size), Number(result))],
      CopyMem: [
        3,
        ([to, from, length]) => {
          memory.writeBytes(Number(to), memory.readBytes(Number(from), Number(length)));
          return EfiStatus.Success;
        },
      ],
      SetMem: [
        3,
        ([buffer, size, value]) => {
          memory.fill(Number(buffer), Number(size), Number(value) & 0xff);
          return EfiStatus.Success;
        },
      ],
    };
  }

  #out(address: number, value: number): bigint {
    this.#builder.memory.write64(address, BigInt(value));
    return EfiStatus.Success;
  }

  #allocatePages(way: bigint, type: bigint, pages: bigint, result: number): bigint {
    if (way > 2n) return EfiStatus.InvalidParameter;
    const address = Number(this.#builder.memory.read64(result));
    const base = this.#map.allocate(Number(way), Number(type), Number(pages), address);
    if (base !== undefined) return this.#out(result, base);
    return way === 2n ? EfiStatus.NotFound : EfiStatus.OutOfResources;
  }

  #getMemoryMap([sizeAt, buffer, keyAt, descriptorSizeAt, versionAt]: readonly number[]): bigint {
    const { memory } = this.#builder;
    const regions = this.#map.regions;
    const room = Number(memory.read64(sizeAt!));
    this.#out(sizeAt!, regions.length * DESCRIPTOR_SIZE);
    this.#out(descriptorSizeAt!, DESCRIPTOR_SIZE);
    memory.write32(versionAt!, Number(DESCRIPTOR_VERSION));
    if (room < regions.length * DESCRIPTOR_SIZE) return EfiStatus.BufferTooSmall;
    regions.forEach(({ type, base, end }, i) => {
      const words = [BigInt(type), BigInt(base), 0n, BigInt((end - base) / PAGE), WRITE_BACK, 0n];
      words.forEach((word, j) => memory.write64(buffer! + i * DESCRIPTOR_SIZE + 8 * j, word));
    });
    return this.#out(keyAt!, this.#map.key);
  }

  /** Every allocation of the pool gets pages of its own. */
  #allocatePool(type: number, size: number, result: number): bigint {
    const pages = Math.max(Math.ceil(size / PAGE), 1);
    const base = this.#map.allocate(0, type, pages, 0);
    if (base === undefined) return EfiStatus.OutOfResources;
    this.pool.set(base, pages);
    return this.#out(result, base);
  }

  #freePool(address: number): bigint {
    const pages = this.pool.get(address);
    if (pages === undefined) return EfiStatus.InvalidParameter;
    this.pool.delete(address);
    return this.#map.free(address, pages);
  }

  #guid(address: bigint): string {
    return guidText(this.#builder.memory.readBytes(Number(address), 16));
  }

  #openProtocol(handle: bigint, guid: bigint, result: number): bigint {
    if (!this.#handles.has(Number(handle))) return EfiStatus.InvalidParameter;
    const protocol = this.#handles.protocol(Number(handle), this.#guid(guid));
    return protocol === undefined ? EfiStatus.Unsupported : this.#out(result, protocol);
  }

  #locateProtocol(guid: bigint, result: number): bigint {
    const text = this.#guid(guid);
    const [handle] = this.#handles.with(text);
    return handle === undefined ? EfiStatus.NotFound : this.#out(result, this.#handles.protocol(handle, text)!);
  }

  #matching(search: bigint, guid: bigint): number[] {
    if (search === LOCATE.AllHandles) return this.#handles.with(undefined);
    return search === LOCATE.ByProtocol ? this.#handles.with(this.#guid(guid)) : [];
  }

  #locateHandle([search, guid, , sizeAt, buffer]: readonly bigint[]): bigint {
    const found = this.#matching(search!, guid!);
    if (!found.length) return EfiStatus.NotFound;
    const room = this.#builder.memory.read64(Number(sizeAt));
    this.#out(Number(sizeAt), 8 * found.length);
    if (room < 8 * found.length) return EfiStatus.BufferTooSmall;
    found.forEach((handle, i) => this.#out(Number(buffer) + 8 * i, handle));
    return EfiStatus.Success;
  }

  #locateHandleBuffer([search, guid, , countAt, bufferAt]: readonly bigint[]): bigint {
    const found = this.#matching(search!, guid!);
    if (!found.length) return EfiStatus.NotFound;
    const status = this.#allocatePool(MemoryType.BootServicesData, 8 * found.length, Number(bufferAt));
    if (status !== EfiStatus.Success) return status;
    const buffer = Number(this.#builder.memory.read64(Number(bufferAt)));
    found.forEach((handle, i) => this.#out(buffer + 8 * i, handle));
    return this.#out(Number(countAt), found.length);
  }

  #disconnect(controller: number): bigint {
    if (!this.#handles.has(controller)) return EfiStatus.InvalidParameter;
    this.disconnected.push(controller);
    this.onDisconnect(controller);
    return EfiStatus.Success;
  }

  #crc(data: number, size: number, result: number): bigint {
    this.#builder.memory.write32(result, crc32(this.#builder.memory.readBytes(data, size)));
    return EfiStatus.Success;
  }
}
