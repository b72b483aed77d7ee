/** Feedback, the traffic that follows it, and events to a receiver: the whole program, whatever dies on the way. */
import { beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../support/children.js';
import { type EventServer, eventServer } from '../support/event-server.js';
import { canKill, type PlatformProcess, startPlatformProcess } from '../support/platform-process.js';

let platform: PlatformProcess;
let receiver: EventServer;

const routing = { feedback: {}, bandit: { intervalSec: 1, minHoldSec: 1 } };

beforeAll(async () => {
  platform = await startPlatformProcess({ SLUICE_WEBHOOK_PRIVATE: 'true' });
  receiver = await eventServer();
  await platform.serve('plain', 'add.onnx');
  await platform.serve('add', 'add.onnx', { routing, access: 'public' });
}, 90_000);

const ADD = JSON.stringify({
  inputs: ['a', 'b'].map((name) => ({ name, datatype: 'FP32', shape: [1, 2], data: [1, 2] })),
});
const auth = () => ({ authorization: `Bearer ${platform.key}` });
const post = (path: string, body: string, headers: Record<string, string> = {}) =>
  fetch(`${platform.url}${path}`, {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/json', ...headers },
  });
const infer = (endpoint: string, headers: Record<string, string> = {}) =>
  post(`/v2/models/${endpoint}/infer`, ADD, headers);
const report = (items: unknown) => post('/api/v1/endpoints/add/feedback', JSON.stringify(items));

describe('an answer', () => {
  it('has a token only where its endpoint takes feedback, and only where it is one', async () => {
    const plain = await infer('plain', auth());
    expect([plain.status, plain.headers.get('sluice-feedback')]).toEqual([200, null]);
    const bad = await post('/v2/models/add/infer', '{"inputs": []}');
    expect([bad.status, bad.headers.get('sluice-feedback')]).toEqual([400, null]);
    const good = await infer('add', { 'x-request-id': 'mine' });
    expect(good.headers.get('sluice-feedback')).toMatch(/^1\.1\.[0-9a-z]+\.[\w-]+\.[\w-]{24}$/);
    const item = { token: good.headers.get('sluice-feedback'), reward: 1 };
    expect(await (await report(item)).json()).toEqual({ counted: 1, duplicates: 0 });
    expect(await (await report([item, item])).json()).toEqual({ counted: 0, duplicates: 2 });
  });
});

describe('the bandit', () => {
  it('moves the traffic of a live endpoint to what is reported to be better', async () => {
    const { client } = platform;
    await client.post('/api/v1/endpoints/add/revisions', { json: { version: 1 } });
    const targets = [1, 2].map((revision) => ({ revision, percent: 50 }));
    await client.put('/api/v1/endpoints/add/traffic', { json: { targets } });
    const tokens = new Map<string, string[]>();
    for (let n = 0; n < 120; n++) {
      const { headers } = await infer('add');
      const revision = headers.get('sluice-revision') ?? '';
      tokens.set(revision, [...(tokens.get(revision) ?? []), headers.get('sluice-feedback') ?? '']);
    }
    const items = [...tokens].flatMap(([revision, all]) =>
      all.map((token, at) => ({ token, reward: revision === '2' || at % 5 === 0 ? 1 : 0 })),
    );
    expect(await (await report(items)).json()).toEqual({ counted: 120, duplicates: 0 });
    const traffic = async () =>
      (
        await client.get<{ targets: { percent: number }[]; history: { actor: string; reason: string }[] }>(
          '/api/v1/endpoints/add/traffic',
        )
      ).body;
    await eventually(async () => ((await traffic()).targets[1]?.percent ?? 0) === 98);
    expect((await traffic()).history[0]).toMatchObject({ actor: 'bandit' });
    expect((await traffic()).history[0]?.reason).toContain('revision 2 98 % (mean 1 of');
  }, 60_000);
});

describe('a webhook', () => {
  it('gets events in order while its receiver fails and the worker dies', async () => {
    const { client } = platform;
    let failures = 1;
    receiver.answer = (response) => void response.writeHead(failures-- > 0 ? 503 : 204).end();
    const { id } = (
      await client.post<{ id: string }>('/api/v1/webhooks', { json: { url: receiver.url, kinds: ['endpoint.*'] } })
    ).body;
    for (let n = 0; n < 5; n++) {
      await client.post('/api/v1/endpoints', { json: { name: `made-${n}`, model: 'add' } });
      if (n === 2 && canKill) platform.kill('worker');
    }
    const made = () =>
      receiver.taken.map(({ body }) => (JSON.parse(body.toString()) as { data: { endpoint: string } }).data.endpoint);
    await eventually(async () => new Set(made()).size === 5, 60_000);
    // what came again came in its place
    expect(made().filter((name, at, all) => all.indexOf(name) === at)).toEqual([0, 1, 2, 3, 4].map((n) => `made-${n}`));
    const { webhooks } = (await client.get<{ webhooks: { id: string; enabled: boolean }[] }>('/api/v1/webhooks')).body;
    expect(webhooks).toMatchObject([{ id, enabled: true }]);
  }, 90_000);
});
