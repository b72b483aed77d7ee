import { expect, test } from 'vitest';
import { NO_GATES } from '../../../tests/support/gate-bench.js';
import { check, modelBytes } from '../../../tests/support/scenario.js';
import { testGateway } from '../../../tests/support/test-services.js';
import { decidePromotion } from '../../core/promotions/decide.js';

test('what served, why, and the card of a version are told from the record', async () => {
  const gateway = await testGateway();
  const { db, services } = gateway;
  const ask = (method: string, url: string, body?: unknown, status = 200) =>
    check(gateway, { method, url, body, status }) as Promise<Record<string, string>>;
  await ask('POST', '/models/sums/versions', await modelBytes('add.onnx'), 201);
  const policy = {
    gates: [
      { kind: 'signature' },
      { kind: 'latency', maxMs: 60_000, requests: 100 },
      { kind: 'memory', maxMb: 100_000, requests: 5 },
    ],
    approval: { kind: 'one' },
  };
  const before = new Date(Date.now() - 60_000).toISOString();
  await ask('POST', '/endpoints', { name: 'sum', model: 'sums', version: 1, policy }, 201);
  const blob = await ask('POST', '/blobs', await modelBytes('add.onnx'), 201);
  const files = [
    { path: 'model.onnx', digest: blob.digest },
    { path: 'again.txt', digest: blob.digest },
  ];
  await ask('POST', '/models/sums/versions', { files, metrics: { accuracy: 0.9 } }, 201);
  const { promotion = '' } = await ask('POST', '/endpoints/sum/promotions', { version: 2 }, 202);
  await decidePromotion(
    { ...services, ...NO_GATES, owner: 'w1', enqueue: async () => {} },
    promotion,
    new AbortController().signal,
  );
  expect(await ask('GET', `/promotions/${promotion}`)).toMatchObject({
    state: 'awaiting_approval',
    requestedBy: 'ada',
    gates: [{ gate: 'load' }, { gate: 'signature' }, { gate: 'latency' }, { gate: 'memory', passed: true }],
  });
  expect(await ask('POST', `/promotions/${promotion}/approve`, { comment: 'fine | by me' })).toEqual({
    state: 'rolling',
  });
  const { rolloutId = '' } = await ask('GET', `/promotions/${promotion}`);
  await ask('POST', `/rollouts/${rolloutId}/promote`);

  const served = await ask('GET', '/endpoints/sum/served');
  expect(served).toMatchObject({
    endpoint: 'sum',
    actor: 'ada',
    until: null,
    targets: [
      {
        revision: 2,
        percent: 100,
        version: 2,
        lineage: { kind: 'upload' },
        job: null,
        promotion: { id: promotion, champion: 1, approvals: [{ actor: 'ada', vote: 'approve' }] },
        rollout: { id: rolloutId, stable: 1, last: { kind: 'promoted' } },
      },
    ],
  });
  await check(gateway, { method: 'GET', url: `/endpoints/sum/served?at=${before}`, status: 404 });
  const first = new Date(Date.parse(String(served.since)) - 1).toISOString();
  expect(await ask('GET', `/endpoints/sum/served?at=${first}`)).toMatchObject({
    until: served.since,
    targets: [{ revision: 1, version: 1, promotion: null, rollout: null }],
  });

  expect(await ask('GET', '/models/sums/versions/2/card')).toMatchObject({
    aliases: ['champion'],
    metrics: { accuracy: 0.9 },
    job: null,
    promotions: [{ id: promotion, state: 'promoted', rollout: { id: rolloutId } }],
    served: [{ endpoint: 'sum', revision: 2, until: null, percent: 100 }],
  });
  expect(await ask('GET', '/models/sums/versions/1/card')).toMatchObject({
    served: [{ revision: 1, until: served.since, percent: 100 }],
  });
  const url = '/api/v1/models/sums/versions/2/card';
  const markdown = await gateway.call('admin', 'GET', url, undefined, { accept: 'text/markdown' });
  expect(markdown.headers.get('content-type')).toContain('text/markdown');
  const text = await markdown.text();
  for (const said of ['# sums, version 2', '| memory | yes |', '| ada | approve |', 'fine \\| by me', '| sum | 2 |'])
    expect(text).toContain(said);
  expect(await db.selectFrom('promotion_approvals').selectAll().execute()).toHaveLength(1);
});

test('hooks need no key, open promotions alone, and their tokens are told once', async () => {
  const gateway = await testGateway();
  const ask = (method: string, url: string, body?: unknown, status = 200, as: 'admin' | 'guest' = 'admin') =>
    check(gateway, { method, url, body, status, as }) as Promise<Record<string, string>>;
  await ask('POST', '/models/sums/versions', await modelBytes('add.onnx'), 201);
  await ask('POST', '/endpoints', { name: 'sum', model: 'sums' }, 201);
  const { id = '', token = '', path = '' } = await ask('POST', '/endpoints/sum/hooks', { name: 'ci' }, 201);
  expect(path).toBe(`/api/v1/hooks/${token}`);
  const { promotion = '' } = await ask('POST', `/hooks/${token}`, {}, 202, 'guest');
  expect(gateway.queued).toContainEqual({ name: 'promotion.decide', data: { promotionId: promotion }, id: promotion });
  expect(await ask('GET', `/promotions/${promotion}`)).toMatchObject({ version: 1, trigger: { on: 'hook', hook: id } });
  await ask('POST', '/hooks/hk_guessed', {}, 404, 'guest');
  await ask('POST', `/hooks/${token}`, { version: 1, alias: 'best' }, 400, 'guest');
  await ask('GET', '/promotions', undefined, 401, 'guest');
  expect(JSON.stringify(await ask('GET', '/endpoints/sum/hooks'))).not.toContain(token);
  const rotated = await ask('POST', `/endpoints/sum/hooks/${id}/rotate`);
  await ask('POST', `/hooks/${token}`, {}, 404, 'guest');
  await ask('POST', `/hooks/${rotated.token}`, {}, 202, 'guest');
  await ask('DELETE', `/endpoints/sum/hooks/${id}`, undefined, 204);
  await ask('POST', `/hooks/${rotated.token}`, {}, 404, 'guest');
  expect(gateway.logged.join()).not.toContain(token);
});

test('policies are refused with the field and the bound', async () => {
  const gateway = await testGateway();
  await check(gateway, {
    method: 'POST',
    url: '/models/sums/versions',
    body: await modelBytes('add.onnx'),
    status: 201,
  });
  for (const [policy, says] of [
    [
      { triggers: [{ on: 'alias_moved', alias: 'champion' }] },
      'policy.triggers[0].alias: must be another one than champion',
    ],
    [{ triggers: [{ on: 'schedule', cron: '* * *' }] }, 'policy.triggers[0].cron: must be five fields'],
    [{ triggers: [{ on: 'schedule', cron: '0 0 31 2 *' }] }, 'policy.triggers[0].cron'],
    [{ triggers: [{ on: 'schedule', cron: '@daily', timezone: 'Mars/Base' }] }, 'has no time zone \\"Mars/Base\\"'],
    [{ gates: [{ kind: 'webhook', url: 'http://127.0.0.1/x' }] }, 'policy.gates[0].url: the webhook'],
    [
      { gates: [{ kind: 'latency', maxMs: 5, requests: 50 }] },
      'policy.gates[0].requests: must be at least 100 for quantile 0.95',
    ],
    [{ approval: { kind: 'two', by: ['ada'] } }, 'policy.approval.by: must name at least 2'],
    [{ approval: { expirySec: 1 } }, 'policy.approval.expirySec'],
  ] as const) {
    const body = { model: 'sums', policy };
    await check(gateway, { method: 'PUT', url: '/endpoints/sum', body, status: 400, has: says });
  }
});
