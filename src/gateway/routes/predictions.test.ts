import { Readable } from 'node:stream';
import { beforeAll, describe, expect, test } from 'vitest';
import { check, modelBytes } from '../../../tests/support/scenario.js';
import { type As, type TestGateway, testGateway } from '../../../tests/support/test-services.js';
import { claimPrediction, endPrediction } from '../../core/predictions/ends.js';
import { submitPrediction } from '../../core/predictions/store.js';

let gateway: TestGateway;
const endpoints: Record<string, string> = {};

beforeAll(async () => {
  gateway = await testGateway();
  await check(gateway, {
    method: 'POST',
    url: '/models/same/versions',
    body: await modelBytes('identity-fp32.onnx'),
    status: 201,
  });
  for (const access of ['key', 'public']) {
    await check(gateway, {
      method: 'POST',
      url: '/endpoints',
      body: { name: access, model: 'same', version: 1, access },
      status: 201,
    });
    const { id } = await gateway.db
      .selectFrom('endpoints')
      .select('id')
      .where('name', '=', access)
      .executeTakeFirstOrThrow();
    endpoints[access] = id;
  }
});

const store = (text: string) => gateway.services.blobs.put(Readable.from([Buffer.from(text)]));

async function submit(endpoint: 'key' | 'public', webhook?: string): Promise<string> {
  const { db } = gateway.services;
  const { id } = await submitPrediction(db, {
    project: 'default',
    endpointId: endpoints[endpoint] ?? '',
    endpoint,
    request: { path: `/v2/models/${endpoint}/infer`, headers: {}, idempotent: true },
    body: await store('asked'),
    requestKey: undefined,
    webhook,
    trace: undefined,
    deadlineMs: 60_000,
  });
  return id;
}

async function answered(id: string, status: number, text: string, headers: Record<string, string>): Promise<void> {
  const { db } = gateway.services;
  const claimed = (await claimPrediction(db, id, 'w1')) ?? expect.fail('it was not taken');
  await endPrediction(db, claimed.hold, { kind: 'answered', status, headers, result: await store(text) });
}

const get = (as: As, id: string, headers: Record<string, string> = {}) =>
  gateway.call(as, 'GET', `/v2/predictions/${id}`, undefined, headers);

describe('the answer of an asynchronous prediction', () => {
  test('is not there yet: 202 and when to look again', async () => {
    const id = await submit('key');
    const response = await get('predict', id);
    expect([response.status, response.headers.get('retry-after')]).toEqual([202, '1']);
    expect(await response.json()).toEqual({ id, state: 'queued', location: `/v2/predictions/${id}` });
  });

  test('has the status, the headers and the bytes that the model server gave', async () => {
    const id = await submit('key');
    await answered(id, 422, '\u0000bytes', {
      'content-type': 'application/octet-stream',
      'inference-header-content-length': '0',
    });
    const response = await get('predict', id);
    expect(response.status).toBe(422);
    expect(response.headers.get('content-type')).toBe('application/octet-stream');
    expect(response.headers.get('inference-header-content-length')).toBe('0');
    expect(response.headers.get('content-length')).toBe('6');
    expect(await response.text()).toBe('\u0000bytes');
    const head = await gateway.call('predict', 'HEAD', `/v2/predictions/${id}`);
    expect([head.status, head.headers.get('content-length')]).toEqual([422, '6']);
  });

  test('is for whoever may use the endpoint, in its project', async () => {
    const [secret, open] = [await submit('key'), await submit('public')];
    const statuses = async (id: string) =>
      Promise.all((['admin', 'predict', 'other', 'guest'] as const).map(async (as) => (await get(as, id)).status));
    expect(await statuses(secret)).toEqual([202, 202, 404, 401]);
    expect(await statuses(open)).toEqual([202, 202, 404, 202]);
    expect(await statuses('pr_none')).toEqual([404, 404, 404, 401]);
    const denied = await get('guest', secret);
    expect(await denied.json()).toEqual({ error: 'a key is needed: send Authorization: Bearer KEY' });
    expect(denied.headers.get('sluice-error-code')).toBe('unauthenticated');
    // an endpoint that is gone is nobody's who has no key
    await check(gateway, { method: 'DELETE', url: '/endpoints/public', status: 204 });
    expect(await statuses(open)).toEqual([202, 202, 404, 401]);
  });

  test('tells its states as events, and ends with the last one', async () => {
    const id = await submit('key');
    const stream = await get('predict', id, { accept: 'text/event-stream' });
    const reading = stream.text();
    await answered(id, 200, 'done', {});
    const states = [...(await reading).matchAll(/"state":"(\w+)"/g)].map(([, state]) => state);
    expect(states[0]).toBe('queued');
    expect(states.at(-1)).toBe('succeeded');
  });

  test('is cancelled with DELETE, which its webhook is told of', async () => {
    const id = await submit('key', 'https://example.com/hook');
    expect((await gateway.call('other', 'DELETE', `/v2/predictions/${id}`)).status).toBe(404);
    const response = await gateway.call('predict', 'DELETE', `/v2/predictions/${id}`);
    expect([response.status, await response.json()]).toEqual([
      200,
      { id, state: 'cancelled', location: `/v2/predictions/${id}` },
    ]);
    const end = await get('predict', id);
    expect([end.status, await end.json()]).toEqual([499, { error: 'cancelled' }]);
    const list = await check(gateway, { method: 'GET', url: '/webhooks/deliveries?state=queued', status: 200 });
    expect(list).toMatchObject({
      deliveries: [{ subject: `prediction/${id}`, url: 'https://example.com/hook', attempt: 0 }],
    });
    expect(gateway.queued.at(-1)).toMatchObject({ name: 'webhook.send' });
  });
});

describe('for administrators', () => {
  test('predictions are listed by endpoint and state', async () => {
    const id = await submit('key');
    const list = (query: string) => check(gateway, { method: 'GET', url: `/predictions?${query}`, status: 200 });
    expect(await list('endpoint=key&state=queued&limit=1')).toMatchObject({
      predictions: [{ id, endpoint: 'key', status: null, bodyBytes: 5 }],
    });
    expect(await list('state=failed')).toMatchObject({
      predictions: [{ status: 422, reason: 'answered 422', resultBytes: 6 }],
    });
    expect(await list('endpoint=none')).toEqual({ predictions: [] });
    await check(gateway, { as: 'predict', method: 'GET', url: '/predictions', status: 403 });
  });

  test('the secret of webhooks is one, and each project’s own', async () => {
    const secret = async (as: As) =>
      ((await check(gateway, { as, method: 'GET', url: '/webhooks/secret', status: 200 })) as { secret: string })
        .secret;
    const made = await Promise.all([secret('admin'), secret('admin'), secret('other')]);
    expect(made[0]).toMatch(/^whsec_/);
    expect(made[0]).toBe(made[1]);
    expect(made[2]).not.toBe(made[0]);
    await check(gateway, { as: 'predict', method: 'GET', url: '/webhooks/secret', status: 403 });
  });
});
