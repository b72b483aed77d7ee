/** The analysis of a rollout in flight: reads what both arms did, judges, and keeps the verdict with the rollout. */
import type { Db } from '../schema.js';
import { type Measured, NOT_MEASURED } from './analysis/asked.js';
import { type Judgement, judge, NO_SUMS } from './analysis.js';
import { compare } from './comparison.js';
import type { RolloutRow } from './store.js';

export interface Analysis {
  readonly verdict: Judgement;
  /** What counts as a slow request, in milliseconds, by the first metric of latency; undefined while that is not known. */
  readonly slowMs: number | undefined;
}

const NOT_COMPARED: Judgement = { kind: 'unclear', reason: 'the comparison has not begun', metrics: [] };

/** Compares both arms over the same window, in the transaction that holds the rollout's row. */
export async function analyse(db: Db, rollout: RolloutRow, now: number): Promise<Analysis> {
  const { comparison, stable, candidate } = await compare(db, rollout, now);
  if (!comparison && Object.keys(candidate.observed).length === 0) return { verdict: NOT_COMPARED, slowMs: undefined };
  const verdict = judge(rollout.plan.analysis, {
    stable,
    candidate,
    before: comparison?.before ?? NO_SUMS,
    slow: comparison?.slow ?? {},
    measured: await readMeasured(db, rollout.id),
    now,
  });
  await db
    .updateTable('rollouts')
    .set({ analysis: JSON.stringify(verdict), ...(comparison ? { comparison: JSON.stringify(comparison) } : {}) })
    .where('id', '=', rollout.id)
    .execute();
  const [slow] = Object.values(comparison?.slow ?? {});
  return { verdict, slowMs: slow?.ms };
}

async function readMeasured(db: Db, rolloutId: string): Promise<Record<string, Measured>> {
  const rows = await db
    .selectFrom('rollout_measurements')
    .select(['metric', 'measured'])
    .where('rollout_id', '=', rolloutId)
    .execute();
  return Object.fromEntries(rows.map(({ metric, measured }) => [metric, { ...NOT_MEASURED, ...measured }]));
}
