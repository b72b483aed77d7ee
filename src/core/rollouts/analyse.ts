/** The analysis of a rollout in flight: reads what both arms did, and compares. */
import { readStats } from '../inference/statistics.js';
import type { Db } from '../schema.js';
import { type ArmStats, compareArms, NO_STATS, slowBound, type Verdict } from './analysis.js';
import type { RolloutRow } from './store.js';

/** Requests of the stable revision that it takes to say what is slow. */
const SLOW_NEEDS = 50;
/** How far back they may lie when the comparison begins. */
const HISTORY_MS = 10 * 60_000;

export interface Analysis {
  readonly verdict: Verdict;
  /** What counts as a slow request, in milliseconds; the same for the whole rollout once it is known. */
  readonly slowMs: number | undefined;
}

/** Compares both arms over the same window: since the first step that sent traffic to the candidate. */
export async function analyse(db: Db, rollout: RolloutRow, now: number): Promise<Analysis> {
  const since = rollout.compared_since;
  const arm = (revision: number): Promise<ArmStats> =>
    since ? readStats(db, rollout.endpoint_id, revision, since) : Promise.resolve(NO_STATS);
  const stable = await arm(rollout.stable);
  const candidate = await arm(rollout.candidate);
  const slowMs = rollout.slow_ms ?? (await findSlow(db, rollout, stable, now));
  return { verdict: compareArms(stable, candidate, rollout.plan.analysis, slowMs), slowMs };
}

async function findSlow(db: Db, rollout: RolloutRow, stableNow: ArmStats, now: number): Promise<number | undefined> {
  const before = await readStats(
    db,
    rollout.endpoint_id,
    rollout.stable,
    new Date(now - HISTORY_MS),
    rollout.compared_since ?? undefined,
  );
  const basis = before.requests >= SLOW_NEEDS ? before : stableNow;
  return basis.requests >= SLOW_NEEDS ? slowBound(basis, rollout.plan.analysis.slowFactor) : undefined;
}
