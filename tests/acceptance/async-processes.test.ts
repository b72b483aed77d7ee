/** Asynchronous and batch predictions at a gateway of several processes: whichever takes one, it is made and counted once. */
import { beforeAll, describe, expect, it } from 'vitest';
import type { Batch } from '../../src/cli/api-types.js';
import { eventually } from '../support/children.js';
import { canKill, type PlatformProcess, startPlatformProcess } from '../support/platform-process.js';

const COUNT = 40;
let platform: PlatformProcess;

beforeAll(async () => {
  platform = await startPlatformProcess({ SLUICE_GATEWAY_PROCESSES: '2' });
  // one request at a time, so that what is too much at once is heard of
  await platform.serve('linear', 'linear.onnx', { scaling: { concurrency: 1, maxReplicas: 1 } });
  await platform.serve('cached', 'linear.onnx', { responseCache: { enabled: true } });
}, 90_000);

const body = (id: number) => JSON.stringify({ inputs: [{ name: 'id', datatype: 'INT64', shape: [1], data: [id] }] });

/** Each on a connection of its own, as they are dealt out among the processes. */
const ask = (path: string, init: RequestInit = {}, headers: Record<string, string> = {}) =>
  fetch(`${platform.url}${path}`, {
    ...init,
    headers: { authorization: `Bearer ${platform.key}`, connection: 'close', ...headers },
  });

async function later(endpoint: string, id: number, headers: Record<string, string> = {}): Promise<string> {
  const prefer = { prefer: 'respond-async', ...headers };
  const response = await ask(`/v2/models/${endpoint}/infer`, { method: 'POST', body: body(id) }, prefer);
  expect([response.status, response.headers.get('sluice-cache')]).toEqual([202, null]);
  return ((await response.json()) as { location: string }).location;
}

async function answerAt(location: string): Promise<unknown> {
  let found: unknown;
  await eventually(async () => {
    const response = await ask(location).catch(() => undefined);
    if (response?.status !== 200) return false;
    found = ((await response.json()) as { outputs: { data: unknown }[] }).outputs[0]?.data;
    return true;
  }, 60_000);
  return found;
}

async function predictions(endpoint: string): Promise<number> {
  const text = await (await ask('/metrics')).text();
  return text
    .split('\n')
    .filter((line) => line.startsWith('sluice_predictions_total{') && line.includes(`endpoint="${endpoint}"`))
    .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

async function batchOf(rows: number): Promise<Batch> {
  const text = `id\n${Array.from({ length: rows }, (_, at) => `${at}\n`).join('')}`;
  const stream = {
    bytes: text.length,
    async *open() {
      yield Buffer.from(text);
    },
  };
  const { digest } = (await platform.client.post<{ digest: string }>('/api/v1/blobs', { stream })).body;
  const json = { endpoint: 'linear', input: { digest, format: 'csv' }, output: { format: 'csv' } };
  return (await platform.client.post<Batch>('/api/v1/batch-predictions', { json })).body;
}

describe.skipIf(!canKill)('at a gateway of several processes', () => {
  it('a request that any of them accepted is made once, counted, and answered by all', async () => {
    const taken = await Promise.all(Array.from({ length: COUNT }, (_, id) => later('linear', id)));
    for (const [id, location] of taken.entries()) expect(await answerAt(location)).toEqual([2 * id + 1]);
    expect(await predictions('linear')).toBe(COUNT);
  }, 90_000);

  it('a key is one prediction, whichever of them hears it', async () => {
    const key = { 'idempotency-key': 'once' };
    const taken = await Promise.all(Array.from({ length: 10 }, () => later('linear', 5, key)));
    expect(new Set(taken).size).toBe(1);
    expect(await answerAt(taken[0] ?? '')).toEqual([11]);
  }, 60_000);

  it('what is kept in a cache does not answer in its place', async () => {
    const direct = () => ask('/v2/models/cached/infer', { method: 'POST', body: body(3) });
    await eventually(async () => (await direct()).headers.get('sluice-cache') === 'hit');
    expect(await answerAt(await later('cached', 3))).toEqual([7]);
    expect(await answerAt(await later('cached', 3, { 'cache-control': 'no-store' }))).toEqual([7]);
  }, 60_000);

  it('a batch, and requests that were just accepted, outlive all of them', async () => {
    const { id } = await batchOf(50_000);
    const taken = await Promise.all(Array.from({ length: COUNT }, (_, at) => later('linear', at)));
    platform.kill('gateway');
    for (const [at, location] of taken.entries()) expect(await answerAt(location)).toEqual([2 * at + 1]);
    const show = () => platform.client.get<Batch>(`/api/v1/batch-predictions/${id}`).catch(() => undefined);
    await eventually(async () => Boolean((await show())?.body.endedAt), 90_000);
    expect((await show())?.body).toMatchObject({ state: 'succeeded', rowsDone: 50_000, rowsBad: 0, reason: '' });
  }, 180_000);
});
