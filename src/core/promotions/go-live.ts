/**
 * The last step before traffic: a promotion whose gates have passed waits for people, or goes live, or has to be judged
 * again because what it was judged against serves no longer. One transaction that holds the endpoint, so that of two
 * promotions that end together the second sees what the first did.
 */
import { sql } from 'kysely';
import { createRevision, setTraffic } from '../endpoints/store.js';
import { crown, startRollout } from '../rollouts/moves.js';
import type { Db } from '../schema.js';
import { type InService, inService } from './champion.js';
import { APPROVALS } from './policy.js';
import { lockPromotion, type PromotionRow, settlePromotion } from './store.js';

/** What became of it, and what is to be enqueued after the commit. */
export interface Passed {
  readonly state: PromotionRow['state'];
  readonly rolloutId?: string;
}

type Locked = NonNullable<Awaited<ReturnType<typeof lockPromotion>>>;

/** The gates have passed, judged against this version; `null` where nothing was served. Undefined when it is another worker's. */
export async function gatesPassed(
  tx: Db,
  id: string,
  owner: string,
  champion: number | null,
): Promise<Passed | undefined> {
  const locked = await lockPromotion(tx, id);
  if (locked?.promotion.state !== 'gating' || locked.promotion.owner !== owner) return undefined;
  const { endpoint, promotion } = locked;
  const { approval } = endpoint.policy;
  const now = await inService(tx, endpoint);
  const passed = { endpoint, promotion: { ...promotion, champion } };
  const stopped = await stop(tx, passed, now);
  if (stopped) return stopped;
  if (APPROVALS[approval.kind] === 0) return goLive(tx, passed, now);
  const asked = approval.by ? `one of ${approval.by.join(', ')}` : 'an administrator';
  await settlePromotion(tx, id, {
    state: 'awaiting_approval',
    reason: `every gate passed; ${APPROVALS[approval.kind] === 1 ? `${asked} has to approve` : `two people have to approve, each ${asked}`}`,
    from: ['gating'],
    set: {
      champion,
      approval: JSON.stringify(approval),
      expires_at: sql<Date>`now() + ${approval.expirySec} * interval '1 second'` as unknown as Date,
    },
  });
  return { state: 'awaiting_approval' };
}

/** The people have agreed. */
export async function approved(tx: Db, locked: Locked): Promise<Passed> {
  const now = await inService(tx, locked.endpoint);
  return (await stop(tx, locked, now)) ?? goLive(tx, locked, now);
}

/** Why a newer version makes this one pointless; undefined where none does. A version that was asked for over a newer one is wanted. */
export function supersededBy(
  promotion: Pick<PromotionRow, 'version' | 'opened_over'>,
  now: InService,
): string | undefined {
  if (now.newest <= Math.max(promotion.version, promotion.opened_over)) return undefined;
  return now.champion?.version === now.newest
    ? `version ${now.newest} went live meanwhile`
    : `version ${now.newest} is on its way to take over`;
}

/** What keeps it from going live: the endpoint is gone, a newer version overtook it, or its evidence is against another champion. */
async function stop(tx: Db, { endpoint, promotion }: Locked, now: InService): Promise<Passed | undefined> {
  const settle = async (state: PromotionRow['state'], reason: string, set = {}): Promise<Passed> => {
    await settlePromotion(tx, promotion.id, { state, reason, from: ['gating', 'awaiting_approval'], set });
    return { state };
  };
  if (endpoint.deleted_at) return settle('aborted', 'the endpoint was deleted');
  const newer = endpoint.policy.newestWins ? supersededBy(promotion, now) : undefined;
  if (newer) return settle('superseded', newer);
  const champion = now.champion?.version ?? null;
  if (champion === promotion.champion) return undefined;
  const said = (version: number | null) => (version === null ? 'nothing' : `version ${version}`);
  return settle(
    'pending',
    `judged again: its gates compared it with ${said(promotion.champion)}, and ${said(champion)} is served now`,
    { round: promotion.round + 1, tries: 0, owner: null, champion: null, approval: null, expires_at: null },
  );
}

/**
 * The first version of an endpoint goes live at once; any later one starts a rollout. Revision, traffic, rollout and the
 * promotion's own state change together.
 */
async function goLive(tx: Db, { endpoint, promotion }: Locked, now: InService): Promise<Passed> {
  const { id, version } = promotion;
  const reason = `promotion ${id}: version ${version}${promotion.job_id ? ` of job ${promotion.job_id}` : ''}`;
  const candidate = await createRevision(tx, { endpointId: endpoint.id, version, reason });
  const from = ['gating', 'awaiting_approval'] as const;
  const set = { champion: promotion.champion, revision: candidate };
  if (now.champion === undefined) {
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
      from,
      set,
    });
    return { state: 'promoted' };
  }
  const rolloutId = await startRollout(
    tx,
    {
      project: endpoint.project,
      endpointId: endpoint.id,
      endpoint: endpoint.name,
      stable: now.champion.revision,
      candidate,
      plan: endpoint.policy.rollout,
      promotionId: id,
    },
    Date.now(),
  );
  const why = promotion.state === 'gating' ? 'every gate passed' : 'every gate passed, and it was approved';
  await settlePromotion(tx, id, { state: 'rolling', reason: why, from, set: { ...set, rollout_id: rolloutId } });
  return { state: 'rolling', rolloutId };
}
