import { log } from "../../../log/log";
import { netCounters } from "../counters";

/** Counts a breach of the rules by the guest, and logs the 1st, 2nd, 4th, 8th … so that it cannot fill the log. */
export function complain(what: string): void {
  const times = ++netCounters.badChains;
  if (!(times & (times - 1))) log.warn("virtio-net: the guest ").text(what).text(", times: ").dec(times).end();
}
