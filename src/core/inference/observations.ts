/**
 * What is observed of a revision's answers beside their status and latency: whether a shadow's answer agreed, what reward a
 * client reported, what the model gave. Summed in memory by second and written to Postgres, where the rollouts read it.
 */
import type { Db } from '../schema.js';
import { addObserved, NOTHING_OBSERVED, type ObservedStats } from './observed.js';

/** Of what was observed. `endpointId` and `revision` say whose it is. */
export interface Observed {
  readonly endpointId: string;
  readonly revision: number;
  /** Such as `shadow.disagreement`, `reward`, `accuracy`, `output.NAME`. */
  readonly metric: string;
}

/** One observation: a number from 0 to 1 (yes is 1), or one of several kinds. */
export type Observation = { readonly value: number } | { readonly bucket: number };

interface Sum extends Observed {
  readonly second: number;
  count: number;
  sum: number;
  readonly buckets: number[];
}

/** Kinds of one metric; a later one is counted as the last. */
export const MAX_BUCKETS = 64;
/** Postgres takes 65,535 values in one statement. */
const ROWS_AT_ONCE = 1000;
/** Sums kept while the database is away; the oldest go first. */
const MOST_KEPT = 10_000;

export class Observations {
  private readonly sums = new Map<string, Sum>();

  constructor(private readonly gateway: string) {}

  observe({ endpointId, revision, metric }: Observed, observation: Observation, nowMs: number): void {
    const second = Math.floor(nowMs / 1000);
    const key = `${endpointId}/${revision}/${metric}/${second}`;
    let entry = this.sums.get(key);
    if (!entry) {
      entry = { endpointId, revision, metric, second, count: 0, sum: 0, buckets: [] };
      this.sums.set(key, entry);
    }
    entry.count++;
    if ('value' in observation) {
      entry.sum += observation.value;
      return;
    }
    const at = Math.min(MAX_BUCKETS - 1, observation.bucket);
    while (entry.buckets.length <= at) entry.buckets.push(0);
    entry.buckets[at] = (entry.buckets[at] ?? 0) + 1;
  }

  /** Writes the finished seconds (all of them with `everything`); what cannot be written is kept for the next time, bounded. */
  async flush(db: Db, nowMs: number, everything = false): Promise<void> {
    const current = Math.floor(nowMs / 1000);
    const done = [...this.sums].filter(([, { second }]) => everything || second < current);
    // taken out before they are written: what is observed meanwhile begins anew
    for (const [key] of done) this.sums.delete(key);
    for (let at = 0; at < done.length; at += ROWS_AT_ONCE) {
      try {
        await this.write(
          db,
          done.slice(at, at + ROWS_AT_ONCE).map(([, sum]) => sum),
        );
      } catch (error) {
        for (const [key, sum] of done.slice(Math.max(at, done.length - MOST_KEPT))) this.sums.set(key, sum);
        throw error;
      }
    }
  }

  private async write(db: Db, sums: readonly Sum[]): Promise<void> {
    const rows = sums.map(({ endpointId, revision, metric, second, count, sum, buckets }) => ({
      endpoint_id: endpointId,
      revision,
      gateway: this.gateway,
      second: new Date(second * 1000),
      metric,
      count,
      sum,
      buckets,
    }));
    await db
      .insertInto('revision_observations')
      .values(rows)
      .onConflict((conflict) => conflict.doNothing())
      .execute();
  }
}

/** What all gateways observed of a revision, by metric, from `since` (inclusive) to `until`. */
export async function readObservations(
  db: Db,
  endpointId: string,
  revision: number,
  since: Date,
  until?: Date,
): Promise<Map<string, ObservedStats>> {
  const rows = await db
    .selectFrom('revision_observations')
    .select(['metric', 'count', 'sum', 'buckets'])
    .where('endpoint_id', '=', endpointId)
    .where('revision', '=', revision)
    .where('second', '>=', since)
    .$if(until !== undefined, (query) => query.where('second', '<', until as Date))
    .execute();
  const byMetric = new Map<string, ObservedStats>();
  for (const row of rows) byMetric.set(row.metric, addObserved(byMetric.get(row.metric) ?? NOTHING_OBSERVED, row));
  return byMetric;
}
