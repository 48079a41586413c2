import type { Machine } from "../../cli/qemu/machine.ts";

/** Steps for the guest: reads Sheer's signature by the kernel's hand, which has each processor read its own CPUID. */
export const askTheKernel = `
for cpu in /dev/cpu/[0-9]*; do
  answer=$(dd if=$cpu/cpuid bs=16 skip=$((0x40000000 / 16)) count=1 2>/dev/null | dd bs=1 skip=4 2>/dev/null)
  say "signature \${cpu##*/} $answer"
done`;

/** The numbers of the processors that showed the signature when `askTheKernel` ran, and of those that did not. */
export function signatures({ console }: Machine): { sheer: number[]; others: number[] } {
  const answers = [...console.text.matchAll(/^@@ signature (\d+) ?(.*)$/gm)];
  const numbers = (wanted: boolean): number[] =>
    answers.filter(([, , answer]) => (answer === "SheerSheerSh") === wanted).map(([, number]) => Number(number));
  return { sheer: numbers(true), others: numbers(false) };
}
