/** A person's hand on rollouts: those in flight, those that ended, and the way back. */
import { AppError } from '../../errors.js';
import { mainTarget } from '../endpoints/endpoint.js';
import { limitReplicas } from '../endpoints/replica-bounds.js';
import { getEndpoint, lockEndpoint, setTraffic, trafficHistory } from '../endpoints/store.js';
import type { Db } from '../schema.js';
import { crown, endRollout, setRolloutState, startRollout } from './moves.js';
import { type RolloutPlan, rolloutPlanSchema } from './plan.js';
import { readReplicas } from './replicas.js';
import type { RolloutState } from './rollout.js';
import { getRollout, lockEndpointOf, lockInFlight } from './store.js';

export type RolloutAction = 'pause' | 'resume' | 'promote' | 'abort';

/** Who does it, and when. */
export interface Hand {
  readonly project: string;
  readonly actor: string;
  readonly nowMs: number;
}

/** Acts on a rollout in flight. Answers its state. */
export async function actOnRollout(db: Db, id: string, action: RolloutAction, hand: Hand): Promise<RolloutState> {
  const { project, actor, nowMs } = hand;
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
        await endRollout(tx, rollout, 'promoted', `promoted by ${actor}`, actor, nowMs);
        return 'promoted';
      case 'abort':
        await endRollout(tx, rollout, 'aborted', `aborted by ${actor}`, actor, nowMs);
        return 'aborted';
      case 'pause':
      case 'resume': {
        const state = action === 'pause' ? 'paused' : 'running';
        if (rollout.state === state) return state;
        await setRolloutState(tx, rollout, state, `${action}d by ${actor}`, nowMs);
        return state;
      }
    }
  });
}

/** Starts a rollout to a revision that is there already, by the endpoint's plan or another one. Answers its id. */
export async function startByHand(
  db: Db,
  endpointName: string,
  { revision, plan }: { readonly revision: number; readonly plan?: RolloutPlan | undefined },
  { project, actor, nowMs }: Hand,
): Promise<string> {
  return db.transaction().execute(async (tx) => {
    const endpoint = await lockEndpoint(tx, project, endpointName);
    const stable = await stableOf(tx, endpoint);
    requireRevision(endpoint, revision);
    requireAnother(endpoint, stable, revision);
    const { id: endpointId, name } = endpoint;
    return startRollout(
      tx,
      {
        project,
        endpointId,
        endpoint: name,
        stable,
        candidate: revision,
        plan: plan ?? endpoint.policy.rollout,
        promotionId: null,
        actor,
      },
      nowMs,
    );
  });
}

/** Starts a rollout that did not end in a promotion once more, against what is stable now. Answers the new one's id. */
export async function retryRollout(db: Db, id: string, { project, actor, nowMs }: Hand): Promise<string> {
  return db.transaction().execute(async (tx) => {
    const before = await getRollout(tx, project, id);
    const endpoint = await lockEndpoint(tx, project, before.endpoint);
    if (endpoint.id !== before.endpoint_id)
      throw new AppError('conflict', `the endpoint of rollout ${id} was deleted; "${before.endpoint}" is another one`);
    if (before.ended_at === null || before.state === 'promoted')
      throw new AppError('conflict', `rollout ${id} is ${before.state}: only one that did not succeed can be retried`, {
        details: { state: before.state },
      });
    const stable = await stableOf(tx, endpoint);
    requireAnother(endpoint, stable, before.candidate);
    const { candidate, plan, kind } = before;
    return startRollout(
      tx,
      {
        project,
        endpointId: endpoint.id,
        endpoint: endpoint.name,
        stable,
        candidate,
        plan,
        kind,
        promotionId: null,
        retryOf: id,
        actor,
      },
      nowMs,
    );
  });
}

export interface RollbackRequest {
  /** The one that served everything before, by default. */
  readonly revision?: number | undefined;
  /** At once, even if no replica of it is ready: requests wait for one. */
  readonly force?: boolean | undefined;
  readonly reason?: string | undefined;
}

export interface RollbackAnswer {
  readonly revision: number;
  /** Of a way back that has to wait for the revision to get ready; null when all traffic is there already. */
  readonly rollout: string | null;
}

/**
 * Takes an endpoint back to an earlier revision: at once where that is ready, else as soon as it is. It is a way back to
 * what was good, so there are no steps and no analysis. A rollout in flight is aborted, and without a revision that is all.
 */
export async function rollBack(
  db: Db,
  endpointName: string,
  request: RollbackRequest,
  { project, actor, nowMs }: Hand,
): Promise<RollbackAnswer> {
  return db.transaction().execute(async (tx) => {
    const endpoint = await lockEndpoint(tx, project, endpointName);
    const why = request.reason ? `: ${request.reason}` : '';
    const inFlight = await lockInFlight(tx, endpoint.id);
    if (inFlight) {
      await endRollout(tx, inFlight, 'aborted', `rolled back by ${actor}${why}`, actor, nowMs);
      if (request.revision === undefined || request.revision === inFlight.stable)
        return { revision: inFlight.stable, rollout: null };
    }
    const now = await getEndpoint(tx, project, endpointName);
    const stable = await stableOf(tx, now);
    const revision = request.revision ?? (await servedBefore(tx, now, stable));
    requireRevision(now, revision);
    requireAnother(now, stable, revision);
    const { ready } = await readReplicas(tx, now.id, revision, nowMs);
    if (ready > 0 || request.force) {
      const reason = `rolled back by ${actor}${why}`;
      await setTraffic(tx, { endpointId: now.id, targets: [{ revision, percent: 100 }], actor, reason });
      await limitReplicas(tx, now.id, revision, null);
      await crown(tx, now.id, revision, actor, reason);
      return { revision, rollout: null };
    }
    const { surge: _surge, ...plan } = now.policy.rollout;
    const rollout = await startRollout(
      tx,
      {
        project,
        endpointId: now.id,
        endpoint: now.name,
        stable,
        candidate: revision,
        plan: rolloutPlanSchema.parse(plan),
        kind: 'rollback',
        promotionId: null,
        actor,
      },
      nowMs,
    );
    return { revision, rollout };
  });
}

type Endpoint = Awaited<ReturnType<typeof getEndpoint>>;

/** The revision that is rolled back to when something is wrong: that of the rollout in flight, else that with most traffic. */
export async function stableOf(tx: Db, endpoint: Endpoint): Promise<number> {
  const inFlight = await lockInFlight(tx, endpoint.id);
  const stable = inFlight?.stable ?? mainTarget(endpoint.traffic)?.revision;
  if (stable === undefined)
    throw new AppError(
      'conflict',
      `endpoint "${endpoint.name}" serves nothing yet: set its traffic, or promote a version`,
    );
  return stable;
}

/** The last revision before this one that had all the traffic. */
async function servedBefore(tx: Db, { id, name }: Endpoint, stable: number): Promise<number> {
  for (const { traffic } of await trafficHistory(tx, id)) {
    const whole = traffic.find(({ percent }) => percent === 100);
    if (whole && whole.revision !== stable) return whole.revision;
  }
  throw new AppError('conflict', `endpoint "${name}" has only ever served revision ${stable}: there is no way back`);
}

function requireRevision({ name, last_revision: last }: Endpoint, revision: number): void {
  if (revision <= last) return;
  throw new AppError('not_found', `endpoint "${name}" has no revision ${revision}; the last is ${last}`, {
    details: { revision },
  });
}

function requireAnother({ name }: Endpoint, stable: number, revision: number): void {
  if (revision !== stable) return;
  throw new AppError('conflict', `revision ${revision} is what endpoint "${name}" serves already`, {
    details: { revision },
  });
}
