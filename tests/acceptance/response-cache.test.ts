/** The response cache of a real gateway, over every protocol, and shared through a real Redis where there is one. */
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeModelInferRequest } from '../../src/protocol/grpc/infer-request.js';
import { readModelInferResponse } from '../../src/protocol/grpc/infer-response.js';
import { tensorFromBytes } from '../../src/protocol/tensor.js';
import { type GatewayProcess, startGatewayProcess } from '../support/gateway-process.js';
import { call, prefixed, session } from '../support/grpc-client.js';
import { startRedis, type TestRedis, whyNoRedis } from '../support/redis-server.js';
import { modelPath } from '../support/runtime.js';

const gateways: GatewayProcess[] = [];
let redis: TestRedis | undefined;

afterAll(async () => {
  await Promise.all(gateways.map((gateway) => gateway.stop()));
  await redis?.stop();
});

async function gatewayWith(env: Record<string, string> = {}): Promise<GatewayProcess> {
  const gateway = await startGatewayProcess({ env: { SLUICE_LOG_LEVEL: 'silent', ...env } });
  gateways.push(gateway);
  await gateway.upload('add', await readFile(modelPath('add.onnx')));
  return gateway;
}

const cached = { responseCache: { enabled: true } };

interface Answered {
  readonly from: string | null;
  readonly json: unknown;
}

async function post(gateway: GatewayProcess, path: string, body: object, headers = {}): Promise<Answered> {
  const answer = await fetch(gateway.url + path, {
    method: 'POST',
    headers: { authorization: `Bearer ${gateway.key}`, ...headers },
    body: JSON.stringify(body),
  });
  return { from: answer.headers.get('sluice-cache'), json: await answer.json() };
}

const floats = (...values: number[]) => Buffer.from(Float32Array.from(values).buffer);
const inputs = (a: number, b: number) => [
  { name: 'a', datatype: 'FP32', shape: [1, 2], data: [a, a] },
  { name: 'b', datatype: 'FP32', shape: [1, 2], data: [b, b] },
];

async function callByGrpc(gateway: GatewayProcess, endpoint: string, a: number, b: number) {
  const message = writeModelInferRequest(
    { modelName: endpoint, modelVersion: undefined },
    {
      id: 'g1',
      parameters: {},
      inputs: [tensorFromBytes('a', 'FP32', [1, 2], floats(a, a)), tensorFromBytes('b', 'FP32', [1, 2], floats(b, b))],
      outputs: undefined,
    },
  );
  const { head, messages } = await call(
    session(Number(new URL(gateway.url).port)),
    '/inference.GRPCInferenceService/ModelInfer',
    prefixed(Buffer.concat(message)),
    { authorization: `Bearer ${gateway.key}` },
  );
  return { from: head['sluice-cache'], response: readModelInferResponse(messages[0]?.bytes ?? Buffer.alloc(0)) };
}

async function counted(gateway: GatewayProcess, endpoint: string): Promise<Record<string, number>> {
  const text = await (await fetch(`${gateway.url}/metrics`)).text();
  const found = [
    ...text.matchAll(/^sluice_response_cache_(hits|misses)_total\{endpoint="(\w+)"(?:,level="memory")?\} (\d+)$/gm),
  ];
  return Object.fromEntries(found.flatMap(([, name, of, count]) => (of === endpoint ? [[name, Number(count)]] : [])));
}

describe('a response cache', () => {
  let gateway: GatewayProcess;

  beforeAll(async () => {
    gateway = await gatewayWith();
    await gateway.serve('add', 'add', 1, cached);
    await gateway.serve('plain', 'add', 1);
  }, 120_000);

  it('answers equal requests of every protocol from one computation, each in its own form and with its own id', async () => {
    const first = await post(gateway, '/v2/models/add/infer', { id: 'one', inputs: inputs(1, 2) });
    const again = await post(gateway, '/v2/models/add/infer', { id: 'two', inputs: inputs(1, 2) });
    expect([first.from, again.from]).toEqual(['miss', 'hit']);
    expect(first.json).toMatchObject({ id: 'one', outputs: [{ data: [3, 3] }] });
    expect(again.json).toEqual({ ...(first.json as object), id: 'two' });
    const columns = { inputs: { a: [[1, 1]], b: [[2, 2]] } };
    const v1 = await post(gateway, '/v1/models/add:predict', columns);
    expect(v1).toEqual({ from: 'hit', json: { outputs: [[3, 3]] } });
    const { response } = await callByGrpc(gateway, 'add', 1, 2);
    expect(response.id).toBe('g1');
    expect(response.outputs[0]?.name).toBe((first.json as { outputs: { name: string }[] }).outputs[0]?.name);
    expect(await counted(gateway, 'add')).toEqual({ hits: 3, misses: 1 });
  });

  it('waits for the answer of a request that is under way', async () => {
    const body = { inputs: inputs(5, 6) };
    const all = await Promise.all(Array.from({ length: 20 }, () => post(gateway, '/v2/models/add/infer', body)));
    expect(new Set(all.map(({ json }) => JSON.stringify(json))).size).toBe(1);
    expect(all.filter(({ from }) => from === 'miss')).toHaveLength(1);
  });

  it('is passed by where a client says so, and where an endpoint has none', async () => {
    const body = { inputs: inputs(7, 8) };
    for (let i = 0; i < 2; i++) {
      expect((await post(gateway, '/v2/models/add/infer', body, { 'cache-control': 'no-cache' })).from).toBeNull();
      expect((await post(gateway, '/v2/models/plain/infer', body)).from).toBeNull();
    }
  });

  it('keeps nothing of a request that the model refuses', async () => {
    const body = { inputs: inputs(1, 2).slice(0, 1) };
    for (let i = 0; i < 2; i++) {
      const { from, json } = await post(gateway, '/v2/models/add/infer', body);
      expect(from).toBe('miss');
      expect(json).toMatchObject({ error: expect.stringContaining('"b"') });
    }
  });

  it("gives no revision another's answers", async () => {
    await gateway.client.post('/api/v1/endpoints/add/revisions', { json: { version: 1 } });
    await gateway.client.put('/api/v1/endpoints/add/traffic', {
      json: { targets: [{ revision: 2, percent: 100 }] },
    });
    const ask = () => post(gateway, '/v2/models/add/infer', { inputs: inputs(1, 2) });
    const asked = await until(ask, ({ json }) => (json as { model_version: string }).model_version === '2');
    expect(asked.from).toBe('miss');
    expect((await ask()).from).toBe('hit');
  });
});

describe.skipIf(whyNoRedis() !== undefined)('in Redis', () => {
  it('is shared by gateways, and is done without while Redis is down', async () => {
    redis = await startRedis();
    const gateway = await gatewayWith({ REDIS_URL: redis.url, SLUICE_GATEWAY_PROCESSES: '1' });
    await gateway.serve('add', 'add', 1, cached);
    const ask = (a: number) => post(gateway, '/v2/models/add/infer', { inputs: inputs(a, 2) });
    expect((await ask(1)).from).toBe('miss');
    // another process has nothing in memory
    await gateway.end();
    await gateway.begin();
    await until(
      () => post(gateway, '/v2/models/add/infer', { inputs: inputs(9, 9) }),
      ({ json }) => 'outputs' in (json as object),
    );
    expect((await ask(1)).from).toBe('hit');
    await redis.kill();
    expect((await ask(2)).json).toMatchObject({ outputs: [{ data: [4, 4] }] });
  }, 120_000);
});

/** The first answer that is as asked; routing follows the database a moment later. */
async function until<T>(ask: () => Promise<T>, holds: (answer: T) => boolean): Promise<T> {
  for (let i = 0; i < 200; i++) {
    const answer = await ask();
    if (holds(answer)) return answer;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error('the answer did not come');
}
