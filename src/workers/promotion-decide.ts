import type { JobHandler } from '../core/jobs.js';
import { type DecideDeps, decidePromotion } from '../core/promotions/decide.js';
import { releasePromotion } from '../core/promotions/store.js';
import { patiently } from './patiently.js';

/** Takes a promotion through its gates and, where they pass, live or into its rollout. */
export function createPromotionDecide(deps: DecideDeps): JobHandler<'promotion.decide'> {
  return async ({ promotionId }, signal) => {
    try {
      await decidePromotion(deps, promotionId, signal);
    } catch (error) {
      // the next delivery finds it free, instead of waiting until this worker has been silent for long enough
      await patiently(() => releasePromotion(deps.db, promotionId, deps.owner), signal).catch(() => {});
      throw error;
    }
  };
}
