import { beforeAll, describe, expect, it } from 'vitest';
import { getEndpoint } from '../../src/core/endpoints/store.js';
import { moveAlias } from '../../src/core/models/store.js';
import { approvalsOf, expirePromotions, voteOnPromotion } from '../../src/core/promotions/approve.js';
import { decidePromotion } from '../../src/core/promotions/decide.js';
import { createHook, listHooks, pullHook, revokeHook, rotateHook } from '../../src/core/promotions/hooks.js';
import { moveFollowedAlias, openForJob, requestPromotion } from '../../src/core/promotions/open.js';
import { runSchedules } from '../../src/core/promotions/schedules.js';
import { getPromotion, listPromotions } from '../../src/core/promotions/store.js';
import { actOnRollout } from '../../src/core/rollouts/actions.js';

import type { Db } from '../../src/core/schema.js';
import { functionModel, NO_GATES } from '../support/gate-bench.js';
import { addEndpoint, addVersion, migratedDatabase, outcomes } from '../support/store-bench.js';

let db: Db;
beforeAll(async () => {
  db = await migratedDatabase();
});

const loaded = functionModel(() => 1);
const decide = (id: string, meanwhile: () => Promise<unknown> = async () => {}) =>
  decidePromotion(
    {
      db,
      owner: 'w1',
      ...NO_GATES,
      enqueue: async () => {},
      sandbox: {
        async withModel(_model, use) {
          await meanwhile();
          return use(loaded);
        },
        close: async () => {},
      },
    },
    id,
    new AbortController().signal,
  );
const ask = async (endpoint: string, version: number, actor: string | null = 'ada') =>
  (await requestPromotion(db, { project: 'default', endpoint, version, actor })).id;
const vote = (promotion: string, actor: string, kind: 'approve' | 'reject' = 'approve', comment = '') =>
  voteOnPromotion(db, { project: 'default', promotion, actor, vote: kind, comment });
const shown = (id: string) => getPromotion(db, 'default', id);
/** Takes a version live, past its rollout. */
async function serve(endpoint: string, version: number) {
  const id = await ask(endpoint, version, null);
  await decide(id);
  const { rollout_id } = await shown(id);
  if (rollout_id)
    await actOnRollout(db, rollout_id, 'promote', { project: 'default', actor: 'ada', nowMs: Date.now() });
}

describe('approval', () => {
  const policy = (approval: object) => ({ policy: { gates: [], approval } });

  it('of one comes after the gates and before the rollout', async () => {
    await addEndpoint(db, 'one', 2, policy({ kind: 'one' }));
    const id = await ask('one', 2);
    await expect(vote(id, 'ada')).rejects.toMatchObject({ code: 'conflict' });
    await decide(id);
    expect(await shown(id)).toMatchObject({ state: 'awaiting_approval', champion: 1, ended_at: null });
    expect((await getEndpoint(db, 'default', 'one')).traffic).toMatchObject([{ revision: 1, percent: 100 }]);
    expect(await vote(id, 'ada', 'approve', 'looks good')).toMatchObject({ state: 'rolling' });
    expect(await shown(id)).toMatchObject({ state: 'rolling', revision: 3 });
    expect(await approvalsOf(db, id)).toMatchObject([{ actor: 'ada', verdict: 'approve', comment: 'looks good' }]);
    await expect(vote(id, 'bob')).rejects.toMatchObject({ code: 'conflict' });
  });

  it('of two takes two others than who asked, of those who may', async () => {
    await addEndpoint(db, 'two', 2, policy({ kind: 'two', by: ['ada', 'bob', 'cleo'] }));
    const id = await ask('two', 2);
    await decide(id);
    await expect(vote(id, 'ada')).rejects.toMatchObject({ code: 'forbidden' });
    await expect(vote(id, 'eve')).rejects.toMatchObject({ code: 'forbidden' });
    expect(await vote(id, 'bob')).toEqual({ state: 'awaiting_approval' });
    expect(await vote(id, 'bob')).toEqual({ state: 'awaiting_approval' });
    expect(await vote(id, 'cleo')).toMatchObject({ state: 'rolling' });
    // at once: nobody is lost, and it goes live once
    await addEndpoint(db, 'two-at-once', 2, policy({ kind: 'two' }));
    const other = await ask('two-at-once', 2);
    await decide(other);
    const raced = await outcomes(['bob', 'cleo', 'dan'].map((actor) => vote(other, actor)));
    expect(raced).toEqual({ good: 2, codes: ['conflict'] });
  });

  it('can be refused, and expires', async () => {
    await addEndpoint(db, 'refused', 3, policy({ kind: 'one' }));
    const [id, late] = [await ask('refused', 2), await ask('refused', 3)];
    await decide(id);
    await decide(late);
    expect(await vote(id, 'bob', 'reject', 'unfair')).toEqual({ state: 'rejected' });
    expect(await shown(id)).toMatchObject({ state: 'rejected', reason: 'rejected by bob: unfair' });
    expect(await expirePromotions(db)).toBe(0);
    await db
      .updateTable('promotions')
      .set({ expires_at: new Date(0) })
      .where('id', '=', late)
      .execute();
    await expect(vote(late, 'bob')).rejects.toMatchObject({ code: 'conflict' });
    expect(await expirePromotions(db)).toBe(1);
    expect(await shown(late)).toMatchObject({ state: 'expired', reason: 'not approved within 604800 s' });
  });

  it('of evidence against a version that serves no longer judges it again', async () => {
    await addEndpoint(db, 'stale', 3, policy({ kind: 'one' }));
    const id = await ask('stale', 3);
    await decide(id);
    const other = await ask('stale', 2);
    await decide(other);
    const { rolloutId = '' } = await vote(other, 'bob');
    await actOnRollout(db, rolloutId, 'promote', { project: 'default', actor: 'bob', nowMs: Date.now() });
    expect(await vote(id, 'bob')).toEqual({ state: 'pending' });
    expect(await shown(id)).toMatchObject({
      round: 1,
      champion: null,
      reason: 'judged again: its gates compared it with version 1, and version 2 is served now',
    });
    await decide(id);
    expect(await shown(id)).toMatchObject({ state: 'awaiting_approval', champion: 2 });
    // the approval of the first round is none of the second
    expect(await vote(id, 'cleo')).toMatchObject({ state: 'rolling' });
    expect((await approvalsOf(db, id)).map(({ round, actor }) => [round, actor])).toEqual([
      [0, 'bob'],
      [1, 'cleo'],
    ]);
  });
});

describe('what goes live meanwhile', () => {
  it('begins the gates anew where it is older, supersedes where it is newer', async () => {
    await addEndpoint(db, 'meanwhile', 4, { policy: { gates: [] } });
    const third = await ask('meanwhile', 3);
    await decide(third, () => serve('meanwhile', 2));
    expect(await shown(third)).toMatchObject({ state: 'pending', round: 1 });
    await decide(third, () => serve('meanwhile', 4));
    expect(await shown(third)).toMatchObject({ state: 'superseded', reason: 'version 4 went live meanwhile' });
    // who asks for an older version than what serves wants it
    const back = await ask('meanwhile', 2);
    await decide(back);
    expect((await shown(back)).state).toBe('rolling');
  });

  it('is taken over all the same where the policy says so', async () => {
    await addEndpoint(db, 'any', 3, { policy: { gates: [], newestWins: false } });
    const second = await ask('any', 2);
    await decide(second, () => serve('any', 3));
    expect((await shown(second)).state).toBe('pending');
    await decide(second);
    expect((await shown(second)).state).toBe('rolling');
  });
});

describe('triggers', () => {
  it('of jobs by their names, of aliases by theirs', async () => {
    const triggers = [
      { on: 'job_succeeded', job: 'nightly-*' },
      { on: 'alias_moved', alias: 'candidate' },
    ];
    await addEndpoint(db, 'triggered', 1, { policy: { triggers } });
    for (let version = 2; version <= 5; version++) await addVersion(db, 'triggered', `source-${version}`);
    const job = (name: string, version: number) =>
      db
        .transaction()
        .execute((tx) =>
          openForJob(tx, { project: 'default', model: 'triggered', version, job: { id: `job_${version}`, name } }),
        );
    await job('weekly-1', 2);
    await job('nightly-1', 3);
    const move = { project: 'default', model: 'triggered', actor: 'ada', reason: '' };
    expect((await moveFollowedAlias(db, { ...move, alias: 'candidate', to: 4 })).length).toBe(1);
    expect(await moveFollowedAlias(db, { ...move, alias: 'candidate', to: 4 })).toEqual([]);
    expect(await moveFollowedAlias(db, { ...move, alias: 'other', to: 5 })).toEqual([]);
    // what is served already is not promoted
    expect(await moveFollowedAlias(db, { ...move, alias: 'candidate', to: 1 })).toEqual([]);
    const opened = await listPromotions(db, 'default', { endpoint: 'triggered', limit: 10 });
    expect(opened.map(({ version, trigger, requested_by }) => ({ version, on: trigger.on, requested_by }))).toEqual([
      { version: 4, on: 'alias_moved', requested_by: 'ada' },
      { version: 3, on: 'job_succeeded', requested_by: null },
    ]);
  });

  it('of schedules once for each occurrence, and for the last that was missed', async () => {
    const at = (text: string) => Date.parse(text);
    const triggers = [{ on: 'schedule', cron: '0 3 * * *', timezone: 'Europe/Berlin' }];
    await addEndpoint(db, 'scheduled', 1, { policy: { triggers, gates: [] } });
    await addVersion(db, 'scheduled', 'next');
    const tick = (text: string) => runSchedules(db, at(text));
    expect(await tick('2026-03-01T12:00:00Z')).toEqual([]);
    expect(await tick('2026-03-02T01:59:59Z')).toEqual([]);
    const many = await Promise.all(Array.from({ length: 5 }, () => tick('2026-03-02T02:00:01Z')));
    expect(many.flat().length).toBe(1);
    const [id = ''] = many.flat();
    expect(await shown(id)).toMatchObject({
      version: 2,
      trigger: { on: 'schedule', cron: '0 3 * * *', occurrence: '2026-03-02T02:00:00.000Z' },
    });
    // a version is taken up once
    expect(await tick('2026-03-03T02:00:01Z')).toEqual([]);
    const row = () => db.selectFrom('promotion_schedules').selectAll().executeTakeFirstOrThrow();
    expect((await row()).outcome).toContain('taken up before');
    await addVersion(db, 'scheduled', 'one more');
    // three nights without a worker, and a day of daylight saving: only the last counts
    expect((await tick('2026-03-29T12:00:00Z')).length).toBe(1);
    expect(await row()).toMatchObject({
      last_at: new Date('2026-03-29T01:00:00Z'),
      next_at: new Date('2026-03-30T01:00:00Z'),
    });
    await db.updateTable('endpoints').set({ deleted_at: new Date() }).where('name', '=', 'scheduled').execute();
    expect(await tick('2026-05-01T00:00:00Z')).toEqual([]);
    expect(await db.selectFrom('promotion_schedules').selectAll().execute()).toEqual([]);
  });

  it('of hooks, until their token is another one or they are revoked', async () => {
    await addEndpoint(db, 'hooked', 1);
    await addVersion(db, 'hooked', 'next');
    await moveAlias(db, { project: 'default', model: 'hooked', alias: 'best', to: 2, actor: 'ada', reason: '' });
    const made = await createHook(db, { project: 'default', endpoint: 'hooked', name: 'ci', actor: 'ada' });
    const { id } = await pullHook(db, made.token, {});
    expect(await shown(id)).toMatchObject({ version: 2, requested_by: null, trigger: { on: 'hook', name: 'ci' } });
    expect(await pullHook(db, made.token, { alias: 'best' })).toEqual({ id, created: false });
    expect((await pullHook(db, made.token, { version: 1 })).created).toBe(true);
    for (const wanted of [{ version: 9 }, { alias: 'none' }])
      await expect(pullHook(db, made.token, wanted)).rejects.toMatchObject({ code: 'not_found' });
    const hook = { project: 'default', endpoint: 'hooked', id: made.id, actor: 'ada' };
    const { token } = await rotateHook(db, hook);
    await expect(pullHook(db, made.token, {})).rejects.toMatchObject({ code: 'not_found' });
    await pullHook(db, token, {});
    const [row] = await listHooks(db, 'default', 'hooked');
    expect(JSON.stringify(row)).not.toContain(token);
    await revokeHook(db, hook);
    await expect(pullHook(db, token, {})).rejects.toMatchObject({ code: 'not_found' });
    await expect(revokeHook(db, hook)).rejects.toMatchObject({ code: 'not_found' });
  });
});
