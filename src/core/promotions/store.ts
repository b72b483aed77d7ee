/** Promotions in Postgres: read, held by a worker, moved on. */
import { sql, type Updateable } from 'kysely';
import { AppError } from '../../errors.js';
import { emit } from '../events/store.js';
import type { Db, Schema } from '../schema.js';
import { type GateResult, type PromotionState, UNDER_WAY } from './promotion.js';

export async function listPromotions(
  db: Db,
  project: string,
  filter: {
    endpoint?: string | undefined;
    job?: string | undefined;
    state?: PromotionState | undefined;
    limit: number;
  },
) {
  return db
    .selectFrom('promotions')
    .selectAll()
    .where('project', '=', project)
    .$if(filter.endpoint !== undefined, (query) => query.where('endpoint', '=', filter.endpoint as string))
    .$if(filter.job !== undefined, (query) => query.where('job_id', '=', filter.job as string))
    .$if(filter.state !== undefined, (query) => query.where('state', '=', filter.state as PromotionState))
    .orderBy('created_at', 'desc')
    .limit(filter.limit)
    .execute();
}

export async function getPromotion(db: Db, project: string, id: string) {
  const promotion = await db
    .selectFrom('promotions')
    .selectAll()
    .where('project', '=', project)
    .where('id', '=', id)
    .executeTakeFirst();
  if (!promotion) throw new AppError('not_found', `there is no promotion "${id}"`, { details: { promotion: id } });
  return promotion;
}

export type PromotionRow = Awaited<ReturnType<typeof getPromotion>>;

/** A promotion and its endpoint, both locked: the endpoint first, as everybody who changes what hangs on it. */
export async function lockPromotion(tx: Db, id: string) {
  const endpoint = await tx
    .selectFrom('endpoints')
    .selectAll()
    .where('id', '=', (eb) => eb.selectFrom('promotions').select('endpoint_id').where('id', '=', id))
    .forUpdate()
    .executeTakeFirst();
  if (!endpoint) return undefined;
  const promotion = await tx
    .selectFrom('promotions')
    .selectAll()
    .where('id', '=', id)
    .forUpdate()
    .executeTakeFirstOrThrow();
  return { endpoint, promotion };
}

/** Takes a promotion for a worker: a pending one, or one whose worker has been silent for `silentMs`. */
export async function claimPromotion(db: Db, id: string, owner: string, silentMs: number) {
  return db
    .updateTable('promotions')
    .set((eb) => ({ state: 'gating', owner, heartbeat_at: sql<Date>`now()`, gates: '[]', tries: eb('tries', '+', 1) }))
    .where('id', '=', id)
    .where(unattended(silentMs))
    .returningAll()
    .executeTakeFirst();
}

/** Notes why a worker could not finish the gates, for the case that nobody can. */
export async function noteFailure(db: Db, id: string, owner: string, reason: string): Promise<void> {
  await db
    .updateTable('promotions')
    .set({ reason })
    .where('id', '=', id)
    .where('state', '=', 'gating')
    .where('owner', '=', owner)
    .execute();
}

/** Notes the gates passed so far, and that the worker lives. False when the promotion is no longer its. */
export async function noteGates(db: Db, id: string, owner: string, gates: readonly GateResult[]): Promise<boolean> {
  const done = await db
    .updateTable('promotions')
    .set({ gates: JSON.stringify(gates), heartbeat_at: sql<Date>`now()` })
    .where('id', '=', id)
    .where('state', '=', 'gating')
    .where('owner', '=', owner)
    .executeTakeFirst();
  return done.numUpdatedRows === 1n;
}

type PromotionNotes = Pick<
  Updateable<Schema['promotions']>,
  'rollout_id' | 'revision' | 'champion' | 'round' | 'tries' | 'owner' | 'approval' | 'expires_at'
>;

/** Moves a promotion on. Ends it where the state is an end. Within the caller's transaction. */
export async function settlePromotion(
  tx: Db,
  id: string,
  change: {
    state: PromotionState;
    reason: string;
    from: readonly PromotionState[];
    owner?: string;
    /** What else is noted with it. */
    set?: PromotionNotes;
  },
): Promise<boolean> {
  const ended = !UNDER_WAY.has(change.state);
  const row = await tx
    .updateTable('promotions')
    .set({
      state: change.state,
      reason: change.reason,
      ...change.set,
      ...(ended ? { ended_at: new Date() } : {}),
    })
    .where('id', '=', id)
    .where('state', 'in', change.from)
    .$if(change.owner !== undefined, (query) => query.where('owner', '=', change.owner as string))
    .returningAll()
    .executeTakeFirst();
  if (!row) return false;
  await emit(tx, {
    project: row.project,
    kind: `promotion.${change.state}`,
    subject: `promotion/${id}`,
    data: {
      promotion: id,
      endpoint: row.endpoint,
      model: row.model,
      version: row.version,
      job: row.job_id,
      reason: change.reason,
    },
  });
  return true;
}

/** Gives a promotion back whose gates could not be checked to their end; nothing when it is no longer the worker's. */
export async function releasePromotion(db: Db, id: string, owner: string): Promise<void> {
  await db
    .updateTable('promotions')
    .set({ state: 'pending', owner: null })
    .where('id', '=', id)
    .where('state', '=', 'gating')
    .where('owner', '=', owner)
    .execute();
}

/** Lets others take over at once what workers held that are known to be gone, by the beginning of their name. */
export async function disownPromotions(db: Db, deadOwner: string): Promise<void> {
  await db
    .updateTable('promotions')
    .set({ state: 'pending', owner: null })
    .where('state', '=', 'gating')
    .where(sql<boolean>`starts_with(owner, ${deadOwner})`)
    .execute();
}

/** Promotions that wait for a worker, or lost theirs. */
export async function overduePromotions(db: Db, silentMs: number): Promise<string[]> {
  const rows = await db.selectFrom('promotions').select('id').where(unattended(silentMs)).execute();
  return rows.map((row) => row.id);
}

/** Waits for a worker, or has lost its own: not heard of for `silentMs`. */
function unattended(silentMs: number) {
  return sql<boolean>`(state = 'pending' or (state = 'gating' and heartbeat_at < now() - ${silentMs} * interval '1 millisecond'))`;
}
