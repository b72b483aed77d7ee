import type { Db } from '../schema.js';

/** A gateway that has not reported for this long no longer vouches for its replicas. */
const STATUS_FRESH_MS = 15_000;

/** What the gateways say of a revision's replicas. */
export interface Replicas {
  /** Those that answer, over all gateways. */
  readonly ready: number;
  /** Those that take up room at the gateway that has most of them: also those that start or end. */
  readonly held: number;
  /** Why it cannot start, when it cannot. */
  readonly problem: string | undefined;
}

/** Reads what is reported of a revision's replicas now. */
export async function readReplicas(db: Db, endpointId: string, revision: number, nowMs: number): Promise<Replicas> {
  const rows = await db
    .selectFrom('revision_status')
    .select(['ready', 'starting', 'draining', 'failing', 'message'])
    .where('endpoint_id', '=', endpointId)
    .where('revision', '=', revision)
    .where('updated_at', '>', new Date(nowMs - STATUS_FRESH_MS))
    .execute();
  return {
    ready: rows.reduce((sum, row) => sum + row.ready, 0),
    held: rows.reduce((most, row) => Math.max(most, row.ready + row.starting + row.draining), 0),
    problem: rows.find((row) => row.failing)?.message,
  };
}
