import { PciIdentity } from "./identity";

/** Takes functions of one kind from the guest, and shows it something else in their place. */
export abstract class DeviceDriver {
  /** `name` is what rules call it. */
  constructor(readonly name: string) {}

  /** Whether a function is in the driver's own list. Rules may give it others. */
  abstract supports(identity: PciIdentity): bool;
  /** Takes a function, at boot; false, with the machine as it was, if it cannot. */
  abstract attach(identity: PciIdentity): bool;
}
