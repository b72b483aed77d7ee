/** One promotion from claim to its end or its rollout. */

import { messageOf } from '../../errors.js';
import { newId } from '../id.js';
import type { Enqueue } from '../jobs.js';
import { servable } from '../models/model.js';
import { getVersion } from '../models/store.js';
import type { Db } from '../schema.js';
import { inService } from './champion.js';
import { gatesPassed, type Passed, supersededBy } from './go-live.js';
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
  const newer = endpoint.policy.newestWins ? supersededBy(promotion, await inService(db, endpoint)) : undefined;
  if (newer) {
    await db
      .transaction()
      .execute((tx) => settlePromotion(tx, id, { state: 'superseded', reason: newer, from: ['gating'], owner }));
    return;
  }
  const version = await getVersion(db, promotion.project, promotion.model, promotion.version);
  const serving = await servingOf(db, endpoint);

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
        subject: {
          promotion: id,
          endpoint: endpoint.name,
          model: promotion.model,
          version: promotion.version,
          round: promotion.round,
        },
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
    // what it settles into may be claimed at once, also by this worker
    clearInterval(heart);
    if (!outcome.passed) {
      await db
        .transaction()
        .execute((tx) =>
          settlePromotion(tx, id, { state: 'rejected', reason: outcome.reason, from: ['gating'], owner }),
        );
      return;
    }
    const passed = await db.transaction().execute((tx) => gatesPassed(tx, id, owner, serving?.version ?? null));
    if (passed) await enqueueNext(deps.enqueue, id, passed);
  } catch (error) {
    if (!stop.aborted) await noteFailure(db, id, owner, messageOf(error)).catch(() => {});
    throw error;
  } finally {
    clearInterval(heart);
  }
}

/** Tells the workers of what a promotion became. */
export async function enqueueNext(enqueue: Enqueue, id: string, { state, rolloutId }: Passed): Promise<void> {
  if (rolloutId) await enqueue('rollout.advance', { rolloutId }, { id: `${rolloutId}-0` });
  // not under its own name: this delivery may still be held
  else if (state === 'pending') await enqueue('promotion.decide', { promotionId: id }, { id: newId(id) });
}

/** What the endpoint's stable side serves, as gates compare with it. */
async function servingOf(db: Db, endpoint: Parameters<typeof inService>[1]) {
  const { champion } = await inService(db, endpoint);
  if (!champion) return undefined;
  const row = await db
    .selectFrom('revisions as r')
    .innerJoin('endpoints as e', 'e.id', 'r.endpoint_id')
    .innerJoin('model_versions as v', (join) =>
      join
        .onRef('v.project', '=', 'e.project')
        .onRef('v.model', '=', 'r.model')
        .onRef('v.version', '=', 'r.model_version'),
    )
    .select(['r.artifact', 'r.server', 'v.signature'])
    .where('r.endpoint_id', '=', endpoint.id)
    .where('r.number', '=', champion.revision)
    .executeTakeFirstOrThrow();
  return { model: servable(row), signature: row.signature, version: champion.version };
}
