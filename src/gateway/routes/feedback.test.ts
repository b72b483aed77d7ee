/** Feedback, webhooks and filtered events over the API. */
import { beforeAll, describe, expect, test } from 'vitest';
import { check, modelBytes, scenario } from '../../../tests/support/scenario.js';
import { type TestGateway, testGateway } from '../../../tests/support/test-services.js';
import { endpointSpecSchema } from '../../core/endpoints/endpoint.js';
import { createServingEndpoint } from '../../core/endpoints/serve.js';
import { getEndpoint } from '../../core/endpoints/store.js';
import { writeToken } from '../../core/feedback/token.js';

let gateway: TestGateway;
let token: string;

beforeAll(async () => {
  gateway = await testGateway();
  await check(gateway, {
    method: 'POST',
    url: '/models/sums/versions',
    body: await modelBytes('add.onnx'),
    status: 201,
  });
  const spec = { name: 'sum', model: 'sums', version: 1 };
  await check(gateway, {
    method: 'POST',
    url: '/endpoints',
    body: { ...spec, routing: { feedback: {} } },
    status: 201,
  });
  await check(gateway, { method: 'POST', url: '/endpoints', body: { ...spec, name: 'mute' }, status: 201 });
  await check(gateway, {
    method: 'POST',
    url: '/endpoints',
    body: { ...spec, name: 'open', access: 'public', routing: { feedback: {} } },
    status: 201,
  });
  const { id, feedback_secret: secret } = await getEndpoint(gateway.db, 'default', 'open');
  const second = Math.floor(Date.now() / 1000);
  token = writeToken(secret, id, { revision: 1, second, requestId: 'r' });
});

const report = (
  name: string,
  body: unknown,
  status: number,
  has: unknown,
  as: 'guest' | 'predict' | 'other' = 'predict',
) => ({
  name: JSON.stringify(body).slice(0, 60),
  method: 'POST',
  url: `/endpoints/${name}/feedback`,
  ...{ body, status, has, as },
});

scenario(
  'feedback is for whoever may predict',
  () => gateway,
  () => [
    report('sum', { revision: 1, reward: 1 }, 200, { counted: 1, duplicates: 0 }),
    report(
      'sum',
      [
        { revision: 1, reward: 0.5, id: 'a' },
        { revision: 1, label: 3, prediction: 3, id: 'a' },
      ],
      200,
      { counted: 2 },
    ),
    report('sum', { revision: 1, reward: 0.5, id: 'a' }, 200, { counted: 0, duplicates: 1 }),
    report('sum', { revision: 1, reward: 1 }, 401, 'a key is needed', 'guest'),
    report('nowhere', { revision: 1, reward: 1 }, 401, 'a key is needed', 'guest'),
    report('sum', { revision: 1, reward: 1 }, 404, 'no endpoint', 'other'),
    report('mute', { revision: 1, reward: 1 }, 409, 'takes no feedback'),
    report('open', { token, reward: 1 }, 200, { counted: 1 }, 'guest'),
    report('open', { token, reward: 1 }, 200, { counted: 0, duplicates: 1 }, 'guest'),
    report('open', { revision: 1, reward: 1 }, 401, 'from callers with a key only', 'guest'),
    report(
      'sum',
      [{ revision: 1, reward: 1 }, {}, {}, { revision: 1, reward: 1.7 }],
      400,
      'feedback[3].reward is 1.7, must be between 0 and 1',
    ),
    report('sum', { revision: 0.5, reward: 1 }, 400, 'feedback[0].revision'),
    report('sum', [], 400, 'feedback'),
    report('sum', new Array(1001).fill({ revision: 1, reward: 1 }), 400, '1000'),
    {
      name: 'what it adds up to',
      method: 'GET',
      url: '/endpoints/sum/feedback?windowSec=3600',
      status: 200,
      has: {
        revisions: [{ revision: 1, reward: { count: 2, mean: 0.75 }, accuracy: { count: 1, mean: 1 } }],
        bandit: null,
      },
    },
    { name: 'is for administrators', as: 'predict', method: 'GET', url: '/endpoints/sum/feedback', status: 403 },
    {
      name: 'a bandit without feedback',
      method: 'POST',
      url: '/endpoints',
      body: { name: 'greedy', model: 'sums', routing: { bandit: {} } },
      status: 400,
      has: 'needs routing.feedback.enabled',
    },
  ],
);

scenario(
  'webhooks',
  () => gateway,
  () => [
    {
      name: 'private',
      method: 'POST',
      url: '/webhooks',
      body: { url: 'http://10.0.0.1/' },
      status: 400,
      has: 'private address',
    },
    {
      name: 'kinds',
      method: 'POST',
      url: '/webhooks',
      body: { url: 'https://example.com/', kinds: ['Ro llout'] },
      status: 400,
      has: 'pattern such as rollout.*',
    },
    {
      name: 'role',
      as: 'predict',
      method: 'POST',
      url: '/webhooks',
      body: { url: 'https://example.com/' },
      status: 403,
    },
  ],
);

describe('a webhook', () => {
  test('is made, stopped, tested, listed and removed', async () => {
    const { id } = (await check(gateway, {
      method: 'POST',
      url: '/webhooks',
      body: { url: 'https://example.com/hook', kinds: ['rollout.*'] },
      status: 201,
    })) as { id: string };
    await check(gateway, { method: 'POST', url: `/webhooks/${id}/test`, status: 202, has: { id } });
    await check(gateway, { method: 'PUT', url: `/webhooks/${id}`, body: { enabled: false }, status: 200 });
    await check(gateway, { method: 'POST', url: `/webhooks/${id}/test`, status: 409, has: 'disabled by ada' });
    const webhooks = [{ id, enabled: false, kinds: ['rollout.*'], format: 'cloudevents', reason: 'disabled by ada' }];
    await check(gateway, { method: 'GET', url: '/webhooks', status: 200, has: { webhooks } });
    await check(gateway, { method: 'DELETE', url: `/webhooks/${id}`, status: 204 });
    await check(gateway, { method: 'DELETE', url: `/webhooks/${id}`, status: 404 });
  });
});

describe('events', () => {
  const kindsOf = (answer: unknown) => (answer as { events: { kind: string }[] }).events.map(({ kind }) => kind);

  test('are filtered by kinds and subject; pages of a filter go on', async () => {
    await createServingEndpoint(gateway.db, 'default', specOf('later'), 1, 'ada');
    const some = await check(gateway, {
      method: 'GET',
      url: '/events?kinds=endpoint.*,traffic.changed&subject=endpoint/later',
      status: 200,
    });
    expect(kindsOf(some)).toEqual(['endpoint.created', 'traffic.changed']);
    const none = (await check(gateway, { method: 'GET', url: '/events?kinds=job.*', status: 200 })) as { next: number };
    const all = (await check(gateway, { method: 'GET', url: '/events', status: 200 })) as { next: number };
    expect(none.next).toBe(all.next);
    await check(gateway, { method: 'GET', url: '/events?kinds=%27', status: 400, has: 'pattern such as rollout.*' });
    // an underscore is no wildcard
    await check(gateway, { method: 'GET', url: '/events?kinds=traffic_changed', status: 200, has: { events: [] } });
  });

  test('are CloudEvents where that is asked for', async () => {
    const response = await gateway.call(
      'admin',
      'GET',
      '/api/v1/events?kinds=job.*,endpoint.created&limit=1',
      undefined,
      {
        accept: 'application/cloudevents-batch+json',
      },
    );
    expect(response.headers.get('content-type')).toBe('application/cloudevents-batch+json');
    const [event] = (await response.json()) as { id: string }[];
    expect(event).toMatchObject({ specversion: '1.0', type: 'sluice.endpoint.created', source: '/projects/default' });
    expect(response.headers.get('sluice-next')).toBe(event?.id);
  });

  function specOf(name: string) {
    return endpointSpecSchema.parse({ name, model: 'sums' });
  }
});
