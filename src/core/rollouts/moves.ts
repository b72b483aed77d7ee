/**
 * What moves a rollout. Each is made within the caller's transaction, which holds the endpoint and the rollout: a worker that
 * dies in the middle leaves nothing of it behind, and two never move one at once.
 */
import type { TrafficTarget } from '../endpoints/endpoint.js';
import { keepWarm, limitReplicas } from '../endpoints/replica-bounds.js';
import { setTraffic } from '../endpoints/store.js';
import { emit } from '../events/store.js';
import { newId } from '../id.js';
import { CHAMPION } from '../models/champion.js';
import { moveAliasIn } from '../models/store.js';
import { settlePromotion } from '../promotions/store.js';
import type { Db } from '../schema.js';
import { type RolloutPlan, type Step, stanceAt, stepsOf, wordsOf } from './plan.js';
import { readReplicas } from './replicas.js';
import type { RolloutKind } from './rollout.js';
import { lockInFlight, type RolloutRow } from './store.js';

/** How far ahead a revision in a rollout is kept warm; renewed while the rollout lives. */
export const WARM_AHEAD_MS = 10 * 60_000;

export interface NewRollout {
  readonly project: string;
  readonly endpointId: string;
  readonly endpoint: string;
  readonly stable: number;
  readonly candidate: number;
  readonly plan: RolloutPlan;
  readonly promotionId: string | null;
  /** `rollout` by default. */
  readonly kind?: RolloutKind;
  /** The rollout that this one tries again. */
  readonly retryOf?: string;
  /** Of whoever asked for it; the platform by default. */
  readonly actor?: string;
}

/** Starts a rollout. A newer candidate replaces the one in flight, which goes back to stable first. */
export async function startRollout(tx: Db, input: NewRollout, nowMs: number): Promise<string> {
  await tx.selectFrom('endpoints').select('id').where('id', '=', input.endpointId).forUpdate().execute();
  const inFlight = await lockInFlight(tx, input.endpointId);
  if (inFlight) await endRollout(tx, inFlight, 'aborted', `replaced by revision ${input.candidate}`, 'rollout', nowMs);
  const id = newId('ro');
  const { held } = await readReplicas(tx, input.endpointId, input.stable, nowMs);
  const replicas = Math.max(1, held);
  const { kind = 'rollout' } = input;
  await tx
    .insertInto('rollouts')
    .values({
      id,
      project: input.project,
      endpoint_id: input.endpointId,
      endpoint: input.endpoint,
      candidate: input.candidate,
      stable: input.stable,
      kind,
      retry_of: input.retryOf ?? null,
      plan: JSON.stringify(input.plan),
      replicas,
      state: 'running',
      step: -1,
      slow_ms: null,
      reason: '',
      promotion_id: input.promotionId,
      step_started_at: new Date(nowMs),
      next_at: new Date(nowMs),
    })
    .execute();
  const squeezed = kind === 'rollout' && stepsOf(input.plan, replicas)[0]?.kind === 'room';
  // a candidate for which there is no room yet must not start by the first request that asks for it
  await limitReplicas(tx, input.endpointId, input.candidate, squeezed ? 0 : null);
  await warmBoth(tx, input, nowMs);
  const what = kind === 'rollback' ? `back to revision ${input.candidate}` : `revision ${input.candidate}`;
  await note(
    tx,
    { id, project: input.project, endpoint: input.endpoint },
    'started',
    `${what} against revision ${input.stable}${input.actor ? `, by ${input.actor}` : ''}`,
    { candidate: input.candidate, stable: input.stable, kind },
  );
  return id;
}

/** Renews the time that both revisions stay warm. */
export async function warmBoth(
  tx: Db,
  rollout: { readonly endpointId: string; readonly stable: number; readonly candidate: number },
  nowMs: number,
): Promise<void> {
  const until = new Date(nowMs + WARM_AHEAD_MS);
  await keepWarm(tx, rollout.endpointId, rollout.stable, until);
  await keepWarm(tx, rollout.endpointId, rollout.candidate, until);
}

/** What the effects of a step need to know. */
export interface StepContext {
  readonly steps: readonly Step[];
  readonly step: number;
  readonly reason: string;
  /** Of a step that asks for replicas: so many. */
  readonly replicas: number;
  readonly nowMs: number;
}

/** Enters a step: its share, its copies, its replicas, or its pause. */
export async function enterStep(tx: Db, rollout: RolloutRow, context: StepContext): Promise<void> {
  const { steps, reason, nowMs } = context;
  const step = steps[context.step] as Step;
  const stance = stanceAt(steps, context.step);
  const before = stanceAt(steps, context.step - 1);
  if (stance.percent !== before.percent || stance.shadow !== before.shadow)
    await route(tx, rollout, split(rollout, stance), `rollout ${rollout.id}: ${wordsOf(step)}`);
  switch (step.kind) {
    case 'room':
      await limitReplicas(tx, rollout.endpoint_id, rollout.stable, step.stable);
      break;
    case 'grow':
      await limitReplicas(tx, rollout.endpoint_id, rollout.candidate, step.candidate);
      await keepWarm(tx, rollout.endpoint_id, rollout.candidate, new Date(nowMs + WARM_AHEAD_MS), step.candidate);
      break;
    case 'scale':
      await keepWarm(tx, rollout.endpoint_id, rollout.candidate, new Date(nowMs + WARM_AHEAD_MS), context.replicas);
      break;
  }
  const now = new Date(nowMs);
  const waits = step.kind === 'pause' && step.durationSec === undefined;
  // what waited for the candidate to start says nothing of how it answers
  const compared = step.kind === 'weight' && !rollout.compared_since;
  await tx
    .updateTable('rollouts')
    .set({
      step: context.step,
      step_started_at: now,
      reason: waits ? 'waits for a person: resume it to go on' : reason,
      ...(waits ? { state: 'paused' as const } : {}),
      ...(compared ? { compared_since: now } : {}),
    })
    .where('id', '=', rollout.id)
    .execute();
  const data = { step: context.step, of: steps.length, percent: stance.percent, shadowPercent: stance.shadow };
  await note(tx, rollout, 'step', `${wordsOf(step)}: ${reason}`, data);
  if (waits) await note(tx, rollout, 'paused', 'waits for a person: resume it to go on', data);
}

/** Keeps everything as it is and says why. */
export async function holdRollout(tx: Db, rollout: RolloutRow, reason: string): Promise<void> {
  await tx.updateTable('rollouts').set({ reason }).where('id', '=', rollout.id).execute();
}

/**
 * Ends a rollout: promoted gives the candidate everything, moves the champion alias and keeps the old revision warm
 * through the bake time; anything else gives stable everything back. No state in between is ever seen.
 */
export async function endRollout(
  tx: Db,
  rollout: RolloutRow,
  state: 'promoted' | 'rolled_back' | 'aborted',
  reason: string,
  actor: string,
  nowMs: number,
): Promise<void> {
  const promoted = state === 'promoted';
  const winner = promoted ? rollout.candidate : rollout.stable;
  const loser = promoted ? rollout.stable : rollout.candidate;
  const { endpoint_id: endpointId, plan } = rollout;
  const targets = [{ revision: winner, percent: 100 }];
  await route(tx, rollout, targets, `rollout ${rollout.id} ${state.replace('_', ' ')}: ${reason}`, actor);
  const squeezed = plan.surge !== undefined && plan.surge !== 'surge' && rollout.kind === 'rollout';
  const baked = promoted ? new Date(nowMs + plan.bakeSec * 1000) : null;
  await limitReplicas(tx, endpointId, winner, null);
  await keepWarm(tx, endpointId, winner, baked ?? (squeezed ? new Date(nowMs + WARM_AHEAD_MS) : null));
  // where there is no room for two, the one that lost is gone at once
  await limitReplicas(tx, endpointId, loser, squeezed ? 0 : null);
  // the way back after a switch of everything is as wide as the way there
  const wide = plan.strategy === 'blue_green' && promoted ? rollout.replicas : 1;
  await keepWarm(tx, endpointId, loser, squeezed ? null : baked, wide);
  await tx
    .updateTable('rollouts')
    .set({ state, reason, ended_at: new Date(nowMs) })
    .where('id', '=', rollout.id)
    .execute();
  if (promoted) await crown(tx, endpointId, winner, actor, `rollout ${rollout.id}`);
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

/** Pauses or resumes. Time that it was paused does not count as time in the step. */
export async function setRolloutState(
  tx: Db,
  rollout: RolloutRow,
  state: 'running' | 'paused',
  reason: string,
  nowMs: number,
): Promise<void> {
  await tx
    .updateTable('rollouts')
    .set({ state, reason, ...(state === 'running' ? { step_started_at: new Date(nowMs) } : {}) })
    .where('id', '=', rollout.id)
    .execute();
  await note(tx, rollout, state === 'paused' ? 'paused' : 'resumed', reason, {});
}

function split(rollout: RolloutRow, { percent, shadow }: ReturnType<typeof stanceAt>): TrafficTarget[] {
  return [
    { revision: rollout.stable, percent: 100 - percent, tag: 'stable' },
    { revision: rollout.candidate, percent, tag: 'candidate', ...(shadow > 0 ? { shadowPercent: shadow } : {}) },
  ];
}

async function route(
  tx: Db,
  rollout: { readonly endpoint_id: string },
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
  rollout: { readonly id: string; readonly project: string; readonly endpoint: string },
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
