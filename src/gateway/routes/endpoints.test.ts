import { beforeAll, describe, test } from 'vitest';
import { check, modelBytes, scenario } from '../../../tests/support/scenario.js';
import { type TestGateway, testGateway } from '../../../tests/support/test-services.js';

let gateway: TestGateway;

beforeAll(async () => {
  gateway = await testGateway();
  for (const bytes of [await modelBytes('add.onnx'), await modelBytes('identity-fp32.onnx')]) {
    await check(gateway, { method: 'POST', url: '/models/sums/versions', body: bytes, status: 201 });
  }
});

describe('endpoints and traffic', () => {
  scenario(
    'an endpoint, its revisions and its traffic',
    () => gateway,
    () => [
      {
        name: 'serving at once',
        method: 'POST',
        url: '/endpoints',
        body: { name: 'sum', model: 'sums', version: 1 },
        status: 201,
        has: {
          traffic: [{ revision: 1, percent: 100 }],
          generation: 1,
          revisions: [{ number: 1, modelVersion: 1 }],
          rollout: null,
        },
      },
      { name: 'champion', method: 'GET', url: '/models/sums/aliases/champion', status: 200, has: { version: 1 } },
      { name: 'twice', method: 'POST', url: '/endpoints', body: { name: 'sum', model: 'sums' }, status: 409 },
      {
        name: 'no such version: no endpoint',
        method: 'POST',
        url: '/endpoints',
        body: { name: 'sum2', model: 'sums', version: 9 },
        status: 404,
      },
      { name: 'none was made', method: 'GET', url: '/endpoints/sum2', status: 404 },
      {
        name: 'no such model',
        method: 'POST',
        url: '/endpoints',
        body: { name: 'sum2', model: 'none' },
        status: 404,
        has: 'no model \\"none\\"',
      },
      {
        name: 'put creates',
        method: 'PUT',
        url: '/endpoints/quiet',
        body: { model: 'sums' },
        status: 201,
        has: { name: 'quiet', revisions: [], traffic: [] },
      },
      {
        name: 'put changes',
        method: 'PUT',
        url: '/endpoints/quiet',
        body: { model: 'sums', access: 'public' },
        status: 200,
        has: { access: 'public' },
      },
      {
        name: 'not the model',
        method: 'PUT',
        url: '/endpoints/quiet',
        body: { model: 'other' },
        status: 400,
        has: 'cannot change',
      },
      {
        name: 'not the name',
        method: 'PUT',
        url: '/endpoints/quiet',
        body: { name: 'loud', model: 'sums' },
        status: 400,
        has: 'as in the path',
      },
      {
        name: 'a revision',
        method: 'POST',
        url: '/endpoints/sum/revisions',
        body: { version: 2, scaling: { maxReplicas: 5 } },
        status: 201,
        has: { revision: 2 },
      },
      {
        name: 'split',
        method: 'PUT',
        url: '/endpoints/sum/traffic',
        body: {
          targets: [
            { revision: 1, percent: 90 },
            { revision: 2, percent: 10, tag: 'new' },
          ],
          generation: 1,
          reason: 'try',
        },
        status: 200,
        has: { generation: 2 },
      },
      {
        name: 'lost update',
        method: 'PUT',
        url: '/endpoints/sum/traffic',
        body: { targets: [{ revision: 1, percent: 100 }], generation: 1 },
        status: 409,
        has: 'generation 2, not 1',
      },
      {
        name: 'percents',
        method: 'PUT',
        url: '/endpoints/sum/traffic',
        body: { targets: [{ revision: 1, percent: 90 }] },
        status: 400,
        has: 'add up to 100, not 90',
      },
      {
        name: 'no such revision',
        method: 'PUT',
        url: '/endpoints/sum/traffic',
        body: { targets: [{ revision: 8, percent: 100 }] },
        status: 404,
      },
      {
        name: 'nothing',
        method: 'PUT',
        url: '/endpoints/sum/traffic',
        body: { targets: [] },
        status: 400,
        has: 'at least one revision',
      },
      {
        name: 'history',
        method: 'GET',
        url: '/endpoints/sum/traffic',
        status: 200,
        has: { generation: 2, history: [{ generation: 2, reason: 'try', actor: 'ada' }, { generation: 1 }] },
      },
      { name: 'before it was', method: 'GET', url: '/endpoints/sum/traffic?at=2020-01-01T00:00:00Z', status: 404 },
      {
        name: 'in force then',
        method: 'GET',
        url: '/endpoints/sum/traffic?at=2999-01-01T00:00:00Z',
        status: 200,
        has: { generation: 2, reason: 'try' },
      },
      { name: 'no moment', method: 'GET', url: '/endpoints/sum/traffic?at=yesterday', status: 400, has: 'at: ' },
      {
        name: 'list',
        method: 'GET',
        url: '/endpoints',
        status: 200,
        has: { endpoints: [{ name: 'quiet' }, { name: 'sum' }] },
      },
      { name: 'delete', method: 'DELETE', url: '/endpoints/quiet', status: 204 },
      { name: 'gone', method: 'GET', url: '/endpoints/quiet', status: 404 },
    ],
  );

  test('what the fleet and the statistics say is shown', async () => {
    const { db, services } = gateway;
    const { id } = await db.selectFrom('endpoints').select('id').where('name', '=', 'sum').executeTakeFirstOrThrow();
    gateway.statuses = [
      {
        endpointId: id,
        endpoint: 'sum',
        revision: 1,
        ready: 1,
        starting: 0,
        busy: 2,
        waiting: 0,
        message: 'ok',
        failing: false,
        replicas: [{ id: 'r', pid: 7, state: 'ready' }],
      } as never,
    ];
    for (let i = 0; i < 10; i++) services.statistics.counterOf(id, 1).record(Date.now() - 5000, 10, i === 0);
    await services.statistics.flush(db, Date.now(), true);
    await check(gateway, {
      method: 'GET',
      url: '/endpoints/sum',
      status: 200,
      has: {
        revisions: [
          { number: 2, stats1m: { requests: 0, p50Ms: null } },
          { number: 1, status: { busy: 2 }, stats1m: { requests: 10, errors: 1 } },
        ],
      },
    });
    gateway.statuses = [];
  });
});
