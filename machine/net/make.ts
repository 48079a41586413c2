import { Broadcom, type BroadcomOptions } from "../bcm57766/card.ts";
import { type BroadcomModel, MODELS } from "../bcm57766/models.ts";
import type { Clock } from "../clock.ts";
import { type CardOptions as IntelOptions, E1000, type Model as IntelModel } from "../e1000/card.ts";
import type { NetworkCard } from "./card.ts";

export type CardModel = IntelModel | BroadcomModel;
export type CardOptions = IntelOptions | BroadcomOptions;

function isBroadcom(options: CardOptions): options is BroadcomOptions {
  return options.model in MODELS;
}

/** A network card of the model that is asked for. */
export function makeCard(clock: Clock, options: CardOptions): NetworkCard {
  return isBroadcom(options) ? new Broadcom(clock, options) : new E1000(clock, options as IntelOptions);
}
