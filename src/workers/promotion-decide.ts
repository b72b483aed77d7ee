import type { JobHandler } from '../core/jobs.js';
import { type DecideDeps, decidePromotion } from '../core/promotions/decide.js';

/** Takes a promotion through its gates and, where they pass, live or into its rollout. */
export function createPromotionDecide(deps: DecideDeps): JobHandler<'promotion.decide'> {
  return ({ promotionId }, signal) => decidePromotion(deps, promotionId, signal);
}
