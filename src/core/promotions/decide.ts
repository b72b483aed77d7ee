/** One promotion from claim to its end or its rollout. */

import { messageOf } from '../../errors.js';
import { createRevision, setTraffic } from '../endpoints/store.js';
import type { Enqueue } from '../jobs.js';
import { servable } from '../models/model.js';
import { getVersion } from '../models/store.js';
import { crown, startRollout } from '../rollouts/moves.js';
import { rolloutInFlight } from '../rollouts/store.js';
import type { Db } from '../schema.js';
import { type GateDeps, runGates } from './run-gates.js';
import { claimPromotion, noteFailure, noteGates, settlePromotion } from './store.js';

/** A worker that has not been heard of for this long has lost its promotion. */
export const PROMOTION_SILENCE_MS = 15_000;
const HEARTBEAT_MS = 3000;
/** Workers, servers and databases may fail in the middle; what fails this often fails by itself. */
const MAX_TRIES = 8;

export interface DecideDeps extends GateDeps {
  readonly enqueue: Enqueue;
  /** This worker. */
  readonly owner: string;
}

/** Does nothing when the promotion is another worker's, or ended. Safe to be cut off anywhere: another worker begins anew. */
export async function decidePromotion(deps: DecideDeps, id: string, signal: AbortSignal): Promise<void> {
  const { db, owner } = deps;
  const promotion = await claimPromotion(db, id, owner, PROMOTION_SILENCE_MS);
  if (!promotion) return;
  if (promotion.tries > MAX_TRIES) {
    const reason = `its gates could not be finished in ${MAX_TRIES} tries${promotion.reason && `: ${promotion.reason}`}`;
    await db
      .transaction()
      .execute((tx) => settlePromotion(tx, id, { state: 'failed', reason, from: ['gating'], owner }));
    return;
  }
  const endpoint = await db
    .selectFrom('endpoints')
    .selectAll()
    .where('id', '=', promotion.endpoint_id)
    .executeTakeFirstOrThrow();
  const version = await getVersion(db, promotion.project, promotion.model, promotion.version);
  const serving = await servingNow(db, promotion.endpoint_id);

  const lost = new AbortController();
  const stop = AbortSignal.any([signal, lost.signal]);
  let results: Parameters<typeof noteGates>[3] = [];
  const note = async () => {
    if (!(await noteGates(db, id, owner, results))) lost.abort(new Error('another worker took the promotion over'));
  };
  const heart = setInterval(() => void note().catch(() => {}), HEARTBEAT_MS);
  try {
    const outcome = await runGates(
      deps,
      {
        project: promotion.project,
        gates: endpoint.policy.gates,
        candidate: { model: servable(version), metrics: version.metrics },
        serving,
      },
      async (soFar) => {
        results = [...soFar];
        await note();
      },
      stop,
    );
    stop.throwIfAborted();
    if (!outcome.passed) {
      await db
        .transaction()
        .execute((tx) =>
          settlePromotion(tx, id, { state: 'rejected', reason: outcome.reason, from: ['gating'], owner }),
        );
      return;
    }
    const rolloutId = await db.transaction().execute((tx) => takeLive(tx, id, owner));
    if (rolloutId) await deps.enqueue('rollout.advance', { rolloutId }, { id: `${rolloutId}-0` });
  } catch (error) {
    if (!stop.aborted) await noteFailure(db, id, owner, messageOf(error)).catch(() => {});
    throw error;
  } finally {
    clearInterval(heart);
  }
}

/** What the endpoint's stable side serves: the target with the largest share. */
async function servingNow(db: Db, endpointId: string) {
  const endpoint = await db
    .selectFrom('endpoints')
    .select(['project', 'model', 'traffic'])
    .where('id', '=', endpointId)
    .executeTakeFirstOrThrow();
  const main = [...endpoint.traffic].sort((a, b) => b.percent - a.percent)[0];
  if (!main) return undefined;
  const row = await db
    .selectFrom('revisions as r')
    .innerJoin('model_versions as v', (join) =>
      join
        .onRef('v.model', '=', 'r.model')
        .onRef('v.version', '=', 'r.model_version')
        .on('v.project', '=', endpoint.project),
    )
    .select(['r.artifact', 'r.server', 'r.model_version', 'v.signature'])
    .where('r.endpoint_id', '=', endpointId)
    .where('r.number', '=', main.revision)
    .executeTakeFirstOrThrow();
  return { model: servable(row), signature: row.signature, version: row.model_version };
}

/**
 * The first version of an endpoint goes live at once; any later one starts a rollout. Revision, traffic, rollout and the
 * promotion's own state change together. Answers the rollout's id, if one began.
 */
async function takeLive(tx: Db, id: string, owner: string): Promise<string | undefined> {
  // the endpoint first, as everybody who changes what hangs on it
  const endpoint = await tx
    .selectFrom('endpoints')
    .selectAll()
    .where('id', '=', (eb) => eb.selectFrom('promotions').select('endpoint_id').where('id', '=', id))
    .forUpdate()
    .executeTakeFirstOrThrow();
  const promotion = await tx
    .selectFrom('promotions')
    .selectAll()
    .where('id', '=', id)
    .where('state', '=', 'gating')
    .where('owner', '=', owner)
    .forUpdate()
    .executeTakeFirst();
  if (!promotion) return undefined;
  if (endpoint.deleted_at) {
    await settlePromotion(tx, id, { state: 'aborted', reason: 'the endpoint was deleted', from: ['gating'] });
    return undefined;
  }
  const reason = `promotion ${id}: version ${promotion.version}${promotion.job_id ? ` of job ${promotion.job_id}` : ''}`;
  const candidate = await createRevision(tx, { endpointId: endpoint.id, version: promotion.version, reason });
  const inFlight = await rolloutInFlight(tx, endpoint.id);
  const stable = inFlight
    ? (await tx.selectFrom('rollouts').select('stable').where('id', '=', inFlight).executeTakeFirstOrThrow()).stable
    : [...endpoint.traffic].sort((a, b) => b.percent - a.percent)[0]?.revision;
  if (stable === undefined) {
    await setTraffic(tx, {
      endpointId: endpoint.id,
      targets: [{ revision: candidate, percent: 100 }],
      actor: 'promotion',
      reason,
    });
    await crown(tx, endpoint.id, candidate, 'promotion', reason);
    await settlePromotion(tx, id, {
      state: 'promoted',
      reason: 'first version of the endpoint: live at once',
      from: ['gating'],
    });
    return undefined;
  }
  const rolloutId = await startRollout(
    tx,
    {
      project: endpoint.project,
      endpointId: endpoint.id,
      endpoint: endpoint.name,
      stable,
      candidate,
      plan: endpoint.policy.rollout,
      promotionId: id,
    },
    Date.now(),
  );
  await settlePromotion(tx, id, { state: 'rolling', reason: 'every gate passed', rolloutId, from: ['gating'] });
  return rolloutId;
}
