// A million random actions of a hostile driver, and as many of one on a hostile card: what the unit tests do with a few
// thousand. Not part of `npm test`. Prints the seed of each sequence that ends in a trap or leaves the device unsound.
//
//     npx tsx test/million-actions.ts [ACTIONS [SEED]]
import { runChaos } from "./unit/net/chaos.ts";

const [actions = 1_000_000, first = 1] = process.argv.slice(2).map(Number);
const EACH = 10_000;

let failures = 0;
for (const card of [false, true]) {
  for (let seed = first; seed < first + actions / EACH; seed++) {
    try {
      runChaos({ seed, actions: EACH, card, interface: seed % 2 ? "modern" : "legacy" });
    } catch (error) {
      failures++;
      console.log(`${card ? "driver and card" : "driver"}, seed ${seed}: ${String(error)}`);
    }
  }
  console.log(`${card ? "driver and card" : "driver"}: ${actions} actions`);
}
console.log(`${failures} failures`);
process.exitCode = failures === 0 ? 0 : 1;
