// A million random encodings, and all systematic ones, decoded beside Capstone in 16-, 32- and 64-bit mode: what the unit
// tests do with a tenth as many. Not part of `npm test`. Prints each difference, and how many encodings were compared.
//
//     npx tsx test/million-instructions.ts [ENCODINGS [SEED]]
import { type Bits, Comparison } from "./unit/decode/capstone.ts";
import { everyAddress, everyOpcode, everyVexOpcode, randomBytes } from "./unit/decode/encodings.ts";

const [encodings = 1_000_000, seed = 1] = process.argv.slice(2).map(Number);

function* chain(sources: Iterable<number[]>[]): Generator<number[]> {
  for (const source of sources) yield* source;
}

let differences = 0;
for (const bits of [16, 32, 64] as Bits[]) {
  const comparison = await Comparison.in(bits);
  const sources = {
    systematic: [everyOpcode(bits), everyVexOpcode(), everyAddress(bits)],
    random: [randomBytes(encodings / 3, seed)],
  };
  for (const [name, source] of Object.entries(sources)) {
    let [total, compared] = [0, 0];
    for (const bytes of chain(source)) {
      const difference = comparison.difference(bytes);
      total++;
      if (difference !== null) compared++;
      if (typeof difference === "string") {
        console.log(difference);
        differences++;
      }
    }
    console.log(`${bits}-bit, ${name}: ${total} encodings, of which ${compared} are instructions that are compared`);
  }
}
console.log(`${differences} differences`);
process.exitCode = differences === 0 ? 0 : 1;
