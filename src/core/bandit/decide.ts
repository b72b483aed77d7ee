/** What the rewards say of an endpoint's traffic. A decision is a pure function of facts. */
import type { TrafficTarget } from '../endpoints/endpoint.js';
import { probabilitiesOfBest } from './best.js';
import type { BanditSettings } from './settings.js';

export interface BanditFacts {
  readonly settings: BanditSettings;
  readonly targets: readonly TrafficTarget[];
  /** What was reported of each revision within the window. */
  readonly rewards: ReadonlyMap<number, { readonly count: number; readonly sum: number }>;
  readonly rolloutInFlight: boolean;
  /** When it last moved traffic, in milliseconds since the epoch. */
  readonly changedAt: number | undefined;
  readonly now: number;
}

export type BanditDecision =
  | { readonly kind: 'keep'; readonly reason: string }
  | { readonly kind: 'change'; readonly targets: readonly TrafficTarget[]; readonly reason: string };

const NOTHING = { count: 0, sum: 0 };

export function decideBandit(facts: BanditFacts): BanditDecision {
  const { settings, targets, rewards, now, changedAt } = facts;
  const keep = (reason: string): BanditDecision => ({ kind: 'keep', reason });
  if (facts.rolloutInFlight) return keep('a rollout moves the traffic');
  const arms = armsOf(settings, targets);
  if (arms.length < 2) return keep(`${arms.length} of the arms have traffic; two are needed to choose from`);
  const of = (revision: number) => rewards.get(revision) ?? NOTHING;
  if (arms.every(({ revision }) => of(revision).count === 0))
    return keep(`no ${settings.reward} was reported within ${settings.windowSec} s`);
  const best = probabilitiesOfBest(
    arms.map(({ revision }) => {
      const { count, sum } = of(revision);
      return { a: settings.prior.good + sum, b: settings.prior.bad + Math.max(0, count - sum) };
    }),
  );
  const total = arms.reduce((sum, { percent }) => sum + percent, 0);
  const shares = sharesOf(best, total, settings.minPercent);
  const words = arms
    .map(({ revision }, at) => {
      const { count, sum } = of(revision);
      const mean = count === 0 ? 'no reports' : `mean ${Number((sum / count).toFixed(4))} of ${count}`;
      return `revision ${revision} ${shares[at]} % (${mean}, best with ${percent(best[at] ?? 0)})`;
    })
    .join(', ');
  const moved = Math.max(...arms.map((arm, at) => Math.abs(arm.percent - (shares[at] ?? 0))));
  if (moved < settings.minChangePercent)
    return keep(`a move of ${Number(moved.toFixed(3))} points, less than ${settings.minChangePercent}: ${words}`);
  const heldMs = changedAt === undefined ? Number.POSITIVE_INFINITY : now - changedAt;
  if (heldMs < settings.minHoldSec * 1000)
    return keep(`changed ${Math.floor(heldMs / 1000)} s ago, next after ${settings.minHoldSec} s: ${words}`);
  const shareOf = new Map(arms.map(({ revision }, at) => [revision, shares[at] ?? 0]));
  return {
    kind: 'change',
    targets: targets.map((target) => ({ ...target, percent: shareOf.get(target.revision) ?? target.percent })),
    reason: `${settings.reward}: ${words}`,
  };
}

function armsOf({ arms }: BanditSettings, targets: readonly TrafficTarget[]): readonly TrafficTarget[] {
  return targets.filter(({ revision, percent }) => (arms === undefined ? percent > 0 : arms.includes(revision)));
}

/** Thousandths of a percent: as fine as traffic is set. */
const FINE = 1000;

/** Shares of `total` percent in proportion to the probabilities, none below the floor, in thousandths that sum exactly. */
export function sharesOf(probabilities: readonly number[], total: number, minPercent: number): number[] {
  const units = Math.round(total * FINE);
  const floor = Math.floor(Math.min(minPercent * FINE, units / probabilities.length));
  const free = units - floor * probabilities.length;
  const shares = probabilities.map((probability) => floor + Math.floor(probability * free));
  const largest = probabilities.indexOf(Math.max(...probabilities));
  const given = shares.reduce((sum, share) => sum + share, 0);
  shares[largest] = (shares[largest] ?? 0) + units - given;
  return shares.map((share) => share / FINE);
}

function percent(share: number): string {
  return `${Number((share * 100).toFixed(1))} %`;
}
