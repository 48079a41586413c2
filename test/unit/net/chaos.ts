// Random sequences of what no driver and no card may do, and whether the device is sound after them.
import { Chaos } from "../../../machine/driver/chaos.ts";
import type { VirtioNetDriver } from "../../../machine/driver/virtio-net.ts";
import { noFaults } from "../../../machine/e1000/faults.ts";
import type { Machine } from "../../../machine/machine.ts";
import { ALL_FEATURES, drive, frame, random, settle, start } from "./setup.ts";

const MODEL = "82574L";
/** Sheer's static data and objects begin with the block; nothing of it changes that is not Sheer's doing. */
const CODE = 0x20_0000;
const ROUND = 100;

export interface ChaosOptions {
  readonly seed: number;
  readonly actions: number;
  /** Does the card misbehave as well? */
  readonly card?: boolean;
  /** The interface that orderly work between the actions uses. */
  readonly interface?: "legacy" | "modern";
}

/** Throws at a trap of the core, and at whatever shows that the device is not sound any more. */
export function runChaos({ seed, actions, card = false, interface: kind = "modern" }: ChaosOptions): void {
  const machine = start(MODEL);
  const driver = drive(machine, MODEL, { features: ALL_FEATURES, interface: kind });
  const next = random(seed);
  const chaos = new Chaos(machine, driver, next);
  chaos.restore();
  const secret = machine.memory.readBytes(machine.block.base + CODE, 4096);
  for (let i = 1; i <= actions; i++) {
    if (next(card ? 2 : 5)) chaos.drive();
    else if (card) chaos.disturb();
    else machine.nic.wire.inject(frame(60 + next(1400), next(100)));
    if (i % ROUND) continue;
    if (machine.nic.wire.take().some(({ length }) => length > 1518))
      throw new Error("a frame that is too long was sent");
    Object.assign(machine.card.faults, noFaults());
    machine.card.setCable(true);
    chaos.restore();
    settle(machine, 1);
  }
  if (!Buffer.from(secret).equals(machine.memory.readBytes(machine.block.base + CODE, 4096)))
    throw new Error("Sheer's own memory was changed");
  exchange(machine, driver, chaos);
}

/** A frame each way, by a driver that keeps the rules. */
function exchange(machine: Machine, driver: VirtioNetDriver, chaos: Chaos): void {
  chaos.restore();
  settle(machine);
  machine.nic.wire.take();
  driver.offerBuffers(8);
  machine.nic.wire.inject(frame(200, 5));
  driver.send(frame(300, 6));
  settle(machine);
  const [received] = driver.takeFrames();
  const [sent] = machine.nic.wire.take();
  if (!received || !Buffer.from(received).equals(frame(200, 5))) throw new Error("no frame comes in any more");
  if (!sent || !Buffer.from(sent).equals(frame(300, 6))) throw new Error("no frame goes out any more");
}
