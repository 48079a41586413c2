import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { buildProgramOf } from "../../cli/build/build.ts";

test("two builds from the same sources give the same bytes", async () => {
  const first = await readFile(await buildProgramOf("test/cores/trapping.ts"));
  const second = await readFile(await buildProgramOf("test/cores/trapping.ts"));
  expect(second.equals(first)).toBe(true);
  // the DOS and PE signatures: bytes of nothing would be equal too
  expect(first.subarray(0, 2).toString("latin1")).toBe("MZ");
});
