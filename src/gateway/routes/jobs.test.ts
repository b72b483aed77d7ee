/** Jobs, promotions, rollouts and keys through the API. */
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { check, digestOf, modelBytes, type Row } from '../../../tests/support/scenario.js';
import { startTestRollout } from '../../../tests/support/test-rollout.js';
import { type TestGateway, testGateway } from '../../../tests/support/test-services.js';
import { claimJob } from '../../core/training/attempts.js';
import { appendLogs, appendMetrics } from '../../core/training/output-store.js';

let gateway: TestGateway;
let code: string;

beforeAll(async () => {
  gateway = await testGateway();
  code = ((await ask('POST', '/blobs', 'code', 201)) as { digest: string }).digest;
  await ask('POST', '/models/sums/versions', await modelBytes('add.onnx'), 201);
  await ask('POST', '/endpoints', { name: 'sum', model: 'sums', version: 1 }, 201);
  await ask('POST', '/endpoints/sum/revisions', { version: 1 }, 201);
});

beforeEach(() => {
  gateway.queued.length = 0;
  gateway.queueAway = false;
});

const ask = (method: string, url: string, body: unknown, status: number, more: Partial<Row> = {}) =>
  check(gateway, { method, url, body, status, ...more });

const spec = () => ({ name: 'train', code, entrypoint: 'train.py' });
const submit = async (headers = {}) => (await ask('POST', '/jobs', spec(), 202, { headers })) as { id: string };

describe('jobs', () => {
  test('are accepted, queued and shown', async () => {
    const { id } = await submit();
    expect(gateway.queued).toEqual([{ name: 'training.run', data: { jobId: id }, id: `${id}-0` }]);
    expect(await ask('GET', `/jobs/${id}`, undefined, 200)).toMatchObject({
      state: 'queued',
      spec: { retries: 1 },
      metrics: {},
    });
    expect(await ask('GET', '/jobs?state=queued&limit=1', undefined, 200)).toMatchObject({ jobs: [{ id }] });
  });

  test('the same key and job is one job, another job under it is refused', async () => {
    const headers = { 'idempotency-key': 'k-1' };
    const { id } = await submit(headers);
    expect(await ask('POST', '/jobs', spec(), 200, { headers })).toMatchObject({ id });
    expect(await ask('POST', '/jobs', { ...spec(), args: ['x'] }, 409, { headers })).toMatchObject({
      error: { details: { job: id } },
    });
    expect(await ask('POST', '/jobs', spec(), 202, { headers: { 'idempotency-key': 'k-2' } })).not.toMatchObject({
      id,
    });
  });

  test('are accepted while the queue is away', async () => {
    gateway.queueAway = true;
    const { id } = await submit();
    expect(await ask('GET', `/jobs/${id}`, undefined, 200)).toMatchObject({ state: 'queued' });
    expect(gateway.logged.at(-1)).toContain('the queue is away');
  });

  test('with code that nobody uploaded are refused', async () => {
    expect(await ask('POST', '/jobs', { ...spec(), code: digestOf('none') }, 400)).toMatchObject({
      error: { details: { field: 'code' } },
    });
  });

  test('that wait are cancelled at once; again changes nothing', async () => {
    const { id } = await submit();
    expect(await ask('POST', `/jobs/${id}/cancel`, undefined, 200)).toEqual({ state: 'cancelled' });
    expect(await ask('POST', `/jobs/${id}/cancel`, undefined, 200)).toEqual({ state: 'cancelled' });
    expect(await ask('GET', `/jobs/${id}`, undefined, 200)).toMatchObject({
      reason: 'cancelled by ada before it started',
    });
  });

  test('lines and metrics come in pages', async () => {
    const { id } = await submit();
    await claimJob(gateway.db, id, 'w');
    const key = { id, attempt: 1, owner: 'w' };
    const at = new Date();
    await appendLogs(
      gateway.db,
      key,
      ['a', 'b', 'c'].map((text) => ({ stream: 'stdout' as const, text, at })),
    );
    await appendMetrics(gateway.db, key, [
      { name: 'loss', value: 2, step: 1, at },
      { name: 'loss', value: 1, step: 2, at },
    ]);
    const first = (await ask('GET', `/jobs/${id}/logs?limit=2`, undefined, 200)) as {
      lines: { text: string }[];
      next: number;
    };
    expect(first.lines.map((line) => line.text)).toEqual(['a', 'b']);
    const second = (await ask('GET', `/jobs/${id}/logs?after=${first.next}`, undefined, 200)) as typeof first;
    expect(second.lines.map((line) => line.text)).toEqual(['c']);
    const third = await ask('GET', `/jobs/${id}/logs?after=${second.next}`, undefined, 200);
    expect(third).toEqual({ lines: [], next: second.next });
    const metrics = (await ask('GET', `/jobs/${id}/metrics?limit=1`, undefined, 200)) as {
      metrics: unknown[];
      next: number;
    };
    expect(metrics.metrics).toMatchObject([{ name: 'loss', value: 2, step: 1 }]);
    expect(await ask('GET', `/jobs/${id}/metrics?after=${metrics.next}`, undefined, 200)).toMatchObject({
      metrics: [{ value: 1 }],
    });
    expect(await ask('GET', `/jobs/${id}`, undefined, 200)).toMatchObject({ state: 'running', metrics: { loss: 1 } });
  });
});

describe('promotions', () => {
  test('are asked for, queued, and listed', async () => {
    const { promotion } = (await ask('POST', '/endpoints/sum/promotions', { version: 1 }, 202)) as {
      promotion: string;
    };
    expect(gateway.queued).toEqual([{ name: 'promotion.decide', data: { promotionId: promotion }, id: promotion }]);
    expect(await ask('POST', '/endpoints/sum/promotions', { version: 1 }, 202)).toEqual({ promotion });
    expect(await ask('GET', `/promotions/${promotion}`, undefined, 200)).toMatchObject({
      state: 'pending',
      gates: [],
      jobId: null,
    });
    expect(await ask('GET', '/promotions?endpoint=sum', undefined, 200)).toMatchObject({
      promotions: [{ id: promotion }],
    });
    expect(await ask('GET', '/promotions?endpoint=other', undefined, 200)).toEqual({ promotions: [] });
    await ask('POST', '/endpoints/sum/promotions', { version: 5 }, 404);
  });
});

describe('rollouts', () => {
  test('are paused, resumed and promoted by hand; traffic waits for their end', async () => {
    const id = await startTestRollout(gateway.db, 'sum');
    expect(await ask('GET', '/endpoints/sum', undefined, 200)).toMatchObject({ rollout: id });
    const targets = [{ revision: 1, percent: 100 }];
    const refused = await ask('PUT', '/endpoints/sum/traffic', { targets }, 409);
    expect(refused).toMatchObject({
      error: { message: expect.stringContaining(`${id} moves the traffic`), details: { rollout: id } },
    });
    expect(await ask('POST', `/rollouts/${id}/pause`, undefined, 200)).toEqual({ state: 'paused' });
    expect(await ask('POST', `/rollouts/${id}/resume`, undefined, 200)).toEqual({ state: 'running' });
    expect(await ask('POST', `/rollouts/${id}/promote`, undefined, 200)).toEqual({ state: 'promoted' });
    expect(gateway.queued.map((job) => job.name)).toEqual(Array(3).fill('rollout.advance'));
    expect(await ask('POST', `/rollouts/${id}/abort`, undefined, 409)).toMatchObject({
      error: { message: `rollout ${id} has ended: promoted` },
    });
    const shown = (await ask('GET', `/rollouts/${id}`, undefined, 200)) as { events: { kind: string }[] };
    expect(shown.events.map((event) => event.kind)).toEqual(['started', 'paused', 'resumed', 'promoted']);
    expect(await ask('GET', '/rollouts?endpoint=sum', undefined, 200)).toMatchObject({
      rollouts: [{ id, state: 'promoted' }],
    });
    expect(await ask('GET', '/endpoints/sum/traffic', undefined, 200)).toMatchObject({
      targets: [{ revision: 2, percent: 100 }],
    });
    expect(await ask('PUT', '/endpoints/sum/traffic', { targets }, 200)).toMatchObject({ generation: 3 });
  });
});

describe('keys', () => {
  test('are shown once, and never past their time', async () => {
    const made = (await ask(
      'POST',
      '/keys',
      { name: 'ci', role: 'predict', expiresAt: '2020-01-01T00:00:00Z' },
      201,
    )) as { id: string; key: string };
    expect(made.key).toMatch(/^sk_[\w-]{40}$/);
    const listed = JSON.stringify(await ask('GET', '/keys', undefined, 200));
    expect(listed).toContain(made.id);
    expect(listed).not.toContain(made.key);
    const headers = { 'x-api-key': made.key };
    await ask('GET', '/whoami', undefined, 401, { as: 'guest', headers });
    await ask('DELETE', `/keys/${made.id}`, undefined, 204);
    await ask('DELETE', `/keys/${made.id}`, undefined, 404);
    await ask('POST', '/keys', { name: 'ci', role: 'root' }, 400);
  });
});
