/** Chance that can be had again: the same seed gives the same throws. */
import { seeded } from '../../tests/support/random.js';

export interface Dice {
  /** In [0, 1). */
  readonly random: () => number;
  /** An integer from 0 to below the bound. */
  below(bound: number): number;
  chance(probability: number): boolean;
  pick<T>(list: readonly T[]): T;
  bytes(length: number): Buffer;
}

export function diceOf(seed: number): Dice {
  const random = seeded(seed);
  const below = (bound: number) => Math.floor(random() * bound);
  return {
    random,
    below,
    chance: (probability) => random() < probability,
    pick: (list) => {
      const picked = list[below(list.length)];
      if (picked === undefined) throw new RangeError('there is nothing to pick from');
      return picked;
    },
    bytes: (length) => Buffer.from(Array.from({ length }, () => below(256))),
  };
}

/** The dice of one input, which do not depend on those before it. */
export function inputDice(seed: number, port: string, index: number): Dice {
  let mixed = seed >>> 0;
  for (const code of Buffer.from(`${port} ${index}`)) mixed = Math.imul(mixed ^ code, 16777619) >>> 0;
  return diceOf(mixed);
}
