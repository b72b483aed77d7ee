import { expect, test } from 'vitest';
import { requestPromotion } from '../../src/core/promotions/open.js';
import { getPromotion } from '../../src/core/promotions/store.js';
import { AppError } from '../../src/errors.js';
import { createPromotionDecide } from '../../src/workers/promotion-decide.js';
import { NO_GATES } from '../support/gate-bench.js';
import { addEndpoint, migratedDatabase } from '../support/store-bench.js';

test('a promotion whose model server is killed in a gate is free for the next delivery at once', async () => {
  const db = await migratedDatabase();
  await addEndpoint(db, 'gated', 2);
  const { id } = await requestPromotion(db, { project: 'default', endpoint: 'gated', version: 2, actor: 'ada' });
  let deliveries = 0;
  const decide = createPromotionDecide({
    db,
    owner: 'w1',
    ...NO_GATES,
    enqueue: async () => {},
    sandbox: {
      async withModel(_artifact, use) {
        if (++deliveries === 1) throw new AppError('upstream_failed', 'the model server went away before it answered');
        const forward = () => {
          throw new Error('nobody asks');
        };
        return use({ signature: { inputs: [], outputs: [] }, forward, loadMs: 1, memoryBytes: async () => undefined });
      },
      close: async () => {},
    },
  });
  const { signal } = new AbortController();
  await expect(decide({ promotionId: id }, signal)).rejects.toThrow('went away');
  expect((await getPromotion(db, 'default', id)).state).toBe('pending');
  await decide({ promotionId: id }, signal);
  expect((await getPromotion(db, 'default', id)).state).toBe('rolling');
});
