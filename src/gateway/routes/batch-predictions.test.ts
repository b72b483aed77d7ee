import { beforeAll, describe, expect, test } from 'vitest';
import { check, digestOf, modelBytes, scenario } from '../../../tests/support/scenario.js';
import { type TestGateway, testGateway } from '../../../tests/support/test-services.js';

let gateway: TestGateway;
const table = '{"x":[1]}\n';
const digest = digestOf(table);
const batch = (more: object = {}) => ({
  endpoint: 'same',
  input: { digest, format: 'jsonl' },
  output: { format: 'jsonl' },
  ...more,
});

beforeAll(async () => {
  gateway = await testGateway();
  await check(gateway, { method: 'POST', url: '/blobs', body: table, status: 201 });
  await check(gateway, {
    method: 'POST',
    url: '/models/same/versions',
    body: await modelBytes('identity-fp32.onnx'),
    status: 201,
  });
  await check(gateway, {
    method: 'POST',
    url: '/endpoints',
    body: { name: 'same', model: 'same', version: 1 },
    status: 201,
  });
});

describe('batch predictions', () => {
  scenario(
    'what is asked for is checked, and accepted once',
    () => gateway,
    () => [
      {
        name: 'accepted',
        method: 'POST',
        url: '/batch-predictions',
        body: batch(),
        headers: { 'idempotency-key': 'a' },
        status: 202,
        has: { state: 'queued' },
      },
      {
        name: 'again',
        method: 'POST',
        url: '/batch-predictions',
        body: batch(),
        headers: { 'idempotency-key': 'a' },
        status: 200,
        has: { state: 'queued' },
      },
      {
        name: 'another under its key',
        method: 'POST',
        url: '/batch-predictions',
        body: batch({ concurrency: 2 }),
        headers: { 'idempotency-key': 'a' },
        status: 409,
      },
      {
        name: 'of no endpoint',
        method: 'POST',
        url: '/batch-predictions',
        body: batch({ endpoint: 'none' }),
        status: 404,
        has: 'no endpoint \\"none\\"',
      },
      {
        name: 'of no such revision',
        method: 'POST',
        url: '/batch-predictions',
        body: batch({ revision: 9 }),
        status: 404,
      },
      {
        name: 'of bytes that nobody brought',
        method: 'POST',
        url: '/batch-predictions',
        body: batch({ input: { digest: digestOf('other'), format: 'csv' } }),
        status: 400,
        has: 'was not uploaded to this project',
      },
      {
        name: 'of no format',
        method: 'POST',
        url: '/batch-predictions',
        body: batch({ output: { format: 'xml' } }),
        status: 400,
        has: 'output.format',
      },
      {
        name: 'of two inputs',
        method: 'POST',
        url: '/batch-predictions',
        body: batch({ input: { digest, dataset: 'd', format: 'csv' } }),
        status: 400,
        has: 'say either dataset or digest',
      },
      {
        name: 'by a key that may only predict',
        as: 'predict',
        method: 'POST',
        url: '/batch-predictions',
        body: batch(),
        status: 403,
      },
      {
        name: 'listed',
        method: 'GET',
        url: '/batch-predictions?state=queued',
        status: 200,
        has: { batches: [{ name: 'same', endpoint: 'same', rowsTotal: null, rowsDone: 0 }] },
      },
      { name: 'not there', method: 'GET', url: '/batch-predictions/ba_none', status: 404 },
    ],
  );

  test('is shown, cancelled, and has a result only when it succeeded', async () => {
    const { id } = (await check(gateway, {
      method: 'POST',
      url: '/batch-predictions',
      body: batch({ name: 'night' }),
      status: 202,
    })) as { id: string };
    expect(gateway.queued).toContainEqual({ name: 'batch.run', data: { batchId: id }, id: `${id}-0` });
    const url = `/batch-predictions/${id}`;
    await check(gateway, {
      method: 'GET',
      url,
      status: 200,
      has: { name: 'night', result: null, spec: { concurrency: 8 } },
    });
    await check(gateway, { method: 'GET', url: `${url}/result`, status: 409, has: 'is queued; it has no result' });
    await check(gateway, { method: 'POST', url: `${url}/cancel`, status: 200, has: { state: 'cancelled' } });
    await check(gateway, { method: 'POST', url: `${url}/cancel`, status: 200, has: { state: 'cancelled' } });
    await gateway.db
      .updateTable('batch_predictions')
      .set({ state: 'succeeded', result_digest: digest, result_bytes: table.length, rows_done: 1, rows_total: 1 })
      .where('id', '=', id)
      .execute();
    await check(gateway, {
      method: 'GET',
      url,
      status: 200,
      has: { result: { digest, bytes: 10, rows: 1, format: 'jsonl' } },
    });
    expect(await check(gateway, { method: 'GET', url: `${url}/result`, status: 200 })).toBe(table);
    const named = await gateway.call('admin', 'GET', `/api/v1${url}/result`);
    expect(named.headers.get('content-disposition')).toContain('night.jsonl');
  });

  test('is accepted also while the queue is away', async () => {
    gateway.queueAway = true;
    await check(gateway, { method: 'POST', url: '/batch-predictions', body: batch(), status: 202 });
    gateway.queueAway = false;
  });
});
