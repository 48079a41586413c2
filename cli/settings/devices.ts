import { z } from "zod";

/** Who may get a device by a rule: a driver of Sheer's, the guest, or nobody. */
export const drivers = ["intel", "broadcom"] as const;
const receivers = [...drivers, "pass", "conceal"] as const;
const mostRules = 32;

/** A pattern, or several of which one has to match. Letters in either case. */
function pattern(characters: RegExp, example: string): z.ZodType<string | string[]> {
  const rule = `write a pattern such as ${example}, or a list of patterns; * is any text, ? any character`;
  const one = z.string(rule).regex(characters, rule);
  return z.union([one, z.array(one).min(1, rule)], rule);
}

const hexadecimal = /^[0-9a-f*?]+$/i;
const pair = /^[0-9a-f*?:]+$/i;

/** What a rule may look at. */
const selectors = {
  /** Bus, device and function as the firmware has numbered them; with a segment other than 0 before. */
  slot: pattern(/^[0-9a-f*?:.]+$/i, '"00:1f.*"').optional(),
  /** Base class and subclass. */
  class: pattern(hexadecimal, '"0200"').optional(),
  /** Vendor and device. */
  id: pattern(pair, '"8086:10d3"').optional(),
  /** Subsystem's vendor and device. */
  subsystem: pattern(pair, '"1028:*"').optional(),
  revision: pattern(hexadecimal, '"0?"').optional(),
  /** Programming interface. */
  interface: pattern(hexadecimal, '"30"').optional(),
  /** Header type without the multifunction bit: 00 is a device, 01 a bridge. */
  header: pattern(hexadecimal, '"01"').optional(),
  /** Is in this driver's own list. */
  supportedBy: z.enum(drivers).optional(),
  /** How many devices all other selectors have matched before. */
  number: pattern(/^[0-9*?]+$/, '"0"').optional(),
};
export const selectorNames = Object.keys(selectors) as (keyof typeof selectors)[];

const rule = z.strictObject({ driver: z.enum(receivers), ...selectors }).superRefine((rule, context) => {
  const chosen = selectorNames.filter((name) => rule[name] !== undefined);
  const complain = (message: string): void => context.addIssue({ code: "custom", message });
  if (chosen.length === 1 && chosen[0] === "number") complain("number counts what other selectors match: add one");
  if (chosen.length === 0 && (rule.driver === "pass" || rule.driver === "conceal"))
    complain(`say which devices; write one of ${selectorNames.join(", ")}`);
});

export const deviceRules = z.array(rule).max(mostRules, `write ${mostRules} rules at most`);
export const ruleKeys = Object.keys(rule.shape);
export type DeviceRule = z.infer<typeof rule>;

/** A rule as Sheer reads it: `conceal,class=0c03,slot=00:1d.*|00:1e.*`. */
export function toConfRule(rule: DeviceRule): string {
  const parts = selectorNames.flatMap((name) => {
    const value = rule[name];
    return value === undefined ? [] : [`${name}=${[value].flat().join("|")}`];
  });
  return [rule.driver, ...parts].join(",");
}
