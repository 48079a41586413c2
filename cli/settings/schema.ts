import { z } from "zod";
import { deviceRules } from "./devices.ts";

/** The UART's I/O port has to leave room for its eight registers. */
const lastPort = 0xfff8;
const portRule = 'write an I/O port from 1 to 0xfff8, such as 0x3e8, or "off"';

function isPort(value: number | "off"): boolean {
  return value === "off" || (Number.isInteger(value) && value >= 1 && value <= lastPort);
}

/** What sheer.toml may say. Everything may be left out: Sheer's own default holds then. */
const tables = z.strictObject({
  log: z
    .strictObject({
      /** I/O port of the UART that Sheer logs to. */
      port: z
        .union([z.literal("off"), z.number()], portRule)
        .refine(isPort, portRule)
        .optional(),
      level: z.enum(["error", "warn", "info", "debug"]).optional(),
    })
    .optional(),
  net: z
    .strictObject({
      /** Show a supported network card as virtio-net, or leave it to the guest. */
      mode: z.enum(["virtio", "pass"]).optional(),
      /** What the card's MSI carries: a vector of Sheer's own, or the message that the guest wrote. */
      interrupts: z.enum(["private", "guest"]).optional(),
      /** Let the guest have a frame spread over several receive buffers (VIRTIO_NET_F_MRG_RXBUF). */
      mergeBuffers: z.boolean().optional(),
    })
    .optional(),
  interrupts: z
    .strictObject({
      /** Have external interrupts end the guest's run where Sheer has a use for that; else the guest has them directly. */
      intercept: z.boolean().optional(),
    })
    .optional(),
  memory: z
    .strictObject({
      /** Keep devices from Sheer's memory by the machine's IOMMU, or leave that to the guest. */
      dma: z.enum(["fence", "off"]).optional(),
    })
    .optional(),
  announce: z
    .strictObject({
      /** Do not tell the guest by CPUID that Sheer is there. */
      stealth: z.boolean().optional(),
    })
    .optional(),
  threads: z
    .strictObject({
      /** Run Sheer's own threads on one processor at a time, rather than on any. */
      oneProcessor: z.boolean().optional(),
    })
    .optional(),
  boot: z
    .strictObject({
      /** After Sheer has started: return to who started it, or have the firmware try its next boot entry. */
      then: z.enum(["return", "next"]).optional(),
    })
    .optional(),
  /** Who gets which PCI device; the first rule that matches says. */
  device: deviceRules.optional(),
});

/** The same, without what does not go together. */
export const settingsSchema = tables.superRefine(({ net, interrupts }, context) => {
  if (net?.interrupts !== "guest" || interrupts?.intercept !== false) return;
  const message =
    "the guest's own message needs MSI-X, which goes with interrupts.intercept: leave one of the two as it is by default";
  context.addIssue({ code: "custom", path: ["net", "interrupts"], message });
});

export type Settings = z.infer<typeof settingsSchema>;

/** What would be right where the schema found something wrong. */
export function expectation(issue: z.core.$ZodIssue): string {
  if (issue.code === "invalid_value")
    return `write one of ${issue.values.map((value) => JSON.stringify(value)).join(", ")}`;
  return issue.message;
}
