/** What people say to a promotion that has passed its gates. */
import { sql } from 'kysely';
import { AppError } from '../../errors.js';
import { emit } from '../events/store.js';
import type { Db } from '../schema.js';
import { approved, type Passed } from './go-live.js';
import { APPROVALS, type Approval } from './policy.js';
import type { Vote } from './promotion.js';
import { lockPromotion, type PromotionRow, settlePromotion } from './store.js';

export interface Ballot {
  readonly project: string;
  readonly promotion: string;
  readonly actor: string;
  readonly vote: Vote;
  readonly comment: string;
}

/** Why somebody may not vote on a promotion; undefined where they may. */
export function mayNotVote(
  approval: Approval,
  promotion: Pick<PromotionRow, 'requested_by'>,
  { actor, vote }: Pick<Ballot, 'actor' | 'vote'>,
): string | undefined {
  if (approval.by && !approval.by.includes(actor))
    return `"${actor}" is none of those who may approve: ${approval.by.join(', ')}`;
  // whoever asked for it may always take it back
  if (vote === 'approve' && approval.kind === 'two' && promotion.requested_by === actor)
    return `"${actor}" asked for this promotion: two others have to approve`;
  return undefined;
}

/**
 * Notes an approval, and lets the promotion go live with the last one that is needed, unless what it was judged against is
 * served no longer: then its gates begin anew, and so do the approvals. A rejection ends it. Saying it twice changes nothing.
 */
export async function voteOnPromotion(db: Db, ballot: Ballot): Promise<Passed> {
  const { project, promotion: id, actor, vote, comment } = ballot;
  return db.transaction().execute(async (tx) => {
    const locked = await lockPromotion(tx, id);
    if (!locked || locked.promotion.project !== project)
      throw new AppError('not_found', `there is no promotion "${id}"`, { details: { promotion: id } });
    const { promotion } = locked;
    const { approval, round } = promotion;
    if (promotion.state !== 'awaiting_approval' || !approval) {
      throw new AppError('conflict', `promotion ${id} does not wait for approval: it is ${promotion.state}`, {
        details: { state: promotion.state },
      });
    }
    if (promotion.expires_at && promotion.expires_at.getTime() <= Date.now())
      throw new AppError('conflict', `promotion ${id} could be approved until ${promotion.expires_at.toISOString()}`);
    const refused = mayNotVote(approval, promotion, ballot);
    if (refused) throw new AppError('forbidden', refused, { details: { promotion: id, actor } });
    await tx
      .insertInto('promotion_approvals')
      .values({ promotion_id: id, round, actor, verdict: vote, comment })
      .onConflict((conflict) =>
        conflict
          .columns(['promotion_id', 'round', 'actor'])
          .doUpdateSet({ verdict: vote, comment, at: sql<Date>`clock_timestamp()` }),
      )
      .execute();
    if (vote === 'reject') {
      const reason = `rejected by ${actor}${comment && `: ${comment}`}`;
      await settlePromotion(tx, id, { state: 'rejected', reason, from: ['awaiting_approval'] });
      return { state: 'rejected' };
    }
    await emit(tx, {
      project,
      kind: 'promotion.approved',
      subject: `promotion/${id}`,
      data: { promotion: id, endpoint: promotion.endpoint, version: promotion.version, actor, comment },
    });
    const votes = (await approvalsOf(tx, id)).filter((one) => one.round === round && one.verdict === 'approve');
    return votes.length >= APPROVALS[approval.kind] ? approved(tx, locked) : { state: 'awaiting_approval' };
  });
}

/** All votes on a promotion, oldest first. */
export async function approvalsOf(db: Db, id: string) {
  return db.selectFrom('promotion_approvals').selectAll().where('promotion_id', '=', id).orderBy('at').execute();
}

/** Ends promotions that nobody approved in time. Answers how many. */
export async function expirePromotions(db: Db): Promise<number> {
  return db.transaction().execute(async (tx) => {
    const late = await tx
      .selectFrom('promotions')
      .select(['id', 'approval'])
      .where('state', '=', 'awaiting_approval')
      .where('expires_at', '<=', sql<Date>`now()`)
      .forUpdate()
      .skipLocked()
      .execute();
    for (const { id, approval } of late) {
      const reason = `not approved within ${approval?.expirySec} s`;
      await settlePromotion(tx, id, { state: 'expired', reason, from: ['awaiting_approval'] });
    }
    return late.length;
  });
}
