// Exits as only VT-x has them (Intel SDM 3, 28.2 and appendix C): bad input above all.
import { describe, expect, test } from "vitest";
import { EventType } from "../../../machine/guest/events.ts";
import { ExitReason } from "../../../machine/vmx/exit-reasons.ts";
import { boot } from "./setup.ts";

const INVALID_OPCODE = { type: EventType.Exception, vector: 6, error: undefined };

describe("an exit that nobody has heard of", () => {
  test("is logged with what the processor says of it, and is #UD", () => {
    const { machine, processor } = boot();
    processor.exit(77, { qualification: 0x1234n });
    expect(processor.injection).toEqual(INVALID_OPCODE);
    expect(machine.log()).toMatch(/unknown.*77.*1234/);
  });
});

test("an INIT signal that a device sends is dropped", () => {
  const { processor } = boot();
  const { rip } = processor;
  processor.exit(ExitReason.Init);
  expect(processor.injection).toBeUndefined();
  expect(processor.rip).toBe(rip);
});
