import { expect, test } from "vitest";
import { runDemo } from "../../cli/demo/demo.ts";

test.each([
  ["with the card's option ROM used by the firmware before", true],
  ["without an option ROM", false],
])("the demonstration sees all that it should, %s", async (_, rom) => {
  const result = await runDemo({ rom, progress: (line) => console.log(line), signal: new AbortController().signal });
  expect(result.missing, result.serialEnds).toEqual([]);
});
