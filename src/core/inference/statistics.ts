/** What each revision answered, counted in memory by second and written to Postgres, where the rollouts read it. */
import { sql } from 'kysely';
import { type ArmStats, addStats, LATENCY_BOUNDS_MS, latencyBucket, NO_STATS } from '../rollouts/analysis.js';
import type { Db } from '../schema.js';

/** What one revision answered in one second. */
interface Count {
  readonly endpointId: string;
  readonly revision: number;
  readonly second: number;
  requests: number;
  errors: number;
  readonly latency: number[];
  /** Taken to be written: nothing is added any more. */
  closed: boolean;
}

/** Counts the answers of one revision; made once and kept, because it is used for every one of them. */
export interface RevisionCounter {
  /** `failed` when the revision is to blame. */
  record(nowMs: number, latencyMs: number, failed: boolean): void;
}

/** Postgres takes 65,535 values in one statement; after an outage there may be more to write than that. */
const ROWS_AT_ONCE = 1000;

export class Statistics {
  private counts = new Map<string, Count>();

  constructor(private readonly gateway: string) {}

  counterOf(endpointId: string, revision: number): RevisionCounter {
    let current: Count | undefined;
    return {
      record: (nowMs, latencyMs, failed) => {
        const second = Math.floor(nowMs / 1000);
        if (current?.second !== second || current.closed) current = this.countOf(endpointId, revision, second);
        current.requests++;
        if (failed) current.errors++;
        const bucket = latencyBucket(latencyMs);
        current.latency[bucket] = (current.latency[bucket] ?? 0) + 1;
      },
    };
  }

  private countOf(endpointId: string, revision: number, second: number): Count {
    const key = `${endpointId}/${revision}/${second}`;
    let count = this.counts.get(key);
    if (!count) {
      const latency = new Array<number>(LATENCY_BOUNDS_MS.length + 1).fill(0);
      count = { endpointId, revision, second, requests: 0, errors: 0, latency, closed: false };
      this.counts.set(key, count);
    }
    return count;
  }

  /** Writes the finished seconds (all of them with `everything`); what cannot be written is kept for the next time, bounded. */
  async flush(db: Db, nowMs: number, everything = false): Promise<void> {
    const current = Math.floor(nowMs / 1000);
    const done = [...this.counts.entries()].filter(([, entry]) => everything || entry.second < current);
    if (done.length === 0) return;
    const rows = done.map(([, { endpointId, revision, second, requests, errors, latency }]) => ({
      endpoint_id: endpointId,
      revision,
      gateway: this.gateway,
      second: new Date(second * 1000),
      requests,
      errors,
      latency,
    }));
    try {
      for (let at = 0; at < rows.length; at += ROWS_AT_ONCE) {
        await db
          .insertInto('revision_stats')
          .values(rows.slice(at, at + ROWS_AT_ONCE))
          .onConflict((conflict) => conflict.doNothing())
          .execute();
      }
    } catch (error) {
      // a database that is away for long must not fill the memory: the oldest counts go first
      for (const [key] of done.slice(0, Math.max(0, this.counts.size - 10_000))) this.counts.delete(key);
      throw error;
    }
    for (const [key, count] of done) {
      count.closed = true;
      this.counts.delete(key);
    }
  }
}

/** The counts of one revision over all gateways, from `since` (inclusive) on. */
export async function readStats(
  db: Db,
  endpointId: string,
  revision: number,
  since: Date,
  until?: Date,
): Promise<ArmStats> {
  const rows = await db
    .selectFrom('revision_stats')
    .select(['requests', 'errors', 'latency'])
    .where('endpoint_id', '=', endpointId)
    .where('revision', '=', revision)
    .where('second', '>=', since)
    .$if(until !== undefined, (query) => query.where('second', '<', until as Date))
    .execute();
  return rows.length === 0 ? NO_STATS : addStats(rows);
}

/** Counts older than this decide nothing any more. */
const KEEP_STATS = '2 hours';

/** Drops counts and gateway reports that are too old to matter. */
export async function forgetStatistics(db: Db): Promise<void> {
  await db.deleteFrom('revision_stats').where('second', '<', sql<Date>`now() - ${KEEP_STATS}::interval`).execute();
  await db
    .deleteFrom('revision_observations')
    .where('second', '<', sql<Date>`now() - ${KEEP_STATS}::interval`)
    .execute();
  await db.deleteFrom('revision_status').where('updated_at', '<', sql<Date>`now() - interval '1 minute'`).execute();
}

/** The counts of every revision of an endpoint over all gateways, from `since` (inclusive) on. */
export async function readEndpointStats(db: Db, endpointId: string, since: Date): Promise<Map<number, ArmStats>> {
  const rows = await db
    .selectFrom('revision_stats')
    .select(['revision', 'requests', 'errors', 'latency'])
    .where('endpoint_id', '=', endpointId)
    .where('second', '>=', since)
    .execute();
  const byRevision = new Map<number, ArmStats[]>();
  for (const row of rows) byRevision.set(row.revision, [...(byRevision.get(row.revision) ?? []), row]);
  return new Map([...byRevision].map(([revision, parts]) => [revision, addStats(parts)]));
}
