/** Asynchronous predictions as a client has them: accepted, made by a worker, fetched, whatever dies on the way. */
import { createHmac } from 'node:crypto';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseEvents } from '../../src/cli/sse.js';
import { eventually } from '../support/children.js';
import { canKill, type PlatformProcess, startPlatformProcess } from '../support/platform-process.js';

let platform: PlatformProcess;

interface Told {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}
const told: Told[] = [];
/** How the receiver of webhooks answers, call by call; 200 once these are used up. */
const answers: number[] = [];
const receiver = createServer(async (request, response) => {
  let body = '';
  for await (const chunk of request) body += chunk;
  told.push({ headers: request.headers as Record<string, string>, body });
  response.writeHead(answers.shift() ?? 200).end('thank you');
});
afterAll(() => {
  receiver.close();
});

beforeAll(async () => {
  platform = await startPlatformProcess({ SLUICE_WEBHOOK_PRIVATE: 'true' });
  await platform.serve('add', 'add.onnx');
  await platform.serve('gather', 'gather.onnx');
  await platform.serve('same', 'identity-fp32.onnx');
  await platform.serve('slow', 'slow.onnx', { scaling: { concurrency: 1, maxReplicas: 1 } });
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
}, 90_000);

const auth = () => ({ authorization: `Bearer ${platform.key}` });
const post = (path: string, body: string | Uint8Array, headers: Record<string, string> = {}) =>
  fetch(`${platform.url}${path}`, { method: 'POST', body: body as string, headers: { ...auth(), ...headers } });
const later = (path: string, body: string | Uint8Array, headers: Record<string, string> = {}) =>
  post(path, body, { prefer: 'respond-async', ...headers });

const sum = (a: number) =>
  JSON.stringify({
    inputs: ['a', 'b'].map((name) => ({ name, datatype: 'FP32', shape: [1, 2], data: [a, a] })),
  });
/** So many multiplications of a matrix with itself. */
const work = (steps: number) =>
  JSON.stringify({ inputs: [{ name: 'steps', datatype: 'INT64', shape: [], data: [steps] }] });

interface Summary {
  readonly id: string;
  readonly state: string;
  readonly location: string;
}

async function accepted(response: Response): Promise<Summary> {
  expect({ status: response.status, text: response.ok ? '' : await response.text() }).toEqual({
    status: 202,
    text: '',
  });
  const summary = (await response.json()) as Summary;
  expect(response.headers.get('location')).toBe(summary.location);
  expect(response.headers.get('preference-applied')).toBe('respond-async');
  return summary;
}

/** The status for a body that is said to be so large, of which nothing is sent. */
function statusOfSize(bytes: number): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const headers = { ...auth(), prefer: 'respond-async', 'content-length': bytes };
    const sending = request(`${platform.url}/v2/models/add/infer`, { method: 'POST', headers }, (response) => {
      resolve(response.statusCode);
      sending.destroy();
    });
    sending.on('error', reject);
    sending.flushHeaders();
  });
}

const state = async (location: string) =>
  ((await (await fetch(`${platform.url}${location}`, { headers: auth() })).json()) as Summary).state;

async function result(location: string): Promise<Response> {
  let response: Response | undefined;
  await eventually(async () => {
    response = await fetch(`${platform.url}${location}`, { headers: auth() }).catch(() => undefined);
    return response !== undefined && response.status !== 202 && response.status !== 503;
  }, 60_000);
  return response ?? expect.fail('no answer');
}

describe('an asynchronous prediction', () => {
  it.each([
    { why: 'JSON', path: '/v2/models/add/infer', body: sum(2), headers: {} },
    {
      why: 'an answer in bytes',
      path: '/v2/models/add/versions/1/infer',
      body: JSON.stringify({ ...JSON.parse(sum(3)), parameters: { binary_data_output: true } }),
      headers: {},
    },
    {
      why: 'rows by the V1 protocol',
      path: '/v1/models/same:predict',
      body: JSON.stringify({
        instances: [
          [1, 2.5],
          [3, 4],
        ],
      }),
      headers: { 'content-type': 'application/json' },
    },
    { why: 'what the model refuses', path: '/v2/models/add/infer', body: '{"inputs": 1}', headers: {} },
    {
      why: 'what fails in the model',
      path: '/v2/models/gather/infer',
      body: JSON.stringify({ inputs: [{ name: 'index', datatype: 'INT64', shape: [1], data: [9] }] }),
      headers: {},
    },
    {
      why: 'a revision that is not there',
      path: '/v2/models/add/infer',
      body: sum(1),
      headers: { 'sluice-revision': '7' },
    },
  ])('of $why is answered as one that waits', async ({ path, body, headers }) => {
    const direct = await post(path, body, headers);
    const { location } = await accepted(await later(path, body, headers));
    const fetched = await result(location);
    expect(fetched.status).toBe(direct.status);
    for (const name of ['content-type', 'inference-header-content-length', 'sluice-revision', 'sluice-model-version'])
      expect([name, fetched.headers.get(name)]).toEqual([name, direct.headers.get(name)]);
    expect(Buffer.from(await fetched.arrayBuffer())).toEqual(Buffer.from(await direct.arrayBuffer()));
  });

  it('takes large bodies, and packed ones, and gives answers as large', async () => {
    const rows = 1_000_000;
    const head = Buffer.from(
      JSON.stringify({
        parameters: { binary_data_output: true },
        inputs: [{ name: 'x', datatype: 'FP32', shape: [rows, 4], parameters: { binary_data_size: rows * 16 } }],
      }),
    );
    const tensor = Buffer.from(Float32Array.from({ length: rows * 4 }, (_, at) => at % 1000).buffer);
    const body = Buffer.concat([head, tensor]);
    const length = { 'inference-header-content-length': String(head.length) };
    const plain = await accepted(await later('/v2/models/same/infer', body, length));
    const packed = await accepted(
      await later('/v2/models/same/infer', gzipSync(body), { ...length, 'content-encoding': 'gzip' }),
    );
    for (const { location } of [plain, packed]) {
      const answer = await result(location);
      const bytes = Buffer.from(await answer.arrayBuffer());
      expect(bytes.subarray(Number(answer.headers.get('inference-header-content-length'))).equals(tensor)).toBe(true);
    }
  }, 60_000);

  it('under one idempotency key is one, however often; another body is a conflict', async () => {
    const key = { 'idempotency-key': 'once' };
    const made = await Promise.all(
      Array.from({ length: 5 }, async () => (await accepted(await later('/v2/models/add/infer', sum(5), key))).id),
    );
    expect(new Set(made).size).toBe(1);
    const other = await later('/v2/models/add/infer', sum(6), key);
    expect(other.status).toBe(409);
    expect(other.headers.get('sluice-error-code')).toBe('conflict');
    // another endpoint has keys of its own
    await accepted(await later('/v2/models/gather/infer', sum(6), key));
  });

  it('is refused as one that waits would be', async () => {
    expect((await later('/v2/models/none/infer', sum(1))).status).toBe(404);
    const nobody = await fetch(`${platform.url}/v2/models/add/infer`, {
      method: 'POST',
      body: sum(1),
      headers: { prefer: 'respond-async' },
    });
    expect(nobody.status).toBe(401);
    const bad = await later('/v2/models/add/infer', sum(1), { 'sluice-webhook': 'ftp://example.com' });
    expect([bad.status, await bad.text()]).toEqual([400, expect.stringContaining('neither http nor https')]);
    expect(await statusOfSize(65 * 2 ** 20)).toBe(413);
  });

  it('is nobody else’s', async () => {
    const { location } = await accepted(await later('/v2/models/add/infer', sum(1)));
    expect((await fetch(`${platform.url}${location}`)).status).toBe(401);
    expect((await fetch(`${platform.url}/v2/predictions/pr_none`, { headers: auth() })).status).toBe(404);
  });

  it('tells its states live', async () => {
    const { location } = await accepted(await later('/v2/models/slow/infer', work(2000)));
    const stream = await fetch(`${platform.url}${location}`, { headers: { ...auth(), accept: 'text/event-stream' } });
    const states: string[] = [];
    for await (const event of parseEvents(stream.body ?? expect.fail('no stream')))
      states.push((JSON.parse(event.data) as Summary).state);
    expect(states.at(-1)).toBe('succeeded');
    expect(new Set(states).size).toBe(states.length);
  });

  it('stops on DELETE, also while it runs', async () => {
    const { location, id } = await accepted(await later('/v2/models/slow/infer', work(200_000)));
    await eventually(async () => (await state(location)) === 'running');
    const stopped = await fetch(`${platform.url}${location}`, { method: 'DELETE', headers: auth() });
    expect(await stopped.json()).toEqual({ id, state: 'running', location });
    const end = await result(location);
    expect([end.status, await end.json()]).toEqual([499, { error: 'cancelled' }]);
    const { body } = await platform.client.get<{ predictions: { id: string }[] }>('/api/v1/predictions', {
      query: { state: 'cancelled', endpoint: 'slow' },
    });
    expect(body.predictions.map((one) => one.id)).toEqual([id]);
  });

  it('tells a webhook of its end, signed, again until it is taken', async () => {
    const { port } = receiver.address() as AddressInfo;
    answers.push(500);
    const url = `http://127.0.0.1:${port}/told`;
    const { id, location } = await accepted(await later('/v2/models/add/infer', sum(8), { 'sluice-webhook': url }));
    await eventually(() => told.length === 2, 30_000);
    const { body } = await platform.client.get<{ secret: string }>('/api/v1/webhooks/secret');
    const key = Buffer.from(body.secret.replace('whsec_', ''), 'base64');
    for (const message of told) {
      expect(JSON.parse(message.body)).toEqual({ id, endpoint: 'add', state: 'succeeded', status: 200, location });
      const { 'webhook-id': webhook, 'webhook-timestamp': at, 'webhook-signature': signature } = message.headers;
      const mac = createHmac('sha256', key).update(`${webhook}.${at}.${message.body}`).digest('base64');
      expect(signature).toBe(`v1,${mac}`);
    }
    expect(told[0]?.headers['webhook-id']).toBe(told[1]?.headers['webhook-id']);
    const deliveries = () =>
      platform.client.get<{ deliveries: { state: string; attempt: number }[] }>('/api/v1/webhooks/deliveries');
    await eventually(async () => (await deliveries()).body.deliveries[0]?.state === 'delivered');
    expect((await deliveries()).body.deliveries).toMatchObject([{ state: 'delivered', attempt: 2 }]);
  }, 60_000);

  it.skipIf(!canKill)(
    'outlives the gateway that took it, and the worker that ran it',
    async () => {
      const taken = await Promise.all(
        Array.from({ length: 20 }, async (_, at) => ({
          at,
          location: (await accepted(await later('/v2/models/add/infer', sum(at)))).location,
        })),
      );
      const long = await accepted(await later('/v2/models/slow/infer', work(20_000)));
      platform.kill('gateway');
      platform.kill('worker');
      for (const { at, location } of taken) {
        const { outputs } = (await (await result(location)).json()) as { outputs: { data: number[] }[] };
        expect(outputs[0]?.data).toEqual([2 * at, 2 * at]);
      }
      expect((await result(long.location)).status).toBe(200);
    },
    120_000,
  );

  it.skipIf(!canKill)(
    'that must not run twice ends with words when its worker dies with it',
    async () => {
      const { location } = await accepted(
        await later('/v2/models/slow/infer', work(300_000), { 'sluice-idempotent': 'false' }),
      );
      await eventually(async () => (await state(location)) === 'running');
      platform.kill('worker');
      const end = await result(location);
      expect([end.status, await end.json()]).toEqual([502, { error: 'attempt 1 was lost with its worker' }]);
    },
    120_000,
  );
});
