/** What clients reported, in Postgres: counted once, summed by the minute, and observed of the revision. */
import { sql } from 'kysely';
import { rateInterval } from '../rollouts/analysis/rates.js';
import type { Db } from '../schema.js';
import { type FeedbackMetric, MOST_ITEMS, type Outcome } from './item.js';

/** Under whose name observations stand that come from clients' reports: no gateway counted them. */
const REPORTED = 'feedback';

/** A report's numbers, so many of each revision and metric. */
interface Total {
  readonly revision: number;
  readonly metric: FeedbackMetric;
  count: number;
  sum: number;
}

/** Counts a report's outcomes that were not counted before, all or none. Answers how many were. */
export async function recordFeedback(db: Db, endpointId: string, outcomes: readonly Outcome[]): Promise<number> {
  return db.transaction().execute(async (tx) => {
    const fresh = [...outcomes.filter(({ key }) => key === undefined), ...(await notSeen(tx, endpointId, outcomes))];
    const totals = totalsOf(fresh);
    if (totals.length === 0) return 0;
    const rows = totals.map(({ revision, metric, count, sum }) => ({
      endpoint_id: endpointId,
      revision,
      metric,
      count,
      sum,
    }));
    await tx
      .insertInto('feedback_sums')
      .values(rows.map((row) => ({ ...row, minute: sql<Date>`date_trunc('minute', now())` })))
      .onConflict((conflict) =>
        conflict.columns(['endpoint_id', 'minute', 'revision', 'metric']).doUpdateSet({
          count: sql<number>`feedback_sums.count + excluded.count`,
          sum: sql<number>`feedback_sums.sum + excluded.sum`,
        }),
      )
      .execute();
    await tx
      .insertInto('revision_observations')
      .values(rows.map((row) => ({ ...row, gateway: REPORTED, second: sql<Date>`date_trunc('second', now())` })))
      .onConflict((conflict) =>
        conflict.columns(['endpoint_id', 'revision', 'metric', 'second', 'gateway']).doUpdateSet({
          count: sql<number>`revision_observations.count + excluded.count`,
          sum: sql<number>`revision_observations.sum + excluded.sum`,
        }),
      )
      .execute();
    return fresh.length;
  });
}

/** Notes the outcomes that have a key; answers those whose key and metric were not there yet. */
async function notSeen(tx: Db, endpointId: string, outcomes: readonly Outcome[]): Promise<Outcome[]> {
  const byName = new Map<string, Outcome>();
  for (const outcome of outcomes) {
    const name = `${outcome.metric} ${outcome.key}`;
    if (outcome.key !== undefined && !byName.has(name)) byName.set(name, outcome);
  }
  // in one order, so that two reports of the same items wait for each other and never for themselves
  const named = [...byName.keys()].sort().map((name) => byName.get(name) as Outcome);
  const fresh: Outcome[] = [];
  for (let at = 0; at < named.length; at += MOST_ITEMS) {
    const rows = named.slice(at, at + MOST_ITEMS).map(({ key, metric, revision, value, at: when }) => ({
      endpoint_id: endpointId,
      key: key ?? '',
      metric,
      revision,
      value,
      at: when === undefined ? sql<Date>`now()` : new Date(when),
    }));
    const made = await tx
      .insertInto('feedback')
      .values(rows)
      .onConflict((conflict) => conflict.doNothing())
      .returning(['key', 'metric'])
      .execute();
    for (const { key, metric } of made) fresh.push(byName.get(`${metric} ${key}`) as Outcome);
  }
  return fresh;
}

function totalsOf(outcomes: readonly Outcome[]): Total[] {
  const totals = new Map<string, Total>();
  for (const { revision, metric, value } of outcomes) {
    const name = `${String(revision).padStart(10, '0')} ${metric}`;
    const total = totals.get(name) ?? { revision, metric, count: 0, sum: 0 };
    total.count++;
    total.sum += value;
    totals.set(name, total);
  }
  // every report takes its rows in the same order: no deadlock
  return [...totals.keys()].sort().map((name) => totals.get(name) as Total);
}

/** What was reported of one revision in a window. */
export interface Reported {
  readonly count: number;
  readonly sum: number;
}

/** What was reported of an endpoint's revisions in the last `windowSec`, to the minute. */
export async function readFeedback(
  db: Db,
  endpointId: string,
  windowSec: number,
): Promise<Map<number, Partial<Record<FeedbackMetric, Reported>>>> {
  const rows = await db
    .selectFrom('feedback_sums')
    .select((e) => ['revision', 'metric', e.fn.sum<number>('count').as('count'), e.fn.sum<number>('sum').as('sum')])
    .where('endpoint_id', '=', endpointId)
    .where('minute', '>', sql<Date>`now() - ${windowSec}::float8 * interval '1 second'`)
    .groupBy(['revision', 'metric'])
    .orderBy('revision')
    .execute();
  const byRevision = new Map<number, Partial<Record<FeedbackMetric, Reported>>>();
  for (const { revision, metric, count, sum } of rows) {
    const known = byRevision.get(revision) ?? {};
    byRevision.set(revision, { ...known, [metric]: { count: Number(count), sum: Number(sum) } });
  }
  return byRevision;
}

/** Confidence of the interval that a summary shows. */
const SHOWN_ALPHA = 0.05;

/** A mean with the interval that holds the true one with 95 %, at all times at once. */
export function summaryOf({ count, sum }: Reported) {
  const { low, high } = rateInterval({ hits: sum, total: count }, SHOWN_ALPHA);
  return { count, mean: count === 0 ? null : sum / count, low, high };
}

/** Longer than any token is taken, so that one that was counted is never counted again. */
const KEEP_KEYS = '8 days';
const KEEP_SUMS = '31 days';

/** Removes what decides nothing any more. */
export async function forgetFeedback(db: Db): Promise<void> {
  await db.deleteFrom('feedback').where('reported_at', '<', sql<Date>`now() - ${KEEP_KEYS}::interval`).execute();
  await db.deleteFrom('feedback_sums').where('minute', '<', sql<Date>`now() - ${KEEP_SUMS}::interval`).execute();
}
