/** Promotions in Postgres: one per endpoint and version, whoever asks and however often. */
import { sql } from 'kysely';
import { AppError } from '../../errors.js';
import { getEndpoint } from '../endpoints/store.js';
import { emit } from '../events/store.js';
import { newId } from '../id.js';
import { getVersion } from '../models/store.js';
import type { Db } from '../schema.js';
import type { GateResult, PromotionState } from './promotion.js';

export interface OpenPromotions {
  readonly project: string;
  readonly model: string;
  readonly version: number;
  readonly jobId: string;
  /** Only this endpoint; all of the model's endpoints otherwise. */
  readonly endpoint?: string;
}

/** Opens a promotion at every endpoint whose policy wants new versions of the model. Within the caller's transaction. */
export async function openPromotions(tx: Db, input: OpenPromotions): Promise<void> {
  const endpoints = await tx
    .selectFrom('endpoints')
    .selectAll()
    .where('project', '=', input.project)
    .where('model', '=', input.model)
    .where('deleted_at', 'is', null)
    .$if(input.endpoint !== undefined, (query) => query.where('name', '=', input.endpoint as string))
    .execute();
  for (const endpoint of endpoints) {
    if (!endpoint.policy.auto && input.endpoint === undefined) continue;
    await insertPromotion(tx, { ...input, endpointId: endpoint.id, endpoint: endpoint.name });
  }
}

/** Asks for a version to be taken through an endpoint's gates now. The one that stands is answered when there is one. */
export async function requestPromotion(
  db: Db,
  project: string,
  endpointName: string,
  version: number,
): Promise<{ id: string; created: boolean }> {
  return db.transaction().execute(async (tx) => {
    const endpoint = await getEndpoint(tx, project, endpointName);
    await getVersion(tx, project, endpoint.model, version);
    // two who ask at the same time take turns
    await tx.selectFrom('endpoints').select('id').where('id', '=', endpoint.id).forUpdate().execute();
    const before = await tx
      .selectFrom('promotions')
      .select(['id', 'ended_at'])
      .where('endpoint_id', '=', endpoint.id)
      .where('model', '=', endpoint.model)
      .where('version', '=', version)
      .forUpdate()
      .executeTakeFirst();
    if (before && before.ended_at === null) return { id: before.id, created: false };
    if (before) {
      // asked for again by a person: it goes through all gates anew, and the old record gives way to the new one
      await tx
        .updateTable('promotions')
        .set({
          state: 'pending',
          gates: '[]',
          reason: '',
          rollout_id: null,
          tries: 0,
          owner: null,
          heartbeat_at: null,
          ended_at: null,
        })
        .where('id', '=', before.id)
        .execute();
      return { id: before.id, created: true };
    }
    const id = await insertPromotion(tx, {
      project,
      model: endpoint.model,
      version,
      jobId: null,
      endpointId: endpoint.id,
      endpoint: endpoint.name,
    });
    return { id: id as string, created: true };
  });
}

async function insertPromotion(
  tx: Db,
  input: {
    project: string;
    model: string;
    version: number;
    jobId: string | null;
    endpointId: string;
    endpoint: string;
  },
): Promise<string | undefined> {
  const id = newId('pr');
  const made = await tx
    .insertInto('promotions')
    .values({
      id,
      project: input.project,
      endpoint_id: input.endpointId,
      endpoint: input.endpoint,
      model: input.model,
      version: input.version,
      job_id: input.jobId,
      state: 'pending',
      gates: '[]',
      reason: '',
    })
    .onConflict((conflict) => conflict.doNothing())
    .executeTakeFirst();
  if (made.numInsertedOrUpdatedRows === 0n) return undefined;
  await emit(tx, {
    project: input.project,
    kind: 'promotion.opened',
    subject: `promotion/${id}`,
    data: { promotion: id, endpoint: input.endpoint, model: input.model, version: input.version, job: input.jobId },
  });
  return id;
}

export async function listPromotions(
  db: Db,
  project: string,
  filter: { endpoint?: string | undefined; job?: string | undefined; limit: number },
) {
  return db
    .selectFrom('promotions')
    .selectAll()
    .where('project', '=', project)
    .$if(filter.endpoint !== undefined, (query) => query.where('endpoint', '=', filter.endpoint as string))
    .$if(filter.job !== undefined, (query) => query.where('job_id', '=', filter.job as string))
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

/** Moves a promotion on. Ends it where the state is an end. Within the caller's transaction. */
export async function settlePromotion(
  tx: Db,
  id: string,
  change: {
    state: PromotionState;
    reason: string;
    rolloutId?: string;
    from: readonly PromotionState[];
    owner?: string;
  },
): Promise<boolean> {
  const ended = change.state !== 'rolling';
  const row = await tx
    .updateTable('promotions')
    .set({
      state: change.state,
      reason: change.reason,
      ...(change.rolloutId ? { rollout_id: change.rolloutId } : {}),
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
