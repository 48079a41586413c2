import { lengthTo, same } from "./text";

/** What a rule can look at, in the order of `selectorNames`. */
export const enum Selector {
  Slot,
  Class,
  Id,
  Subsystem,
  Revision,
  Interface,
  Header,
  SupportedBy,
  Number,
}
const SELECTORS: u32 = 9;
const selectorNames: StaticArray<string> = [
  "slot",
  "class",
  "id",
  "subsystem",
  "revision",
  "interface",
  "header",
  "supportedBy",
  "number",
];

const MAXIMUM_RULES: u32 = 32;
const COMMA: u32 = 44;
const EQUALS: u32 = 61;

/** Says who gets a device: `DRIVER[,selector=pattern]...`, such as `conceal,class=0c03,slot=00:1d.*`. */
export class DeviceRule {
  driver: usize = 0;
  driverLength: u32 = 0;
  /** Devices that all other selectors have matched so far. */
  matched: u32 = 0;
  private readonly patterns: StaticArray<usize> = new StaticArray<usize>(SELECTORS);
  private readonly lengths: StaticArray<u32> = new StaticArray<u32>(SELECTORS);

  has(selector: Selector): bool {
    return this.lengthOf(selector) != 0;
  }
  pattern(selector: Selector): usize {
    return unchecked(this.patterns[selector as u32]);
  }
  lengthOf(selector: Selector): u32 {
    return unchecked(this.lengths[selector as u32]);
  }

  /** Whether the rule looks at devices at all; else it is meant for those in its driver's own list. */
  get selects(): bool {
    for (let i: u32 = 0; i < SELECTORS; i++) if (unchecked(this.lengths[i])) return true;
    return false;
  }

  /** Takes the rule from text that stays where it is; false if it is not one. */
  parse(text: usize, length: u32): bool {
    this.driver = text;
    this.driverLength = lengthTo(text, length, COMMA);
    for (let at = this.driverLength + 1; at <= length;) {
      const size = lengthTo(text + at, length - at, COMMA);
      if (!this.takeSelector(text + at, size)) return false;
      at += size + 1;
    }
    if (this.driverLength == 0) return false;
    // Numbers count what something else has chosen; and only a driver has a list of its own.
    return this.selects ? this.selectsBesides(Selector.Number) : !isBuiltIn(this.driver, this.driverLength);
  }

  private takeSelector(text: usize, length: u32): bool {
    const equals = lengthTo(text, length, EQUALS);
    if (equals + 1 >= length) return false;
    for (let i: u32 = 0; i < SELECTORS; i++) {
      if (!same(text, equals, unchecked(selectorNames[i]))) continue;
      if (unchecked(this.lengths[i])) return false;
      unchecked((this.patterns[i] = text + equals + 1));
      unchecked((this.lengths[i] = length - equals - 1));
      return true;
    }
    return false;
  }

  private selectsBesides(selector: Selector): bool {
    for (let i: u32 = 0; i < SELECTORS; i++) {
      if (i != (selector as u32) && unchecked(this.lengths[i])) return true;
    }
    return false;
  }
}

/** What a rule can say in place of a driver. */
export const PASS = "pass";
export const CONCEAL = "conceal";

function isBuiltIn(name: usize, length: u32): bool {
  return same(name, length, PASS) || same(name, length, CONCEAL);
}

/** The rules in the order in which they are tried. Made at boot. */
export class DeviceRules {
  count: u32 = 0;
  /** Where the next rule of the text that is being read goes: before those of texts read earlier. */
  private place: u32 = 0;
  private readonly rules: StaticArray<DeviceRule> = new StaticArray<DeviceRule>(MAXIMUM_RULES);

  at(index: u32): DeviceRule {
    return unchecked(this.rules[index]);
  }

  /** The rules that follow come from another text, and go before those there are. */
  beginText(): void {
    this.place = 0;
  }

  /** Takes a copy of a rule; false if it is none or there is no room. */
  add(text: usize, length: u32): bool {
    if (this.count == MAXIMUM_RULES) return false;
    const copy = heap.alloc(length);
    memory.copy(copy, text, length);
    const rule = new DeviceRule();
    if (!rule.parse(copy, length)) return false;
    for (let i = this.count; i > this.place; i--) unchecked((this.rules[i] = this.rules[i - 1]));
    unchecked((this.rules[this.place++] = rule));
    this.count++;
    return true;
  }
}
