// Does what firmware does that allows no VMX operation: it locks IA32_FEATURE_CONTROL without it (Intel SDM 3, 24.7).
import { wrmsr } from "../../src/metal";
export * from "./no-guest";

const FEATURE_CONTROL: u32 = 0x3a;
const LOCKED: u64 = 1;

export function boot(_info: usize): u64 {
  wrmsr(FEATURE_CONTROL, LOCKED);
  return 0;
}
