/** The analysis of a rollout in flight: reads what both arms did, and compares. */
import { readStats } from '../inference/statistics.js';
import type { Db } from '../schema.js';
import { type ArmStats, compareArms, NO_STATS, slowBound, type Verdict } from './analysis.js';
import { isConcurrent } from './plan.js';
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

/**
 * Compares both arms over the same window: since the first step that sent traffic to the candidate. Where all traffic
 * switches at once there is no such window: the candidate is then compared with what the stable revision did before.
 */
export async function analyse(db: Db, rollout: RolloutRow, now: number): Promise<Analysis> {
  const since = rollout.compared_since;
  const [stable, candidate] = since ? await readArms(db, rollout, since) : [NO_STATS, NO_STATS];
  const slowMs = rollout.slow_ms ?? (await findSlow(db, rollout, stable, now));
  return { verdict: compareArms(stable, candidate, rollout.plan.analysis, slowMs), slowMs };
}

/** Stable and candidate, as a rollout compares them from `since` on, until it ended. */
export async function readArms(db: Db, rollout: RolloutRow, since: Date): Promise<[ArmStats, ArmStats]> {
  const { endpoint_id: endpointId, ended_at: endedAt } = rollout;
  const until = endedAt ?? undefined;
  const candidate = await readStats(db, endpointId, rollout.candidate, since, until);
  const stable = isConcurrent(rollout.plan, rollout.replicas)
    ? await readStats(db, endpointId, rollout.stable, since, until)
    : await readStats(db, endpointId, rollout.stable, new Date(since.getTime() - HISTORY_MS), since);
  return [stable, candidate];
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
