import { beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock.js';
import { createRevision, deleteEndpoint, getEndpoint, trafficHistory } from '../../src/core/endpoints/store.js';
import { listAliases } from '../../src/core/models/store.js';
import { decidePromotion } from '../../src/core/promotions/decide.js';
import { openForJob, requestPromotion } from '../../src/core/promotions/open.js';
import {
  claimPromotion,
  disownPromotions,
  getPromotion,
  listPromotions,
  noteGates,
  overduePromotions,
  settlePromotion,
} from '../../src/core/promotions/store.js';
import { actOnRollout } from '../../src/core/rollouts/actions.js';
import { advanceRollout } from '../../src/core/rollouts/advance.js';
import { LATENCY_BOUNDS_MS, latencyBucket } from '../../src/core/rollouts/analysis.js';
import { endRollout, startRollout } from '../../src/core/rollouts/moves.js';
import { rolloutPlanSchema } from '../../src/core/rollouts/plan.js';
import { getRollout, lockRollout, rolloutEvents } from '../../src/core/rollouts/store.js';
import type { Db } from '../../src/core/schema.js';
import { AppError } from '../../src/errors.js';
import { NO_GATES } from '../support/gate-bench.js';
import { addEndpoint, addVersion, migratedDatabase, outcomes } from '../support/store-bench.js';

const HAND = { project: 'default', actor: 'ada', nowMs: Date.now() };

let db: Db;
beforeAll(async () => {
  db = await migratedDatabase();
});

/** The machine's time and so much more: steps pass without waiting for them. */
function clockAhead() {
  let ahead = 0;
  const skip = (ms: number) => {
    ahead += ms;
  };
  return { clock: { ...systemClock, now: () => Date.now() + ahead }, skip };
}

function start(endpointId: string, name: string, candidate = 2, plan: object = {}, promotionId: string | null = null) {
  return db.transaction().execute((tx) =>
    startRollout(
      tx,
      {
        project: 'default',
        endpointId,
        endpoint: name,
        stable: 1,
        candidate,
        plan: rolloutPlanSchema.parse(plan),
        promotionId,
      },
      Date.now(),
    ),
  );
}

async function ready(
  endpointId: string,
  revision: number,
  count: number,
  problem = '',
  at = new Date(),
): Promise<void> {
  const set = { ready: count, starting: 0, failing: problem !== '', message: problem, updated_at: at };
  await db
    .insertInto('revision_status')
    .values({ endpoint_id: endpointId, revision, gateway: 'gw', ...set })
    .onConflict((conflict) => conflict.columns(['endpoint_id', 'revision', 'gateway']).doUpdateSet(set))
    .execute();
}

let serial = 0;

/** Requests that a revision answered at a moment: 5 ms each, so many of them failed. */
async function answered(endpointId: string, revision: number, requests: number, errors = 0, at = Date.now()) {
  const latency = new Array<number>(LATENCY_BOUNDS_MS.length + 1).fill(0);
  latency[latencyBucket(5)] = requests;
  const second = new Date(Math.floor(at / 1000) * 1000 + 1000);
  await db
    .insertInto('revision_stats')
    .values({ endpoint_id: endpointId, revision, gateway: `gw${++serial}`, second, requests, errors, latency })
    .execute();
}

const trafficOf = async (name: string) =>
  (await getEndpoint(db, 'default', name)).traffic.map(({ revision, percent }) => [revision, percent]);
const stateOf = async (id: string) => {
  const { state, step } = await getRollout(db, 'default', id);
  return { state, step };
};

describe('advanceRollout', () => {
  it('takes a good candidate through its steps to the promotion', async () => {
    const endpointId = await addEndpoint(db, 'good');
    const id = await start(endpointId, 'good');
    const { clock, skip } = clockAhead();
    expect(await advanceRollout(db, id, clock)).toBeDefined();
    expect(await stateOf(id)).toEqual({ state: 'running', step: -1 });

    skip(1000);
    await ready(endpointId, 2, 1, '', new Date(clock.now()));
    await answered(endpointId, 1, 500, 0, Date.now() - 60_000);
    await advanceRollout(db, id, clock);
    expect(await stateOf(id)).toEqual({ state: 'running', step: 0 });
    expect(await trafficOf('good')).toEqual([
      [1, 90],
      [2, 10],
    ]);

    // evidence, but the least time is not over
    await answered(endpointId, 1, 9000, 0, clock.now());
    await answered(endpointId, 2, 1000, 0, clock.now());
    skip(1000);
    await advanceRollout(db, id, clock);
    expect((await stateOf(id)).step).toBe(0);
    skip(10_000);
    await ready(endpointId, 2, 1, '', new Date(clock.now()));
    await advanceRollout(db, id, clock);
    expect(await stateOf(id)).toEqual({ state: 'running', step: 1 });
    expect((await getRollout(db, 'default', id)).slow_ms).not.toBeNull();

    skip(11_000);
    await ready(endpointId, 2, 1, '', new Date(clock.now()));
    await answered(endpointId, 2, 1000, 0, clock.now());
    await answered(endpointId, 1, 1000, 0, clock.now());
    expect(await advanceRollout(db, id, clock)).toBeUndefined();
    expect(await stateOf(id)).toEqual({ state: 'promoted', step: 1 });
    expect(await trafficOf('good')).toEqual([[2, 100]]);
    expect(await listAliases(db, 'default', 'good')).toMatchObject([{ alias: 'champion', version: 2 }]);
    const warm = await db.selectFrom('revisions').selectAll().where('endpoint_id', '=', endpointId).execute();
    for (const revision of warm) expect(revision.warm_until?.getTime()).toBeGreaterThan(Date.now() + 250_000);
    const kinds = (await rolloutEvents(db, id)).map((event) => event.kind);
    expect(kinds).toEqual(['started', 'step', 'step', 'promoted']);
    expect(await advanceRollout(db, id, clock)).toBeUndefined();
    expect((await trafficHistory(db, endpointId)).map((change) => change.generation)).toEqual([4, 3, 2, 1]);
  });

  it('rolls a bad candidate back, paused or not', async () => {
    for (const [name, pause] of [
      ['bad', false],
      ['bad-paused', true],
    ] as const) {
      const endpointId = await addEndpoint(db, name);
      const id = await start(endpointId, name);
      const { clock, skip } = clockAhead();
      await ready(endpointId, 2, 1);
      await advanceRollout(db, id, clock);
      expect((await stateOf(id)).step).toBe(0);
      if (pause) await actOnRollout(db, id, 'pause', HAND);
      await answered(endpointId, 1, 2000);
      await answered(endpointId, 2, 200, 100);
      skip(1000);
      expect(await advanceRollout(db, id, clock)).toBeUndefined();
      expect((await stateOf(id)).state).toBe('rolled_back');
      expect(await trafficOf(name)).toEqual([[1, 100]]);
      expect(await listAliases(db, 'default', name)).toEqual([]);
    }
  });

  it.each([
    { why: 'a candidate that cannot start', problem: 'no such operator', ahead: 0 },
    { why: 'one that is never ready', problem: '', ahead: 121_000 },
  ])('rolls back $why', async ({ problem, ahead }) => {
    const name = `never-${ahead}`;
    const endpointId = await addEndpoint(db, name);
    const id = await start(endpointId, name);
    const { clock, skip } = clockAhead();
    await ready(endpointId, 2, 0, problem);
    skip(ahead);
    await advanceRollout(db, id, clock);
    const ended = await getRollout(db, 'default', id);
    expect(ended.state).toBe('rolled_back');
    expect(ended.reason).toContain(problem);
    expect(await trafficOf(name)).toEqual([[1, 100]]);
  });

  it('does not believe the report of a gateway that has been silent', async () => {
    const endpointId = await addEndpoint(db, 'stale');
    const id = await start(endpointId, 'stale');
    await ready(endpointId, 2, 1, '', new Date(Date.now() - 20_000));
    await advanceRollout(db, id, clockAhead().clock);
    expect((await stateOf(id)).step).toBe(-1);
  });

  it('moves once when two look at once', async () => {
    const endpointId = await addEndpoint(db, 'twice');
    const id = await start(endpointId, 'twice');
    const { clock } = clockAhead();
    await ready(endpointId, 2, 1);
    const looks = await Promise.all(Array.from({ length: 6 }, () => advanceRollout(db, id, clock)));
    expect(looks.filter((next) => next !== undefined).length).toBe(1);
    expect((await rolloutEvents(db, id)).filter((event) => event.kind === 'step').length).toBe(1);
    expect((await trafficHistory(db, endpointId)).length).toBe(2);
  });

  it('keeps saying why it is paused', async () => {
    const endpointId = await addEndpoint(db, 'unclear');
    const id = await start(endpointId, 'unclear', 2, { maxStepSec: 60 });
    const { clock, skip } = clockAhead();
    await ready(endpointId, 2, 1);
    await advanceRollout(db, id, clock);
    for (let look = 0; look < 3; look++) {
      skip(61_000);
      await advanceRollout(db, id, clock);
    }
    expect(await getRollout(db, 'default', id)).toMatchObject({
      state: 'paused',
      reason: expect.stringContaining('no clear verdict within 60 s'),
    });
    await actOnRollout(db, id, 'resume', HAND);
    expect((await stateOf(id)).state).toBe('running');
  });
});

describe('startRollout', () => {
  it('replaces the one in flight, from the same stable revision', async () => {
    const endpointId = await addEndpoint(db, 'replaced', 3);
    const first = await start(endpointId, 'replaced', 2);
    await ready(endpointId, 2, 1);
    await advanceRollout(db, first, clockAhead().clock);
    const second = await start(endpointId, 'replaced', 3);
    expect(await getRollout(db, 'default', first)).toMatchObject({
      state: 'aborted',
      reason: 'replaced by revision 3',
    });
    expect((await stateOf(second)).state).toBe('running');
    expect(await trafficOf('replaced')).toEqual([[1, 100]]);
  });

  it('many at once: one is in flight in the end, and nobody fails', async () => {
    const endpointId = await addEndpoint(db, 'raced', 6);
    const raced = await outcomes([2, 3, 4, 5, 6].map((candidate) => start(endpointId, 'raced', candidate)));
    expect(raced).toEqual({ good: 5, codes: [] });
    const rows = await db.selectFrom('rollouts').selectAll().where('endpoint_id', '=', endpointId).execute();
    expect(rows.filter((row) => row.ended_at === null).length).toBe(1);
  });
});

describe('endRollout', () => {
  it('changes all or nothing', async () => {
    const endpointId = await addEndpoint(db, 'atomic');
    const id = await start(endpointId, 'atomic');
    const before = await getEndpoint(db, 'default', 'atomic');
    const broken = db.transaction().execute(async (tx) => {
      const rollout = await lockRollout(tx, id);
      if (!rollout) throw new Error('it is in flight');
      await endRollout(tx, rollout, 'promoted', 'test', 'test', Date.now());
      throw new Error('the worker dies here');
    });
    await expect(broken).rejects.toThrow('dies here');
    expect(await getEndpoint(db, 'default', 'atomic')).toEqual(before);
    expect((await stateOf(id)).state).toBe('running');
    expect(await listAliases(db, 'default', 'atomic')).toEqual([]);
  });

  it('one hand of many wins, and an ended rollout stays as it ended', async () => {
    const endpointId = await addEndpoint(db, 'hands');
    const id = await start(endpointId, 'hands');
    const actions = ['promote', 'abort', 'promote', 'abort'] as const;
    const raced = await outcomes(actions.map((action) => actOnRollout(db, id, action, HAND)));
    expect(raced).toEqual({ good: 1, codes: ['conflict', 'conflict', 'conflict'] });
  });
});

describe('at once', () => {
  it('looks, hands, new candidates and deletions never deadlock', async () => {
    const names = Array.from({ length: 12 }, (_, at) => `busy-${at}`);
    await Promise.all(
      names.map(async (name) => {
        const endpointId = await addEndpoint(db, name);
        await ready(endpointId, 2, 1);
        const { id: promotion } = await requestPromotion(db, {
          project: 'default',
          endpoint: name,
          version: 2,
          actor: 'ada',
        });
        const id = await start(endpointId, name, 2, {}, promotion);
        const { clock } = clockAhead();
        const raced = await outcomes([
          advanceRollout(db, id, clock),
          actOnRollout(db, id, 'promote', HAND),
          db.transaction().execute((tx) => createRevision(tx, { endpointId, version: 1, reason: 'race' })),
          start(endpointId, name, 2),
          deleteEndpoint(db, 'default', name, 'ada'),
          advanceRollout(db, id, clock),
        ]);
        for (const code of raced.codes) expect(['conflict', 'not_found']).toContain(code);
      }),
    );
  });
});

describe('promotions', () => {
  const claim = (id: string, owner: string, silentMs = 15_000) => claimPromotion(db, id, owner, silentMs);

  it('whose gates nobody can finish fail in the end, with the last reason', async () => {
    await addEndpoint(db, 'stuck', 0);
    const { id } = await requestPromotion(db, { project: 'default', endpoint: 'stuck', version: 1, actor: 'ada' });
    const away = new AppError('upstream_failed', 'the model server went away');
    const deps = {
      db,
      ...NO_GATES,
      enqueue: async () => {},
      owner: 'w1',
      sandbox: { withModel: () => Promise.reject(away), close: async () => {} },
    };
    const decide = () => decidePromotion(deps, id, new AbortController().signal);
    for (let tries = 1; tries <= 8; tries++) {
      await expect(decide()).rejects.toThrow('went away');
      await disownPromotions(db, 'w1');
    }
    await decide();
    const ended = await getPromotion(db, 'default', id);
    expect(ended).toMatchObject({
      state: 'failed',
      reason: expect.stringContaining('8 tries: the model server went away'),
    });
    // asked for again by a person it is another promotion, and the record of this one stays
    const again = await requestPromotion(db, { project: 'default', endpoint: 'stuck', version: 1, actor: 'ada' });
    expect(again.created).toBe(true);
    expect(await getPromotion(db, 'default', again.id)).toMatchObject({ state: 'pending', tries: 0 });
    expect((await getPromotion(db, 'default', id)).state).toBe('failed');
  });

  it('open once at each endpoint that wants them', async () => {
    await addEndpoint(db, 'wants', 1);
    const spec = { model: 'wants', policy: { auto: false } };
    await addEndpoint(db, 'waits', 0, spec);
    await addVersion(db, 'wants', 'next');
    const open = (endpoint?: string) =>
      db.transaction().execute((tx) =>
        openForJob(tx, {
          project: 'default',
          model: 'wants',
          version: 2,
          job: { id: 'job_1', name: 'train' },
          ...(endpoint ? { endpoint } : {}),
        }),
      );
    await Promise.all([open(), open(), open()]);
    const opened = async () =>
      (await listPromotions(db, 'default', { job: 'job_1', limit: 10 })).map((row) => row.endpoint);
    expect(await opened()).toEqual(['wants']);
    await open('waits');
    expect((await opened()).sort()).toEqual(['waits', 'wants']);
  });

  it('asked for by many at once are one, and everybody hears its id', async () => {
    await addEndpoint(db, 'asked', 2);
    const asked = await Promise.all(
      Array.from({ length: 8 }, () =>
        requestPromotion(db, { project: 'default', endpoint: 'asked', version: 2, actor: 'ada' }),
      ),
    );
    expect(new Set(asked.map((one) => one.id)).size).toBe(1);
    expect(asked[0]?.id).toMatch(/^pr_/);
    expect(asked.filter((one) => one.created).length).toBe(1);
    await expect(
      requestPromotion(db, { project: 'default', endpoint: 'asked', version: 9, actor: 'ada' }),
    ).rejects.toMatchObject({ code: 'not_found' });
  });

  it('belong to one worker until it is silent, which then can write nothing', async () => {
    await addEndpoint(db, 'owned', 2);
    const { id } = await requestPromotion(db, { project: 'default', endpoint: 'owned', version: 2, actor: 'ada' });
    const claimed = await Promise.all(['w1', 'w2', 'w3'].map((owner) => claim(id, owner)));
    expect(claimed.filter(Boolean).length).toBe(1);
    const first = claimed.find(Boolean)?.owner ?? '';
    expect(await claim(id, 'w4')).toBeUndefined();
    expect(await overduePromotions(db, 15_000)).not.toContain(id);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(await overduePromotions(db, 10)).toContain(id);
    expect((await claim(id, 'w4', 10))?.owner).toBe('w4');
    expect(await noteGates(db, id, first, [])).toBe(false);
    expect(await noteGates(db, id, 'w4', [])).toBe(true);
    const settle = (owner: string) =>
      db
        .transaction()
        .execute((tx) => settlePromotion(tx, id, { state: 'rejected', reason: 'r', from: ['gating'], owner }));
    expect(await settle(first)).toBe(false);
    expect(await settle('w4')).toBe(true);
    expect(await settle('w4')).toBe(false);
    expect(await getPromotion(db, 'default', id)).toMatchObject({ state: 'rejected', reason: 'r' });
    expect(await claim(id, 'w5', 0)).toBeUndefined();
    const again = await requestPromotion(db, { project: 'default', endpoint: 'owned', version: 2, actor: 'ada' });
    expect(again.created).toBe(true);
    expect(again.id).not.toBe(id);
  });

  it('of a worker that is known to be gone are free at once', async () => {
    await addEndpoint(db, 'disowned', 2);
    const { id } = await requestPromotion(db, { project: 'default', endpoint: 'disowned', version: 2, actor: 'ada' });
    await claim(id, 'abc/wk_1');
    await disownPromotions(db, 'ab_/');
    expect(await claim(id, 'abc/wk_2')).toBeUndefined();
    await disownPromotions(db, 'abc/');
    expect((await claim(id, 'abc/wk_2'))?.owner).toBe('abc/wk_2');
  });
});
