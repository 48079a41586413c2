/** One thing that was looked at. */
export interface Finding {
  what: string;
  good: boolean;
  /** When it is not good: what to do. */
  advice?: string;
}

export function describeFindings(findings: Finding[]): string {
  return findings
    .map(
      ({ what, good, advice }) =>
        `${good ? "yes" : "NO "}  ${what}${good || advice === undefined ? "" : `: ${advice}`}`,
    )
    .join("\n");
}
