/** What both arms of a rollout did since their comparison began, read and kept so that a look stays cheap for days. */

import { readObservations } from '../inference/observations.js';
import { addObserved, NOTHING_OBSERVED } from '../inference/observed.js';
import { readStats } from '../inference/statistics.js';
import type { Db } from '../schema.js';
import { type ArmSums, NO_SUMS, type SlowBound } from './analysis/judge.js';
import { type ArmStats, addStats, slowBound, slowerThan } from './analysis/latency.js';
import { type AnalysisPlan, isAsked, nameOf } from './analysis/plan.js';
import { isConcurrent } from './plan.js';
import type { RolloutRow } from './store.js';

/** Kept with the rollout. Times in milliseconds since the epoch. */
export interface Comparison {
  /** Where the window of both arms begins: after the warm-up, at a full second. */
  readonly from: number;
  readonly before: ArmSums;
  readonly slow: Readonly<Record<string, SlowBound>>;
  /** Sums of the window up to `until`. */
  readonly carried?: { readonly until: number; readonly stable: ArmSums; readonly candidate: ArmSums };
}

/** Requests of the stable revision that it takes to say what is slow. */
const SLOW_NEEDS = 50;
/** How far back the stable revision is looked at when the comparison begins. */
const HISTORY_MS = 10 * 60_000;
/** Counts are carried over in pieces of this length, and no sooner than this: late ones still come. */
const CARRY_MS = 5 * 60_000;

/** Both arms as they stand now. */
export interface Compared {
  /** Undefined while the candidate warms up or has no traffic yet. */
  readonly comparison: Comparison | undefined;
  readonly stable: ArmSums;
  readonly candidate: ArmSums;
}

/**
 * Where the comparison stands now. Where all traffic switches at once, the stable revision's arm is what it did before.
 * What shadows showed counts from the rollout's beginning on, because copies come before traffic.
 */
export async function compare(db: Db, rollout: RolloutRow, now: number): Promise<Compared> {
  const shadowed = await shadowedBy(db, rollout);
  const begun = rollout.comparison ?? (await begin(db, rollout, now));
  const candidate = ({ answers, observed }: ArmSums): ArmSums => ({ answers, observed: { ...observed, ...shadowed } });
  if (!begun) return { comparison: undefined, stable: NO_SUMS, candidate: candidate(NO_SUMS) };
  const compared = await sumsSince(db, rollout, begun, now);
  const stable = isConcurrent(rollout.plan, rollout.replicas) ? compared.stable : begun.before;
  return { ...compared, stable, candidate: candidate(compared.candidate) };
}

/** What the candidate's answers to copies showed; nothing where the plan does not ask for it. */
async function shadowedBy(db: Db, rollout: RolloutRow): Promise<ArmSums['observed']> {
  if (!rollout.plan.analysis.metrics.some(({ kind }) => kind === 'shadow')) return {};
  const all = await readObservations(db, rollout.endpoint_id, rollout.candidate, rollout.created_at);
  return Object.fromEntries([...all].filter(([metric]) => metric.startsWith('shadow.')));
}

async function sumsSince(db: Db, rollout: RolloutRow, begun: Comparison, now: number) {
  const carried = await carryOver(db, rollout, begun, now);
  const since = carried.carried?.until ?? carried.from;
  const [stable, candidate] = [
    addSums(carried.carried?.stable ?? NO_SUMS, await sumsOf(db, rollout, rollout.stable, since)),
    addSums(carried.carried?.candidate ?? NO_SUMS, await sumsOf(db, rollout, rollout.candidate, since)),
  ];
  const slow = withBounds(carried, rollout.plan.analysis, stable.answers, candidate.answers);
  return { comparison: { ...carried, slow }, stable, candidate };
}

/** What both arms answered, as a rollout compares them from `since` on, until it ended. */
export async function readArms(db: Db, rollout: RolloutRow, since: Date): Promise<[ArmStats, ArmStats]> {
  const { endpoint_id: endpointId, ended_at: endedAt } = rollout;
  const until = endedAt ?? undefined;
  const candidate = await readStats(db, endpointId, rollout.candidate, since, until);
  const stable = isConcurrent(rollout.plan, rollout.replicas)
    ? await readStats(db, endpointId, rollout.stable, since, until)
    : await readStats(db, endpointId, rollout.stable, new Date(since.getTime() - HISTORY_MS), since);
  return [stable, candidate];
}

/** The comparison's beginning, once the candidate is warm. What is fixed here depends on nothing that is compared later. */
async function begin(db: Db, rollout: RolloutRow, now: number): Promise<Comparison | undefined> {
  if (!rollout.compared_since) return undefined;
  const from = await windowStart(db, rollout, rollout.compared_since.getTime(), now);
  if (from === undefined) return undefined;
  const before = await sumsOf(db, rollout, rollout.stable, from - HISTORY_MS, from);
  const begun = { from, before, slow: {} };
  return { ...begun, slow: withBounds(begun, rollout.plan.analysis, before.answers) };
}

/**
 * The first full second after the warm-up: `warmupSec` after the second of the candidate's first request, and after the
 * second in which it had `warmupRequests`. It follows from counts of requests alone, not from how they ended.
 */
async function windowStart(db: Db, rollout: RolloutRow, since: number, now: number): Promise<number | undefined> {
  const { warmupSec, warmupRequests } = rollout.plan.analysis;
  const first = Math.ceil(since / 1000) * 1000;
  if (warmupSec === 0 && warmupRequests === 0) return first;
  const rows = await db
    .selectFrom('revision_stats')
    .select(['second', 'requests'])
    .where('endpoint_id', '=', rollout.endpoint_id)
    .where('revision', '=', rollout.candidate)
    .where('second', '>=', new Date(first))
    .orderBy('second')
    .execute();
  return warmFrom(
    rows.map(({ second, requests }) => ({ at: second.getTime(), requests })),
    rollout.plan.analysis,
    now,
  );
}

/** See windowStart; rows in the order of time. */
export function warmFrom(
  rows: readonly { readonly at: number; readonly requests: number }[],
  { warmupSec, warmupRequests }: Pick<AnalysisPlan, 'warmupSec' | 'warmupRequests'>,
  now: number,
): number | undefined {
  const first = rows.find(({ requests }) => requests > 0);
  if (!first) return undefined;
  let seen = 0;
  const warm = rows.find(({ requests }) => {
    seen += requests;
    return seen >= warmupRequests;
  });
  if (!warm) return undefined;
  const after = warmupRequests === 0 ? first.at : warm.at + 1000;
  const from = Math.max(first.at + Math.ceil(warmupSec) * 1000, after);
  return from <= now ? from : undefined;
}

/**
 * Says what is slow for the metrics that do not know yet. A bound that comes from what the stable revision did within the
 * window would void the tests on the same requests, so both arms are compared from that moment on.
 */
export function withBounds(
  { slow }: Pick<Comparison, 'slow'>,
  plan: AnalysisPlan,
  stable: ArmStats,
  candidate?: ArmStats,
): Comparison['slow'] {
  if (stable.requests < SLOW_NEEDS) return slow;
  const bounds: Record<string, SlowBound> = { ...slow };
  for (const metric of plan.metrics) {
    if (isAsked(metric) || metric.kind !== 'latency' || bounds[nameOf(metric)] !== undefined) continue;
    const ms = slowBound(stable, metric.slowFactor, metric.quantile);
    const rate = (arm: ArmStats) => ({ hits: slowerThan(arm, ms), total: arm.requests });
    bounds[nameOf(metric)] = candidate ? { ms, stable: rate(stable), candidate: rate(candidate) } : { ms };
  }
  return bounds;
}

/** Moves what is old and will not change any more into the sums that are kept with the rollout. */
async function carryOver(db: Db, rollout: RolloutRow, comparison: Comparison, now: number): Promise<Comparison> {
  const { carried = { until: comparison.from, ...NOTHING_CARRIED } } = comparison;
  if (now - carried.until < 2 * CARRY_MS) return comparison;
  const until = Math.floor((now - CARRY_MS) / 1000) * 1000;
  const [stable, candidate] = [
    await sumsOf(db, rollout, rollout.stable, carried.until, until),
    await sumsOf(db, rollout, rollout.candidate, carried.until, until),
  ];
  return {
    ...comparison,
    carried: { until, stable: addSums(carried.stable, stable), candidate: addSums(carried.candidate, candidate) },
  };
}

const NOTHING_CARRIED = { stable: NO_SUMS, candidate: NO_SUMS };

async function sumsOf(db: Db, rollout: RolloutRow, revision: number, from: number, until?: number): Promise<ArmSums> {
  const window = [new Date(from), until === undefined ? undefined : new Date(until)] as const;
  return {
    answers: await readStats(db, rollout.endpoint_id, revision, ...window),
    observed: Object.fromEntries(await readObservations(db, rollout.endpoint_id, revision, ...window)),
  };
}

/** The sum of two windows. */
export function addSums(a: ArmSums, b: ArmSums): ArmSums {
  const observed = { ...a.observed };
  for (const [metric, stats] of Object.entries(b.observed))
    observed[metric] = addObserved(observed[metric] ?? NOTHING_OBSERVED, stats);
  return { answers: addStats([a.answers, b.answers]), observed };
}
