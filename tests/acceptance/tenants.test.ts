/** Two projects behind one gateway, each with an endpoint of the same name: nobody meets the other's, in any protocol. */
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SluiceClient } from '../../src/cli/client.js';
import { createKey } from '../../src/core/access/store.js';
import { createLog } from '../../src/log.js';
import { openDatabase } from '../../src/platform/db/open.js';
import { writeModelInferRequest } from '../../src/protocol/grpc/infer-request.js';
import { readModelInferResponse } from '../../src/protocol/grpc/infer-response.js';
import { tensorFromBytes } from '../../src/protocol/tensor.js';
import { eventually } from '../support/children.js';
import { type GatewayProcess, startGatewayProcess } from '../support/gateway-process.js';
import { call, prefixed, session } from '../support/grpc-client.js';
import { modelPath } from '../support/runtime.js';

let gateway: GatewayProcess;
/** The second project's administrator. */
let key: string;

const TENSORS = ['a', 'b'];

beforeAll(async () => {
  gateway = await startGatewayProcess();
  const database = openDatabase(gateway.databaseUrl, createLog({ level: 'error', format: 'text' }));
  await database.db.insertInto('projects').values({ name: 'elsewhere' }).execute();
  ({ key } = await createKey(database.db, { project: 'elsewhere', name: 'eve', role: 'admin' }));
  await database.close();
  const theirs = new SluiceClient({ url: gateway.url, key });
  await eventually(() => theirs.get('/api/v1/endpoints').then(isTrue, isFalse));
  const model = await readFile(modelPath('add.onnx'));
  for (const [client, endpoints] of [
    [gateway.client, ['sum', 'ours']],
    [theirs, ['sum']],
  ] as const) {
    for (const name of endpoints) {
      await client.post('/api/v1/models/add/versions', { stream: streamOf(model) });
      const json = { name, model: 'add', version: 1, responseCache: { enabled: true } };
      await client.post('/api/v1/endpoints', { json });
      await eventually(() => client.get(`/v2/models/${name}/ready`).then(isTrue, isFalse));
    }
  }
}, 120_000);

afterAll(async () => {
  await gateway?.stop();
});

const isTrue = () => true;
const isFalse = () => false;

function streamOf(bytes: Uint8Array) {
  return {
    bytes: bytes.length,
    async *open() {
      yield bytes;
    },
  };
}

const BODY = {
  inputs: TENSORS.map((name, at) => ({ name, datatype: 'FP32', shape: [1, 2], data: [at + 1, at + 1] })),
};

async function ask(as: string, path: string, body?: object, headers: Record<string, string> = {}) {
  const answer = await fetch(gateway.url + path, {
    method: body ? 'POST' : 'GET',
    headers: { authorization: `Bearer ${as}`, ...headers },
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
  return { status: answer.status, from: answer.headers.get('sluice-cache'), text: await answer.text() };
}

describe("another project's endpoint", () => {
  it.each([
    ['/v2/models/ours', undefined],
    ['/v2/models/ours/ready', undefined],
    ['/v2/models/ours/stats', undefined],
    ['/v2/models/ours/infer', BODY],
    ['/v2/models/ours/versions/1/infer', BODY],
    ['/v2/repository/models/ours/unload', {}],
    ['/v2/repository/models/ours/load', {}],
    ['/v1/models/ours', undefined],
    ['/v1/models/ours:predict', { instances: [1] }],
    ['/v1/models/ours:explain', { instances: [1] }],
    ['/openai/v1/models/ours', undefined],
    ['/openai/v1/chat/completions', { model: 'ours', messages: [] }],
  ])('is not there: %s', async (path, body) => {
    expect((await ask(gateway.key, path, body)).status).not.toBe(404);
    if (path.endsWith('unload')) await ask(gateway.key, '/v2/repository/models/ours/load', {});
    const { status, text } = await ask(key, path, body);
    expect([status, text]).toEqual([404, expect.stringContaining('ours')]);
  });

  it('is on no list', async () => {
    for (const path of ['/v2/models', '/v1/models', '/openai/v1/models']) {
      expect((await ask(gateway.key, path)).text).toContain(path.startsWith('/openai') ? 'data' : 'ours');
      expect((await ask(key, path)).text).not.toContain('ours');
    }
    expect((await ask(key, '/v2/repository/index', {})).text).not.toContain('ours');
  });

  it('is not there for gRPC', async () => {
    const inputs = TENSORS.map((name) => tensorFromBytes(name, 'FP32', [1, 2], Buffer.alloc(8)));
    const message = (modelName: string) =>
      prefixed(
        Buffer.concat(
          writeModelInferRequest(
            { modelName, modelVersion: undefined },
            { id: 'x', parameters: {}, inputs, outputs: undefined },
          ),
        ),
      );
    const client = session(Number(new URL(gateway.url).port));
    const infer = (as: string, name: string) =>
      call(client, '/inference.GRPCInferenceService/ModelInfer', message(name), { authorization: `Bearer ${as}` });
    expect((await infer(key, 'ours')).status).toBe('5');
    const own = await infer(key, 'sum');
    expect(own.status).toBe('0');
    expect(readModelInferResponse(own.messages[0]?.bytes ?? Buffer.alloc(0)).id).toBe('x');
  });
});

it('answers that are kept are kept for one project', async () => {
  expect((await ask(gateway.key, '/v2/models/sum/infer', BODY)).from).toBe('miss');
  expect((await ask(gateway.key, '/v2/models/sum/infer', BODY)).from).toBe('hit');
  expect((await ask(key, '/v2/models/sum/infer', BODY)).from).toBe('miss');
});

describe('a prediction that is answered later', () => {
  const later = { prefer: 'respond-async', 'idempotency-key': 'one' };

  it('is taken for an endpoint of the own project alone', async () => {
    for (const path of ['/v2/models/ours/infer', '/v1/models/ours:predict'])
      expect((await ask(key, path, BODY, later)).status).toBe(404);
  });

  it('is nobody else’s, also under the same key and name', async () => {
    const made = await Promise.all([gateway.key, key].map((as) => ask(as, '/v2/models/sum/infer', BODY, later)));
    expect(made.map(({ status }) => status)).toEqual([202, 202]);
    const [location, other] = made.map(({ text }) => (JSON.parse(text) as { location: string }).location);
    expect(location).not.toBe(other);
    expect((await ask(gateway.key, location ?? '')).status).toBe(202);
    expect((await ask(key, location ?? '')).status).toBe(404);
  });
});
