import { expect, test } from "vitest";
import { describeRows, makeRow, makeScalingRow } from "../../../cli/bench/row.ts";

test("a row keeps its limit at it and misses it beyond", () => {
  expect(makeRow("a", "instructions", 5, 150, { atMost: 150 }).met).toBe(true);
  expect(makeRow("a", "instructions", 5, 151, { atMost: 150 }).met).toBe(false);
  expect(makeRow("a", "MB/s", 10, 5, { ratioAtLeast: 0.5 }).met).toBe(true);
  expect(makeRow("a", "MB/s", undefined, 5, { ratioAtLeast: 0.5 }).met).toBe(false);
});

test("a row for several processors is measured by the same on one", () => {
  const rows = [makeScalingRow("kept", "exits", 100, 150, 1.5), makeScalingRow("missed", "exits", 100, 151, 1.5)];
  expect(rows.map(({ sheer, ratio, met }) => [sheer, ratio, met])).toEqual([
    [150, 1.5, true],
    [151, 1.51, false],
  ]);
  expect(describeRows(rows)).toMatch(/kept .* 150 .* 1\.50 .* ratio <= 1\.5 kept\n.*missed .* ratio <= 1\.5 MISSED/);
});
