import { beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock.js';
import { Observations } from '../../src/core/inference/observations.js';
import { forgetStatistics } from '../../src/core/inference/statistics.js';
import { analyse } from '../../src/core/rollouts/analyse.js';
import { LATENCY_BOUNDS_MS, latencyBucket } from '../../src/core/rollouts/analysis.js';
import { warmFrom } from '../../src/core/rollouts/comparison.js';
import { type MeasureDeps, measure } from '../../src/core/rollouts/measure.js';
import { endRollout, enterStep, startRollout } from '../../src/core/rollouts/moves.js';
import { rolloutPlanSchema, stepsOf } from '../../src/core/rollouts/plan.js';
import { getRollout, rolloutEvents } from '../../src/core/rollouts/store.js';
import type { Db } from '../../src/core/schema.js';
import { createAskAddress } from '../../src/platform/webhooks/post.js';
import { eventServer } from '../support/event-server.js';
import { addEndpoint, migratedDatabase } from '../support/store-bench.js';

let db: Db;
beforeAll(async () => {
  db = await migratedDatabase();
});

const SECOND = 1000;
const MINUTE = 60 * SECOND;

/** A rollout from revision 1 to 2 that is in its first step since `since`. */
async function inFirstStep(name: string, analysis: object, since: number): Promise<{ id: string; endpointId: string }> {
  const endpointId = await addEndpoint(db, name);
  const id = await db.transaction().execute((tx) =>
    startRollout(
      tx,
      {
        project: 'default',
        endpointId,
        endpoint: name,
        stable: 1,
        candidate: 2,
        plan: rolloutPlanSchema.parse({ analysis }),
        promotionId: null,
      },
      Date.now(),
    ),
  );
  await db.transaction().execute(async (tx) => {
    const rollout = await getRollout(tx, 'default', id);
    const steps = stepsOf(rollout.plan, 1);
    await enterStep(tx, rollout, { steps, step: 0, reason: 'ready', replicas: 1, nowMs: Date.now() });
  });
  await db
    .updateTable('rollouts')
    .set({ compared_since: new Date(since) })
    .where('id', '=', id)
    .execute();
  return { id, endpointId };
}

let serial = 0;
async function answered(
  endpointId: string,
  revision: number,
  at: number,
  { requests, errors = 0, ms = 5 }: { requests: number; errors?: number; ms?: number },
): Promise<void> {
  const latency = new Array<number>(LATENCY_BOUNDS_MS.length + 1).fill(0);
  latency[latencyBucket(ms)] = requests;
  const row = { endpoint_id: endpointId, revision, gateway: `gw${++serial}`, second: new Date(at) };
  await db
    .insertInto('revision_stats')
    .values({ ...row, requests, errors, latency })
    .execute();
}

const look = async (id: string, now: number) => (await analyse(db, await getRollout(db, 'default', id), now)).verdict;

describe('analyse', () => {
  const now = Math.floor(Date.now() / SECOND) * SECOND;

  it('keeps its verdict with the rollout and with what happens in it', async () => {
    const since = now - 30 * SECOND;
    const { id, endpointId } = await inFirstStep('kept', {}, since);
    await answered(endpointId, 1, since - MINUTE, { requests: 1000 });
    await answered(endpointId, 1, since + SECOND, { requests: 900 });
    await answered(endpointId, 2, since + SECOND, { requests: 100, errors: 30 });
    const verdict = await look(id, now);
    expect(verdict.kind).toBe('worse');
    const [errors, latency] = verdict.metrics;
    expect(errors).toMatchObject({
      metric: 'errors',
      kind: 'worse',
      candidate: { hits: 30, total: 100 },
      margin: 0.02,
    });
    expect(errors?.difference?.low).toBeGreaterThan(0.02);
    expect(latency).toMatchObject({ metric: 'latency p95', kind: 'not_worse', stable: { hits: 0, total: 900 } });
    const rollout = await getRollout(db, 'default', id);
    expect(rollout.analysis).toEqual(verdict);
    expect(rollout.comparison).toMatchObject({ from: since, before: { answers: { requests: 1000 } } });
    await db
      .transaction()
      .execute((tx) => endRollout(tx, rollout, 'rolled_back', verdict.reason, 'rollout', Date.now()));
    const [, , ended] = await rolloutEvents(db, id);
    expect(ended?.data).toMatchObject({ revision: 1, verdict: 'worse', metrics: verdict.metrics });
  });

  it('compares what came after the warm-up alone', async () => {
    const since = now - 100 * SECOND;
    const { id, endpointId } = await inFirstStep('warm', { warmupRequests: 50, warmupSec: 20 }, since);
    await answered(endpointId, 1, since, { requests: 1000 });
    expect((await look(id, now)).reason).toBe('the comparison has not begun');
    await answered(endpointId, 2, since + 10 * SECOND, { requests: 60, errors: 60 });
    await answered(endpointId, 1, since + 30 * SECOND, { requests: 900 });
    await answered(endpointId, 2, since + 30 * SECOND, { requests: 100 });
    const [errors] = (await look(id, now)).metrics;
    expect(errors).toMatchObject({ candidate: { hits: 0, total: 100 }, stable: { hits: 0, total: 900 } });
    expect((await getRollout(db, 'default', id)).comparison?.from).toBe(since + 30 * SECOND);
  });

  it('takes what is slow from before the comparison, or compares from when it knows', async () => {
    const since = now - 30 * SECOND;
    const { id, endpointId } = await inFirstStep('slow', {}, since);
    await answered(endpointId, 1, since + SECOND, { requests: 40 });
    await answered(endpointId, 2, since + SECOND, { requests: 30, ms: 900 });
    expect((await look(id, now)).metrics[1]).toMatchObject({
      kind: 'unclear',
      words: 'too few stable requests to say what is slow',
    });
    await answered(endpointId, 1, since + 2 * SECOND, { requests: 20 });
    // what decided the bound is not compared by it
    expect((await look(id, now)).metrics[1]).toMatchObject({ candidate: { total: 0 }, stable: { total: 0 } });
    await answered(endpointId, 2, since + 3 * SECOND, { requests: 5, ms: 900 });
    expect((await look(id, now)).metrics[1]).toMatchObject({ candidate: { hits: 5, total: 5 }, stable: { total: 0 } });
  });

  it('sees the whole comparison after hours, when its counts are long forgotten', async () => {
    const since = now - 5 * 60 * MINUTE;
    const { id, endpointId } = await inFirstStep('long', { metrics: [{ kind: 'errors' }, { kind: 'reward' }] }, since);
    const observations = new Observations('gw');
    for (let at = since; at < now; at += 30 * MINUTE) {
      await answered(endpointId, 1, at, { requests: 90 });
      await answered(endpointId, 2, at, { requests: 10, errors: 1 });
      observations.observe({ endpointId, revision: 2, metric: 'reward' }, { value: 0.5 }, at);
      await observations.flush(db, at, true);
      await look(id, at + SECOND);
      await look(id, at + 20 * MINUTE);
    }
    await forgetStatistics(db);
    expect((await look(id, now)).metrics).toMatchObject([
      { candidate: { hits: 10, total: 100 }, stable: { hits: 0, total: 900 } },
      { candidate: { hits: 5, total: 10 } },
    ]);
  });

  it.each([
    { why: 'no traffic yet', rows: [], is: undefined },
    { why: 'too few requests', rows: [{ at: 5000, requests: 9 }], is: undefined },
    { why: 'requests, then the time', rows: [{ at: 5000, requests: 10 }], is: 8000 },
    {
      why: 'the time, then requests',
      rows: [
        { at: 5000, requests: 3 },
        { at: 20_000, requests: 7 },
      ],
      is: 21_000,
    },
    { why: 'the time is not over', rows: [{ at: 49_000, requests: 10 }], is: undefined },
  ])('warms up: $why', ({ rows, is }) => {
    expect(warmFrom(rows, { warmupSec: 3, warmupRequests: 10 }, 50_000)).toBe(is);
  });
});

describe('measure', () => {
  const { signal } = new AbortController();
  const deps = (given: Partial<MeasureDeps> = {}): MeasureDeps => ({
    db,
    clock: systemClock,
    ask: createAskAddress({ allowPrivate: true }),
    askOwn: createAskAddress({ allowPrivate: true }),
    prometheusUrl: undefined,
    ...given,
  });

  it('asks Prometheus for each arm, once in an interval however many ask', async () => {
    const server = await eventServer();
    server.answer = (response, { path }) => {
      const value = decodeURIComponent(path).includes('revision="2"') ? '0.9' : '0.2';
      const data = { resultType: 'vector', result: [{ metric: {}, value: [1, value] }] };
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ status: 'success', data }));
    };
    const query = 'sum(load{endpoint="{{endpoint}}",revision="{{revision}}"})';
    const metrics = [{ kind: 'prometheus', query, maxIncrease: 0.5 }];
    const { id } = await inFirstStep('asked', { metrics }, Date.now() - MINUTE);
    expect((await look(id, Date.now())).reason).toBe('prometheus, not measured yet');
    const own = deps({ prometheusUrl: `${server.url}/` });
    await Promise.all(Array.from({ length: 8 }, () => measure(own, id, signal)));
    expect(server.taken.map(({ path }) => decodeURIComponent(path))).toEqual([
      '/api/v1/query?query=sum(load{endpoint="asked",revision="2"})',
      '/api/v1/query?query=sum(load{endpoint="asked",revision="1"})',
    ]);
    expect(await look(id, Date.now())).toMatchObject({ kind: 'worse', metrics: [{ value: 0.7 }] });
    const later = { ...systemClock, now: () => Date.now() + MINUTE };
    await measure({ ...own, clock: later }, id, signal);
    expect(server.taken).toHaveLength(4);
  });

  it('asks a webhook with a signature, and takes its word', async () => {
    const server = await eventServer();
    server.answer = (response) =>
      void response.writeHead(200).end('{"verdict":"not_worse","reason":"sales as before"}');
    const { id } = await inFirstStep(
      'hooked',
      { metrics: [{ kind: 'webhook', url: server.url }] },
      Date.now() - MINUTE,
    );
    await measure(deps(), id, signal);
    expect(await look(id, Date.now())).toMatchObject({ kind: 'not_worse', reason: 'webhook, sales as before' });
    const [taken] = server.taken;
    expect(taken?.headers['webhook-signature']).toMatch(/^v1,/);
    expect(JSON.parse(String(taken?.body))).toMatchObject({ rollout: id, candidate: 2, stable: 1, metric: 'webhook' });
  });

  it.each([
    { why: 'a private address', given: { ask: createAskAddress({ allowPrivate: false }) }, says: 'private address' },
    { why: 'nobody there', given: {}, says: 'ECONNREFUSED' },
  ])('does not take $why for a verdict', async ({ given, says }) => {
    const name = `no-${says.length}`;
    const metrics = [{ kind: 'webhook', url: 'http://127.0.0.1:1/' }];
    const { id } = await inFirstStep(name, { metrics }, Date.now() - MINUTE);
    await measure(deps(given), id, signal);
    const { kind, reason } = await look(id, Date.now());
    expect(kind).toBe('unclear');
    expect(reason).toContain(says);
  });

  it('waits for the candidate to have traffic', async () => {
    const endpointId = await addEndpoint(db, 'waits');
    const plan = rolloutPlanSchema.parse({ analysis: { metrics: [{ kind: 'webhook', url: 'http://127.0.0.1:1/' }] } });
    const names = { project: 'default', endpointId, endpoint: 'waits', stable: 1, candidate: 2 };
    const id = await db
      .transaction()
      .execute((tx) => startRollout(tx, { ...names, plan, promotionId: null }, Date.now()));
    await measure(deps(), id, signal);
    expect(await db.selectFrom('rollout_measurements').selectAll().where('rollout_id', '=', id).execute()).toEqual([]);
  });
});
