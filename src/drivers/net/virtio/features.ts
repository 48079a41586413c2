import { Offload } from "../card";
import { Feature, UpperFeature } from "./layout";

const UPPER: u64 = 32;
export const VERSION_1: u64 = (UpperFeature.VERSION_1 as u64) << UPPER;
const RING_RESET: u64 = (UpperFeature.RING_RESET as u64) << UPPER;

/** What the device offers on a card with these Offload bits; `merge`, if receive buffers may be merged. */
export function offeredFeatures(offloads: u32, merge: bool): u64 {
  const always =
    Feature.MAC |
    Feature.STATUS |
    Feature.MTU |
    Feature.GUEST_CSUM |
    Feature.CTRL_VQ |
    Feature.CTRL_RX |
    Feature.CTRL_MAC_ADDR |
    Feature.ANY_LAYOUT |
    Feature.INDIRECT_DESC |
    Feature.EVENT_IDX;
  const sending =
    (offloads & Offload.Checksum ? Feature.CSUM : 0) |
    (offloads & Offload.Tcp4 ? Feature.HOST_TSO4 : 0) |
    (offloads & Offload.Tcp6 ? Feature.HOST_TSO6 : 0);
  const receiving = merge ? Feature.MRG_RXBUF : 0;
  return ((always | sending | receiving) as u32 as u64) | VERSION_1 | RING_RESET;
}

/** Whether a driver of the newer interface may have these together (1.2: 5.1.3.1, 6.1). */
export function acceptable(features: u64): bool {
  if (!(features & VERSION_1)) return false;
  const cutting = (features & (Feature.HOST_TSO4 | Feature.HOST_TSO6)) != 0;
  if (cutting && !(features & Feature.CSUM)) return false;
  const controlled = (features & (Feature.CTRL_RX | Feature.CTRL_MAC_ADDR)) != 0;
  return !controlled || (features & Feature.CTRL_VQ) != 0;
}
