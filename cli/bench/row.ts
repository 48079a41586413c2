/** One line of the table: something measured bare, with Sheer, or both. */
export interface Row {
  what: string;
  unit: string;
  bare?: number;
  sheer?: number;
  /** Sheer's figure in parts of the bare one, or of another of Sheer's own. */
  ratio?: number;
  limit?: Limit;
  /** Is the limit kept? Left out without a limit, or when Sheer was not measured. */
  met?: boolean;
}

/** What Sheer's figure, or its ratio, must not go beyond. */
export type Limit = { atMost: number } | { ratioAtLeast: number } | { ratioAtMost: number };

export function makeRow(what: string, unit: string, bare?: number, sheer?: number, limit?: Limit): Row {
  const ratio = bare === undefined || sheer === undefined ? undefined : sheer / bare;
  return {
    what,
    unit,
    ...(bare === undefined ? {} : { bare }),
    ...(sheer === undefined ? {} : { sheer }),
    ...(ratio === undefined ? {} : { ratio }),
    ...(limit === undefined ? {} : { limit, met: keeps(limit, sheer, ratio) }),
  };
}

/** A figure of Sheer's beside another of its own, such as that of several processors beside one's. */
export function makeScalingRow(what: string, unit: string, before: number, sheer: number, ratioAtMost: number): Row {
  const ratio = sheer / before;
  const limit = { ratioAtMost };
  return { what, unit, sheer, ratio, limit, met: keeps(limit, sheer, ratio) };
}

/** A figure that could not be had keeps no limit. */
function keeps(limit: Limit, sheer: number | undefined, ratio: number | undefined): boolean {
  if ("atMost" in limit) return sheer !== undefined && sheer <= limit.atMost;
  if (ratio === undefined) return false;
  return "ratioAtMost" in limit ? ratio <= limit.ratioAtMost : ratio >= limit.ratioAtLeast;
}

function describeLimit(limit: Limit): string {
  if ("atMost" in limit) return `<= ${limit.atMost}`;
  return "ratioAtMost" in limit ? `ratio <= ${limit.ratioAtMost}` : `ratio >= ${limit.ratioAtLeast}`;
}

export function describeRows(rows: Row[]): string {
  const number = (value: number | undefined): string =>
    value === undefined ? "-" : Number.isInteger(value) ? String(value) : value.toFixed(2);
  const limit = (row: Row): string => {
    if (row.limit === undefined) return "";
    return `${describeLimit(row.limit)} ${row.met === true ? "kept" : "MISSED"}`;
  };
  const cells = [
    ["", "unit", "bare", "Sheer", "ratio", "limit"],
    ...rows.map((row) => [row.what, row.unit, number(row.bare), number(row.sheer), number(row.ratio), limit(row)]),
  ];
  const widths = cells[0]!.map((_, column) => Math.max(...cells.map((line) => line[column]!.length)));
  return cells
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
