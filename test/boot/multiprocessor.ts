/** What guest/programs/multiprocessor.ts says if each kind of look at each of the other processors has the same verdict. */
export function verdictsOf(kinds: readonly string[], cpus: number, verdict: string): object {
  const names = kinds.flatMap((kind) => Array.from({ length: cpus - 1 }, (_, i) => `${kind} ${i + 1}`));
  return Object.fromEntries(names.map((name) => [name, verdict]));
}
