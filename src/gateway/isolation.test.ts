import { beforeAll, expect, test } from 'vitest';
import { operations } from '../../tests/support/conforms.js';
import { check, modelBytes } from '../../tests/support/scenario.js';
import { startTestRollout } from '../../tests/support/test-rollout.js';
import { type TestGateway, testGateway } from '../../tests/support/test-services.js';

let gateway: TestGateway;
/** One of everything of the default project, by the name of the path parameter. */
let real: Record<string, string>;

beforeAll(async () => {
  gateway = await testGateway();
  const ask = async (method: string, url: string, body: unknown, status: number) =>
    (await check(gateway, { method, url, body, status })) as Record<string, string>;
  const { digest = '' } = await ask('POST', '/blobs', 'code', 201);
  await ask('POST', '/models/sums/versions', await modelBytes('add.onnx'), 201);
  await ask('PUT', '/models/sums/aliases/best', { version: 1 }, 200);
  await ask('POST', '/datasets/held/versions', 'x', 201);
  await ask('POST', '/endpoints', { name: 'sum', model: 'sums', version: 1 }, 201);
  await ask('POST', '/endpoints/sum/revisions', { version: 1 }, 201);
  const { id: hook = '' } = await ask('POST', '/endpoints/sum/hooks', { name: 'ci' }, 201);
  const { promotion = '' } = await ask('POST', '/endpoints/sum/promotions', { version: 1 }, 202);
  const { id: job = '' } = await ask('POST', '/jobs', { name: 'train', code: digest, entrypoint: 't.py' }, 202);
  const { id: key = '' } = await ask('POST', '/keys', { name: 'k', role: 'predict' }, 201);
  const rollout = await startTestRollout(gateway.db, 'sum');
  const table = { endpoint: 'sum', input: { digest, format: 'jsonl' }, output: { format: 'jsonl' } };
  const { id: batch = '' } = await ask('POST', '/batch-predictions', table, 202);
  const { id: webhook = '' } = await ask('POST', '/webhooks', { url: 'https://example.com/hook' }, 201);
  const names = { model: 'sums', version: '1', path: 'model.onnx', alias: 'best', dataset: 'held', endpoint: 'sum' };
  real = { ...names, hook, token: 'hk_none', digest, promotion, job, key, rollout, batch, webhook };
});

const BODIES: Record<string, unknown> = {
  createRevision: { version: 1 },
  setTraffic: { targets: [{ revision: 1, percent: 100 }] },
  requestPromotion: { version: 1 },
  moveAlias: { version: 1 },
  putEndpoint: { model: 'sums' },
  startRollout: { revision: 1 },
  createHook: { name: 'ci' },
  approvePromotion: {},
  rejectPromotion: {},
  pullHook: {},
  reportFeedback: { revision: 1, reward: 1 },
  setWebhook: { enabled: false },
};
/** These make something of the caller's own under the name that they are given. */
const MAKES_ITS_OWN = new Set(['putBlob', 'registerVersion', 'addDatasetVersion']);

test("another project's administrator finds nothing at any path of this one", async () => {
  const answers: string[] = [];
  for (const { method, path, operationId } of operations(gateway.app)) {
    if (!path.startsWith('/api/') || !path.includes('{') || MAKES_ITS_OWN.has(operationId)) continue;
    const url = path.replace(/\{(\w+)\}/g, (_whole, name: string) => real[name] ?? expect.fail(`no ${name}`));
    const response = await gateway.call('other', method, url, BODIES[operationId]);
    answers.push(`${operationId} ${response.status}`);
  }
  expect(answers.length).toBeGreaterThan(20);
  expect(answers.filter((answer) => !answer.endsWith(' 404'))).toEqual([]);
});

test('sees empty lists and no events but its own', async () => {
  for (const list of ['models', 'datasets', 'endpoints', 'promotions', 'rollouts', 'jobs', 'predictions']) {
    expect(await check(gateway, { as: 'other', method: 'GET', url: `/${list}`, status: 200 })).toEqual({ [list]: [] });
  }
  const batches = await check(gateway, { as: 'other', method: 'GET', url: '/batch-predictions', status: 200 });
  expect(batches).toEqual({ batches: [] });
  const events = await check(gateway, { as: 'other', method: 'GET', url: '/events', status: 200 });
  // the key with which it asks is its own
  expect((events as { events: { kind: string }[] }).events.map(({ kind }) => kind)).toEqual(['key.created']);
});

test('cannot use bytes by their digest alone', async () => {
  const { digest } = real;
  const rows = [
    { method: 'POST', url: '/datasets/mine/versions', body: { digest } },
    { method: 'POST', url: '/models/mine/versions', body: { files: [{ path: 'model.onnx', digest }] } },
    { method: 'POST', url: '/jobs', body: { name: 'train', code: digest, entrypoint: 't.py' } },
    { method: 'PUT', url: `/blobs/${digest}`, body: 'not these bytes' },
  ];
  for (const row of rows) await check(gateway, { ...row, as: 'other', status: 400 });
  // who brings the bytes themselves has them
  await check(gateway, { as: 'other', method: 'PUT', url: `/blobs/${digest}`, body: 'code', status: 201 });
});
