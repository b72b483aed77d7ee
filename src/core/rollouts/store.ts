/** Rollouts in Postgres. Every move locks the rollout's row, so one owner moves it at a time; what it did is recorded. */
import { sql } from 'kysely';
import { AppError } from '../../errors.js';
import type { TrafficTarget } from '../endpoints/endpoint.js';
import { keepWarm, setTraffic } from '../endpoints/store.js';
import { emit } from '../events/store.js';
import { newId } from '../id.js';
import { moveAliasIn } from '../models/store.js';
import { settlePromotion } from '../promotions/store.js';
import type { Db } from '../schema.js';
import type { RolloutPlan, RolloutState } from './rollout.js';

/** The alias that names what an endpoint serves. */
export const CHAMPION = 'champion';

/** How far ahead a revision in a rollout is kept warm; renewed while the rollout lives. */
const WARM_AHEAD_MS = 10 * 60_000;

export type RolloutRow = Awaited<ReturnType<typeof getRollout>>;

export interface NewRollout {
  readonly project: string;
  readonly endpointId: string;
  readonly endpoint: string;
  readonly stable: number;
  readonly candidate: number;
  readonly plan: RolloutPlan;
  readonly promotionId: string | null;
}

/** Starts a rollout. A newer candidate replaces the one in flight, which goes back to stable first. Within the caller's transaction. */
export async function startRollout(tx: Db, input: NewRollout): Promise<string> {
  await tx.selectFrom('endpoints').select('id').where('id', '=', input.endpointId).forUpdate().execute();
  const inFlight = await tx
    .selectFrom('rollouts')
    .selectAll()
    .where('endpoint_id', '=', input.endpointId)
    .where('ended_at', 'is', null)
    .forUpdate()
    .executeTakeFirst();
  if (inFlight) await endRollout(tx, inFlight, 'aborted', `replaced by revision ${input.candidate}`, 'rollout');
  const id = newId('ro');
  await tx
    .insertInto('rollouts')
    .values({
      id,
      project: input.project,
      endpoint_id: input.endpointId,
      endpoint: input.endpoint,
      candidate: input.candidate,
      stable: input.stable,
      plan: JSON.stringify(input.plan),
      state: 'running',
      step: -1,
      slow_ms: null,
      reason: '',
      promotion_id: input.promotionId,
    })
    .execute();
  await warmBoth(tx, input);
  await note(
    tx,
    { id, project: input.project, endpoint: input.endpoint },
    'started',
    `revision ${input.candidate} against revision ${input.stable}`,
    { candidate: input.candidate, stable: input.stable },
  );
  return id;
}

/** Renews the time that both revisions stay warm. */
export async function warmBoth(
  tx: Db,
  rollout: { endpointId: string; stable: number; candidate: number },
): Promise<void> {
  const until = new Date(Date.now() + WARM_AHEAD_MS);
  await keepWarm(tx, rollout.endpointId, rollout.stable, until);
  await keepWarm(tx, rollout.endpointId, rollout.candidate, until);
}

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
async function lockEndpointOf(tx: Db, rolloutId: string): Promise<void> {
  await tx
    .selectFrom('endpoints')
    .select('id')
    .where('id', '=', (eb) => eb.selectFrom('rollouts').select('endpoint_id').where('id', '=', rolloutId))
    .forUpdate()
    .execute();
}

/** Gives the candidate a step's share. */
export async function enterStep(
  tx: Db,
  rollout: RolloutRow,
  step: number,
  percent: number,
  reason: string,
): Promise<void> {
  await route(tx, rollout, split(rollout, percent), `rollout ${rollout.id}: candidate to ${percent} %`);
  const now = new Date();
  await tx
    .updateTable('rollouts')
    .set({ step, step_started_at: now, reason, ...(rollout.compared_since ? {} : { compared_since: now }) })
    .where('id', '=', rollout.id)
    .execute();
  await note(tx, rollout, 'step', `candidate gets ${percent} %: ${reason}`, { step, percent });
}

/** Keeps everything as it is and says why. Told as an event only when the reason is another kind of reason. */
export async function holdRollout(tx: Db, rollout: RolloutRow, reason: string): Promise<void> {
  await tx.updateTable('rollouts').set({ reason }).where('id', '=', rollout.id).execute();
}

/**
 * Ends a rollout: promoted gives the candidate everything, moves the champion alias and keeps the old revision warm
 * through the bake time; anything else gives stable everything back. One transaction: no state in between is ever seen.
 */
export async function endRollout(
  tx: Db,
  rollout: RolloutRow,
  state: 'promoted' | 'rolled_back' | 'aborted',
  reason: string,
  actor: string,
): Promise<void> {
  const now = new Date();
  const winner = state === 'promoted' ? rollout.candidate : rollout.stable;
  const loser = state === 'promoted' ? rollout.stable : rollout.candidate;
  await route(
    tx,
    rollout,
    [{ revision: winner, percent: 100 }],
    `rollout ${rollout.id} ${state.replace('_', ' ')}: ${reason}`,
    actor,
  );
  await keepWarm(
    tx,
    rollout.endpoint_id,
    winner,
    state === 'promoted' ? new Date(now.getTime() + rollout.plan.bakeSec * 1000) : null,
  );
  await keepWarm(
    tx,
    rollout.endpoint_id,
    loser,
    state === 'promoted' ? new Date(now.getTime() + rollout.plan.bakeSec * 1000) : null,
  );
  await tx.updateTable('rollouts').set({ state, reason, ended_at: now }).where('id', '=', rollout.id).execute();
  if (state === 'promoted') await crown(tx, rollout.endpoint_id, winner, actor, `rollout ${rollout.id}`);
  if (rollout.promotion_id) await settlePromotion(tx, rollout.promotion_id, { state, reason, from: ['rolling'] });
  await note(tx, rollout, state, reason, { revision: winner });
}

/** Points the champion alias of the endpoint's model at what a revision serves. */
export async function crown(
  tx: Db,
  endpointId: string,
  revision: number,
  actor: string,
  reason: string,
): Promise<void> {
  const row = await tx
    .selectFrom('revisions as r')
    .innerJoin('endpoints as e', 'e.id', 'r.endpoint_id')
    .select(['e.project', 'e.name', 'r.model', 'r.model_version'])
    .where('r.endpoint_id', '=', endpointId)
    .where('r.number', '=', revision)
    .executeTakeFirstOrThrow();
  await moveAliasIn(tx, {
    project: row.project,
    model: row.model,
    alias: CHAMPION,
    to: row.model_version,
    actor,
    reason: `${reason}: serves endpoint ${row.name}`,
  });
}

export type RolloutAction = 'pause' | 'resume' | 'promote' | 'abort';

/** A person's hand on a rollout in flight. */
export async function actOnRollout(
  db: Db,
  project: string,
  id: string,
  action: RolloutAction,
  actor: string,
): Promise<RolloutState> {
  return db.transaction().execute(async (tx) => {
    await lockEndpointOf(tx, id);
    const rollout = await tx
      .selectFrom('rollouts')
      .selectAll()
      .where('project', '=', project)
      .where('id', '=', id)
      .forUpdate()
      .executeTakeFirst();
    if (!rollout) throw new AppError('not_found', `there is no rollout "${id}"`, { details: { rollout: id } });
    if (rollout.ended_at)
      throw new AppError('conflict', `rollout ${id} has ended: ${rollout.state.replace('_', ' ')}`, {
        details: { state: rollout.state },
      });
    switch (action) {
      case 'promote':
        await endRollout(tx, rollout, 'promoted', `promoted by ${actor}`, actor);
        return 'promoted';
      case 'abort':
        await endRollout(tx, rollout, 'aborted', `aborted by ${actor}`, actor);
        return 'aborted';
      case 'pause':
      case 'resume': {
        const state = action === 'pause' ? 'paused' : 'running';
        if (rollout.state === state) return state;
        await setRolloutState(tx, rollout, state, `${action}d by ${actor}`);
        return state;
      }
    }
  });
}

/** Pauses or resumes. Time that it was paused does not count as time in the step. */
export async function setRolloutState(
  tx: Db,
  rollout: RolloutRow,
  state: 'running' | 'paused',
  reason: string,
): Promise<void> {
  await tx
    .updateTable('rollouts')
    .set({ state, reason, ...(state === 'running' ? { step_started_at: new Date() } : {}) })
    .where('id', '=', rollout.id)
    .execute();
  await note(tx, rollout, state === 'paused' ? 'paused' : 'resumed', reason, {});
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

function split(rollout: RolloutRow, percent: number): TrafficTarget[] {
  return [
    { revision: rollout.stable, percent: 100 - percent, tag: 'stable' },
    { revision: rollout.candidate, percent, tag: 'candidate' },
  ];
}

async function route(
  tx: Db,
  rollout: { endpoint_id: string },
  targets: readonly TrafficTarget[],
  reason: string,
  actor = 'rollout',
): Promise<void> {
  const endpoint = await tx
    .selectFrom('endpoints')
    .select('deleted_at')
    .where('id', '=', rollout.endpoint_id)
    .executeTakeFirst();
  if (endpoint?.deleted_at) return;
  await setTraffic(tx, { endpointId: rollout.endpoint_id, targets, actor, reason });
}

async function note(
  tx: Db,
  rollout: { id: string; project: string; endpoint: string },
  kind: string,
  message: string,
  facts: Record<string, unknown>,
): Promise<void> {
  const { analysis } = await tx
    .selectFrom('rollouts')
    .select('analysis')
    .where('id', '=', rollout.id)
    .executeTakeFirstOrThrow();
  // what happened keeps the numbers that it was decided on
  const data = analysis ? { ...facts, verdict: analysis.kind, metrics: analysis.metrics } : facts;
  await tx
    .insertInto('rollout_events')
    .values({ rollout_id: rollout.id, kind, message, data: JSON.stringify(data) })
    .execute();
  await emit(tx, {
    project: rollout.project,
    kind: `rollout.${kind}`,
    subject: `rollout/${rollout.id}`,
    data: { rollout: rollout.id, endpoint: rollout.endpoint, message, ...data },
  });
}
