import { log } from "./log/log";
import { BootInfo } from "./boot/info";
export function boot(info: usize): u64 {
  log.useUart(0x3f8);
  log.info("hello ").hex(changetype<BootInfo>(info).blockBase).end();
  return 0;
}
export function exit(run: usize): void {}
export function trap(kind: u32, address: u64): bool {
  log.error("trap ").hex(kind).text(" at ").hex(address).end();
  return false;
}
