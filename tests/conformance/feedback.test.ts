/** Feedback and what follows it, on a real Postgres. */
import { beforeAll, describe, expect, it } from 'vitest';
import { adjustBandit, banditOf, overdueBandits } from '../../src/core/bandit/adjust.js';
import { getEndpoint, setTraffic, trafficHistory } from '../../src/core/endpoints/store.js';
import type { Outcome } from '../../src/core/feedback/item.js';
import { forgetFeedback, readFeedback, recordFeedback } from '../../src/core/feedback/store.js';
import { readObservations } from '../../src/core/inference/observations.js';
import { RoutingTable } from '../../src/core/inference/routing-table.js';
import type { Db } from '../../src/core/schema.js';
import { addEndpoint, migratedDatabase } from '../support/store-bench.js';
import { startTestRollout } from '../support/test-rollout.js';

let db: Db;
beforeAll(async () => {
  db = await migratedDatabase();
});

const reward = (revision: number, value: number, key?: string): Outcome => ({
  metric: 'reward',
  revision,
  value,
  key,
  at: undefined,
});
const many = (revision: number, good: number, bad: number) => [
  ...Array.from({ length: good }, () => reward(revision, 1)),
  ...Array.from({ length: bad }, () => reward(revision, 0)),
];
const rewardsOf = async (id: string, revision: number) => (await readFeedback(db, id, 3600)).get(revision)?.reward;

describe('feedback', () => {
  it('is summed, and observed of its revision', async () => {
    const id = await addEndpoint(db, 'summed');
    expect(await recordFeedback(db, id, [reward(1, 0.5), reward(1, 1), reward(2, 0, 'a')])).toBe(3);
    await recordFeedback(db, id, [{ ...reward(2, 1, 'a'), metric: 'accuracy' }]);
    expect(await rewardsOf(id, 1)).toEqual({ count: 2, sum: 1.5 });
    const observed = await readObservations(db, id, 2, new Date(Date.now() - 60_000));
    expect(observed.get('reward')).toMatchObject({ count: 1, sum: 0 });
    expect(observed.get('accuracy')).toMatchObject({ count: 1, sum: 1 });
  });

  it('is counted once under one key, within a report and over concurrent ones', async () => {
    const id = await addEndpoint(db, 'once');
    const items = Array.from({ length: 50 }, (_, at) => reward(1 + (at % 2), 1, `k${at % 25}`));
    const counted = await Promise.all(
      Array.from({ length: 8 }, (_, at) => recordFeedback(db, id, at % 2 === 0 ? items : [...items].reverse())),
    );
    expect(counted.reduce((sum, each) => sum + each, 0)).toBe(25);
    const of = [await rewardsOf(id, 1), await rewardsOf(id, 2)];
    expect(of.reduce((sum, each) => sum + (each?.count ?? 0), 0)).toBe(25);
  });

  it('is forgotten in time', async () => {
    const id = await addEndpoint(db, 'forgotten');
    await recordFeedback(db, id, [reward(1, 1, 'k')]);
    await db
      .updateTable('feedback')
      .set({ reported_at: new Date(Date.now() - 9 * 86_400_000) })
      .where('endpoint_id', '=', id)
      .execute();
    await forgetFeedback(db);
    expect(await db.selectFrom('feedback').select('key').where('endpoint_id', '=', id).execute()).toEqual([]);
    expect(await rewardsOf(id, 1)).toEqual({ count: 1, sum: 1 });
  });
});

describe('the bandit', () => {
  const routing = (bandit: object = {}) => ({ routing: { feedback: {}, bandit } });
  async function split(name: string, bandit: object = {}): Promise<string> {
    const id = await addEndpoint(db, name, 2, routing(bandit));
    const targets = [
      { revision: 1, percent: 50 },
      { revision: 2, percent: 50 },
    ];
    await db.transaction().execute((tx) => setTraffic(tx, { endpointId: id, targets, actor: 'test', reason: 'even' }));
    return id;
  }
  const sharesOf = async (name: string) =>
    (await getEndpoint(db, 'default', name)).traffic.map(({ percent }) => percent);

  it('moves traffic to the better arm, says why, and is one at a time', async () => {
    const id = await split('better');
    await recordFeedback(db, id, [...many(1, 20, 380), ...many(2, 60, 340)]);
    const now = Date.now();
    const looks = await Promise.all(Array.from({ length: 6 }, () => adjustBandit(db, id, now)));
    expect(looks.filter((next) => next !== undefined)).toEqual([now + 10_000]);
    expect(await sharesOf('better')).toEqual([2, 98]);
    const [latest, ...before] = await trafficHistory(db, id);
    expect(latest).toMatchObject({ actor: 'bandit' });
    expect(latest?.reason).toContain('revision 2 98 % (mean 0.15 of 400');
    expect(before).toHaveLength(2);
    // nothing new: the history stays as it is
    expect(await adjustBandit(db, id, now + 10_000)).toBe(now + 20_000);
    expect(await trafficHistory(db, id)).toHaveLength(3);
    expect((await banditOf(db, id))?.reason).toContain('less than 1');
  });

  it('does nothing without rewards, and nothing during a rollout', async () => {
    const id = await split('still');
    const now = Date.now();
    await adjustBandit(db, id, now);
    expect((await banditOf(db, id))?.reason).toContain('no reward was reported');
    await recordFeedback(db, id, many(2, 500, 0));
    await startTestRollout(db, 'still');
    await adjustBandit(db, id, now + 60_000);
    expect((await banditOf(db, id))?.reason).toBe('a rollout moves the traffic');
    expect(await sharesOf('still')).toEqual([50, 50]);
  });

  it('is found when it was lost, or never began; not where it is off', async () => {
    const on = await split('on');
    const off = await split('off', { enabled: false });
    const overdue = await overdueBandits(db, 3000);
    expect(overdue).toContain(on);
    expect(overdue).not.toContain(off);
    expect(await adjustBandit(db, off, Date.now())).toBeUndefined();
    await adjustBandit(db, on, Date.now());
    expect(await overdueBandits(db, 3000)).not.toContain(on);
    await db
      .updateTable('bandits')
      .set({ next_at: new Date(Date.now() - 60_000) })
      .where('endpoint_id', '=', on)
      .execute();
    expect(await overdueBandits(db, 3000)).toContain(on);
  });

  it('every endpoint has a secret of its own, which routes have that take feedback', async () => {
    const ids = [await split('s1'), await split('s2'), await addEndpoint(db, 's3')];
    const table = new RoutingTable();
    await table.reload(db);
    const secrets = ['s1', 's2', 's3'].map((name) => table.find('default', name)?.feedback?.secret);
    expect(new Set(secrets.slice(0, 2)).size).toBe(2);
    expect(secrets[0]).toHaveLength(72);
    expect(secrets[2]).toBeUndefined();
    expect(ids).toHaveLength(3);
  });
});
