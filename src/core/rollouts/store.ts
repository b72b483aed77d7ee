/** Rollouts in Postgres: what is read of them, and the locks under which they move. */
import { sql } from 'kysely';
import { AppError } from '../../errors.js';
import type { Db } from '../schema.js';

export type RolloutRow = Awaited<ReturnType<typeof getRollout>>;

export async function listRollouts(db: Db, project: string, filter: { endpoint?: string | undefined; limit: number }) {
  return db
    .selectFrom('rollouts')
    .selectAll()
    .where('project', '=', project)
    .$if(filter.endpoint !== undefined, (query) => query.where('endpoint', '=', filter.endpoint as string))
    .orderBy('created_at', 'desc')
    .limit(filter.limit)
    .execute();
}

export async function getRollout(db: Db, project: string, id: string) {
  const rollout = await db
    .selectFrom('rollouts')
    .selectAll()
    .where('project', '=', project)
    .where('id', '=', id)
    .executeTakeFirst();
  if (!rollout) throw new AppError('not_found', `there is no rollout "${id}"`, { details: { rollout: id } });
  return rollout;
}

/** What happened in a rollout, oldest first. */
export async function rolloutEvents(db: Db, id: string) {
  return db.selectFrom('rollout_events').selectAll().where('rollout_id', '=', id).orderBy('id').execute();
}

/** Locks a rollout in flight for one move, its endpoint first; undefined when it ended. */
export async function lockRollout(tx: Db, id: string): Promise<RolloutRow | undefined> {
  await lockEndpointOf(tx, id);
  return tx
    .selectFrom('rollouts')
    .selectAll()
    .where('id', '=', id)
    .where('ended_at', 'is', null)
    .forUpdate()
    .executeTakeFirst();
}

/**
 * Whoever changes a rollout, a promotion or the traffic locks the endpoint before anything else: with one order there is
 * no deadlock.
 */
export async function lockEndpointOf(tx: Db, rolloutId: string): Promise<void> {
  await tx
    .selectFrom('endpoints')
    .select('id')
    .where('id', '=', (eb) => eb.selectFrom('rollouts').select('endpoint_id').where('id', '=', rolloutId))
    .forUpdate()
    .execute();
}

/** The rollout of an endpoint that is in flight, locked. The caller holds the endpoint's lock. */
export async function lockInFlight(tx: Db, endpointId: string): Promise<RolloutRow | undefined> {
  return tx
    .selectFrom('rollouts')
    .selectAll()
    .where('endpoint_id', '=', endpointId)
    .where('ended_at', 'is', null)
    .forUpdate()
    .executeTakeFirst();
}

/** Rollouts in flight that nobody has looked at for `lateMs`. */
export async function overdueRollouts(db: Db, lateMs: number): Promise<string[]> {
  const rows = await db
    .selectFrom('rollouts')
    .select('id')
    .where('ended_at', 'is', null)
    .where('next_at', '<', sql<Date>`now() - ${lateMs} * interval '1 millisecond'`)
    .execute();
  return rows.map((row) => row.id);
}

/** Whether an endpoint has a rollout in flight; its id. */
export async function rolloutInFlight(db: Db, endpointId: string): Promise<string | undefined> {
  const row = await db
    .selectFrom('rollouts')
    .select('id')
    .where('endpoint_id', '=', endpointId)
    .where('ended_at', 'is', null)
    .executeTakeFirst();
  return row?.id;
}
