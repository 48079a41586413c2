import { DeviceRule, DeviceRules, PASS, Selector } from "../config/device-rules";
import { same } from "../config/text";
import { log } from "../log/log";
import { DeviceDriver } from "./driver";
import { IdentityText, PciIdentity } from "./identity";
import { matches } from "./pattern";

const MAXIMUM_DRIVERS: u32 = 8;

/** Drivers and rules: who gets which function. The first rule that matches says; without one, the drivers' own lists. */
export class DeviceMatching {
  private count: u32 = 0;
  private readonly drivers: StaticArray<DeviceDriver> = new StaticArray<DeviceDriver>(MAXIMUM_DRIVERS);
  private readonly text: IdentityText = new IdentityText();

  constructor(private readonly rules: DeviceRules) {}

  add(driver: DeviceDriver): void {
    unchecked((this.drivers[this.count++] = driver));
  }

  /** Names the rules whose driver does not exist; they choose nothing. */
  check(): void {
    for (let i: u32 = 0; i < this.rules.count; i++) {
      const rule = this.rules.at(i);
      if (names(rule, PASS) || this.named(rule.driver, rule.driverLength) !== null) continue;
      log.warn("there is no driver ").ascii(rule.driver, rule.driverLength).text(": its rule is ignored").end();
    }
  }

  /**
   * The driver for a function, or null if the guest is to have it as it is. To be asked once for each: rules count what
   * they match, whatever an earlier rule has said.
   */
  choose(identity: PciIdentity): DeviceDriver | null {
    let chosen: DeviceRule | null = null;
    for (let i: u32 = 0; i < this.rules.count; i++) {
      const rule = this.rules.at(i);
      if (this.matchesRule(rule, identity) && chosen === null) chosen = rule;
    }
    if (chosen !== null) return this.named(chosen.driver, chosen.driverLength);
    for (let i: u32 = 0; i < this.count; i++) {
      const driver = unchecked(this.drivers[i]);
      if (driver.supports(identity)) return driver;
    }
    return null;
  }

  private matchesRule(rule: DeviceRule, identity: PciIdentity): bool {
    const driver = this.named(rule.driver, rule.driverLength);
    if (driver === null && !names(rule, PASS)) return false;
    if (!rule.selects) return driver !== null && driver.supports(identity);
    for (let selector: u32 = 0; selector < (Selector.SupportedBy as u32); selector++) {
      if (!rule.has(selector)) continue;
      this.text.write(identity, selector);
      if (!this.matchesText(rule, selector)) return false;
    }
    if (rule.has(Selector.SupportedBy) && !this.isSupported(rule, identity)) return false;
    this.text.decimal(rule.matched++);
    return !rule.has(Selector.Number) || this.matchesText(rule, Selector.Number);
  }

  private matchesText(rule: DeviceRule, selector: Selector): bool {
    return matches(rule.pattern(selector), rule.lengthOf(selector), this.text.start, this.text.length);
  }

  private isSupported(rule: DeviceRule, identity: PciIdentity): bool {
    const driver = this.named(rule.pattern(Selector.SupportedBy), rule.lengthOf(Selector.SupportedBy));
    return driver !== null && driver.supports(identity);
  }

  private named(name: usize, length: u32): DeviceDriver | null {
    for (let i: u32 = 0; i < this.count; i++) {
      const driver = unchecked(this.drivers[i]);
      if (same(name, length, driver.name)) return driver;
    }
    return null;
  }
}

function names(rule: DeviceRule, name: string): bool {
  return same(rule.driver, rule.driverLength, name);
}
