/** V1, the OpenAI API and the extensions of the Open Inference Protocol over HTTP, through a real gateway. */
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeModelInferRequest } from '../../src/protocol/grpc/infer-request.js';
import { readModelInferResponse } from '../../src/protocol/grpc/infer-response.js';
import { type ChatServer, startChatServer } from '../support/chat-server.js';
import { eventually } from '../support/children.js';
import { type GatewayProcess, startGatewayProcess } from '../support/gateway-process.js';
import { call, prefixed, session } from '../support/grpc-client.js';
import { modelPath, RUNTIME_SCRIPT } from '../support/runtime.js';

let gateway: GatewayProcess;
let chat: ChatServer;

beforeAll(async () => {
  [gateway, chat] = await Promise.all([startGatewayProcess(), startChatServer()]);
  for (const model of ['add', 'digits', 'identity-string', 'identity-int64', 'divide']) {
    await gateway.serve(model, model, await gateway.upload(model, await readFile(modelPath(`${model}.onnx`))));
  }
  await external('chat', { url: chat.url, protocols: ['openai'], readyPath: '/health', modelName: 'org/chat-7b' });
  const runtime = ['--http', '127.0.0.1:{port}', '--model', modelPath('digits.onnx'), '--name', '{name}'];
  await external('outside', { command: [process.execPath, RUNTIME_SCRIPT, ...runtime], protocols: ['v2'] });
}, 120_000);

afterAll(async () => {
  await gateway?.stop();
  chat?.close();
});

async function external(name: string, server: object): Promise<void> {
  const version = { json: { files: [], server } };
  await gateway.client.post(`/api/v1/models`, { json: { name } });
  const { body } = await gateway.client.post<{ version: number }>(`/api/v1/models/${name}/versions`, version);
  await gateway.serve(name, name, body.version);
}

interface Reply {
  readonly status: number;
  readonly headers: Headers;
  readonly json: unknown;
}

async function ask(path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Reply> {
  const reply = await fetch(gateway.url + path, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { authorization: `Bearer ${gateway.key}`, ...headers },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  return { status: reply.status, headers: reply.headers, json: await reply.json() };
}

const row = Array.from({ length: 64 }, (_, i) => i % 16);

describe('V1', () => {
  it('predicts rows and columns', async () => {
    const { status, json, headers } = await ask('/v1/models/digits:predict', { instances: [row, row] });
    expect(status).toBe(200);
    expect(headers.get('sluice-revision')).toBe('1');
    const { predictions } = json as { predictions: { label: number; probabilities: number[] }[] };
    expect(predictions).toHaveLength(2);
    expect(predictions[0]).toEqual(predictions[1]);
    expect(predictions[0]?.probabilities).toHaveLength(10);
    const columns = await ask('/v1/models/digits:predict', { inputs: { X: [row] } });
    expect(columns.json).toEqual({
      outputs: { label: [predictions[0]?.label], probabilities: [predictions[0]?.probabilities] },
    });
  });

  it('takes a version and a label', async () => {
    await gateway.client.put('/api/v1/endpoints/add/traffic', {
      json: { targets: [{ revision: 1, percent: 100, tag: 'stable' }] },
    });
    const body = { inputs: { a: [[1, 2]], b: [[3, 4]] } };
    for (const at of ['/versions/1', '/labels/stable', '']) {
      expect((await ask(`/v1/models/add${at}:predict`, body)).json).toEqual({ outputs: [[4, 6]] });
    }
    expect((await ask('/v1/models/add/versions/9:predict', body)).status).toBe(404);
    expect((await ask('/v1/models/add/labels/canary:predict', body)).json).toEqual({
      error: 'endpoint "add" has no traffic target with tag "canary"',
    });
  });

  it('keeps 64-bit integers and bytes whole', async () => {
    const text = await fetch(`${gateway.url}/v1/models/identity-int64:predict`, {
      method: 'POST',
      headers: { authorization: `Bearer ${gateway.key}` },
      body: '{"instances":[[9007199254740993]]}',
    }).then((reply) => reply.text());
    expect(text).toBe('{"predictions":[[9007199254740993]]}');
    const b64 = { b64: Buffer.from('abc').toString('base64') };
    expect((await ask('/v1/models/identity-string:predict', { instances: [[b64, 'é']] })).json).toEqual({
      predictions: [['abc', 'é']],
    });
  });

  it('tells of models, to clients of every kind', async () => {
    const list = (await ask('/v1/models')).json as { models: string[]; object: string; data: { id: string }[] };
    expect(list.models).toContain('digits');
    expect(list.data.map(({ id }) => id)).toEqual(list.models);
    expect((await ask('/v1/models/digits')).json).toMatchObject({
      name: 'digits',
      ready: true,
      model_version_status: [{ version: '1', state: 'AVAILABLE' }],
      id: 'digits',
      object: 'model',
    });
    expect((await ask('/v1/models/digits/metadata')).json).toMatchObject({
      model_spec: { name: 'digits', version: '1' },
      metadata: {
        signature_def: {
          signature_def: {
            serving_default: {
              inputs: { X: { dtype: 'DT_FLOAT', tensor_shape: { dim: [{ size: '-1' }, { size: '64' }] } } },
            },
          },
        },
      },
    });
  });

  it.each([
    ['a body that is none', '{', 400, 'not JSON'],
    ['a row too short', { instances: [[1]] }, 400, 'shape [1,1]'],
    ['an unknown signature', { instances: [row], signature_name: 'other' }, 400, 'no signature "other"'],
  ])('refuses %s', async (_, body, status, words) => {
    const reply = await ask('/v1/models/digits:predict', body);
    expect(reply.status).toBe(status);
    expect((reply.json as { error: string }).error).toContain(words);
  });

  it('says that a model has no explanations, and that there is nothing at other verbs', async () => {
    expect(await ask('/v1/models/digits:explain', { instances: [row] })).toMatchObject({
      status: 501,
      json: { error: 'models of kind onnx have no explanations' },
    });
    expect((await ask('/v1/models/digits:classify', {})).status).toBe(404);
    expect((await ask('/v1/models/digits:predict')).status).toBe(400);
  });
});

describe('the repository', () => {
  it('unloads and loads an endpoint', async () => {
    const index = async (body: object) =>
      (await ask('/v2/repository/index', body)).json as { name: string; state: string }[];
    expect((await ask('/v2/repository/models/divide/unload', {})).status).toBe(200);
    expect(await index({})).toContainEqual({ name: 'divide', version: '1', state: 'UNAVAILABLE', reason: 'unloaded' });
    expect((await index({ ready: true })).map(({ name }) => name)).not.toContain('divide');
    expect((await ask('/v2/models/divide/ready')).status).toBe(503);
    expect(await ask('/v2/models/divide/infer', { inputs: [] })).toMatchObject({
      status: 503,
      json: { error: 'endpoint "divide" is unloaded; a load of it puts it back into service' },
    });
    expect((await ask('/v2/repository/models/divide/load', {})).status).toBe(200);
    expect((await ask('/v2/models/divide/ready')).status).toBe(200);
  });

  it('is for administrators, and takes no foreign models', async () => {
    const { body } = await gateway.client.post<{ key: string }>('/api/v1/keys', {
      json: { name: 'app', role: 'predict' },
    });
    const app = { authorization: `Bearer ${body.key}` };
    expect((await ask('/v2/repository/models/divide/unload', {}, app)).status).toBe(403);
    expect((await ask('/v2/repository/models/divide/unload', {}, { authorization: '' })).status).toBe(401);
    expect((await ask('/v2/repository/models/nothing/load', {})).status).toBe(404);
    expect((await ask('/v2/repository/models/divide/load', { parameters: { config: '{}' } })).status).toBe(501);
  });
});

describe('statistics and settings', () => {
  it('counts what the replicas did', async () => {
    await ask('/v1/models/digits:predict', { instances: [row, row, row] });
    const { json } = await ask('/v2/models/digits/stats');
    const [stats] = (
      json as { model_stats: { inference_count: number; inference_stats: { success: { count: number } } }[] }
    ).model_stats;
    expect(stats).toMatchObject({ name: 'digits', version: '1' });
    expect(stats?.inference_stats.success.count).toBeGreaterThan(0);
    expect(stats?.inference_count).toBeGreaterThanOrEqual(3);
    const all = (await ask('/v2/models/stats')).json as { model_stats: { name: string }[] };
    expect(all.model_stats.map(({ name }) => name)).toContain('add');
  });

  it('tells the configuration, trace and log settings', async () => {
    expect((await ask('/v2/models/digits/config')).json).toMatchObject({
      max_batch_size: 32,
      input: [{ name: 'X', data_type: 'TYPE_FP32', dims: [64] }],
    });
    expect((await ask('/v2/trace/setting')).json).toMatchObject({ trace_level: ['OFF'] });
    expect((await ask('/v2/models/digits/trace/setting', { trace_level: ['TIMESTAMPS'] })).status).toBe(501);
    expect((await ask('/v2/trace/setting', { trace_level: { toString: 1 } })).status).toBe(501);
    expect((await ask('/v2/trace/setting', { parameters: { toString: 1 } })).status).toBe(400);
    expect((await ask('/v2/logging', { log_verbose_level: 1 })).json).toMatchObject({ log_verbose_level: 1 });
    expect((await ask('/v2/logging', { log_verbose_level: 'x' })).status).toBe(400);
    expect((await ask('/v2/logging', { log_verbose_level: 0, log_info: false })).json).toMatchObject({
      log_info: false,
    });
  });
});

describe('the OpenAI API', () => {
  const say = (content: string, more: object = {}) => ({
    model: 'chat',
    messages: [{ role: 'user', content }],
    ...more,
  });

  it('passes calls on, under the name that the server knows', async () => {
    for (const prefix of ['', '/openai']) {
      const { status, json } = await ask(`${prefix}/v1/chat/completions`, say('a b'));
      expect(status).toBe(200);
      expect(json).toMatchObject({ model: 'org/chat-7b', choices: [{ message: { content: 'a b' } }] });
    }
    expect(chat.asked.at(-1)).toMatchObject({ path: '/v1/chat/completions', body: { model: 'org/chat-7b' } });
  });

  it('streams as the server does', async () => {
    const reply = await fetch(`${gateway.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${gateway.key}`, 'accept-encoding': 'gzip' },
      body: JSON.stringify(say('one two three', { stream: true })),
    });
    expect(reply.headers.get('content-type')).toBe('text/event-stream');
    const text = await reply.text();
    expect([...text.matchAll(/"content":"(\w+) "/g)].map(([, word]) => word)).toEqual(['one', 'two', 'three']);
    expect(text.endsWith('data: [DONE]\n\n')).toBe(true);
  });

  it('cancels the server when the client goes away', async () => {
    const before = chat.abandoned();
    const gone = new AbortController();
    const reply = await fetch(`${gateway.url}/openai/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${gateway.key}` },
      body: JSON.stringify(say('now wait', { stream: true })),
      signal: gone.signal,
    });
    // the first words come before the server says anything more
    await reply.body?.getReader().read();
    gone.abort();
    await eventually(() => chat.abandoned() === before + 1);
  });

  it('lists the models that speak it', async () => {
    expect((await ask('/openai/v1/models')).json).toEqual({
      object: 'list',
      data: [{ id: 'chat', object: 'model', created: 0, owned_by: 'sluice' }],
    });
    expect((await ask('/openai/v1/models/chat')).json).toMatchObject({ id: 'chat' });
  });

  it.each([
    ['an unknown model', { model: 'nothing' }, 404, 'model_not_found', 'there is no endpoint "nothing"'],
    ['a model of tensors', { model: 'digits' }, 501, 'unsupported', 'serves a model of tensors'],
    ['no model', {}, 400, 'invalid', '"model" is missing'],
    ['no JSON', '{', 400, 'invalid', 'not JSON'],
  ])('refuses %s in its own words', async (_, body, status, code, words) => {
    const reply = await ask('/v1/chat/completions', body);
    expect(reply).toMatchObject({ status, json: { error: { code, message: expect.stringContaining(words) } } });
  });

  it('passes errors of the server on', async () => {
    expect(await ask('/v1/chat/completions', say('a', { fail: true }))).toMatchObject({
      status: 400,
      json: { error: { message: 'no' } },
    });
  });

  it('is not what tensors are sent to', async () => {
    expect(await ask('/v2/models/chat/infer', { inputs: [] })).toMatchObject({
      status: 501,
      json: { error: "the model's server speaks openai, not v2" },
    });
  });
});

describe('a server that speaks REST alone', () => {
  it('answers gRPC, too', async () => {
    const X = { name: 'X', datatype: 'FP32', shape: [1, 64], data: Float32Array.from(row) } as const;
    const infer = (modelName: string) =>
      call(
        session(Number(new URL(gateway.url).port)),
        '/inference.GRPCInferenceService/ModelInfer',
        prefixed(
          Buffer.concat(
            writeModelInferRequest(
              { modelName, modelVersion: undefined },
              { id: 'i', parameters: {}, inputs: [X], outputs: undefined },
            ),
          ),
        ),
        { authorization: `Bearer ${gateway.key}` },
      );
    const [inside, outside] = await Promise.all([infer('digits'), infer('outside')]);
    const read = (answer: typeof inside) => readModelInferResponse(answer.messages[0]?.bytes ?? Buffer.alloc(0));
    expect(outside.status).toBe('0');
    expect(read(outside)).toMatchObject({ id: 'i', outputs: read(inside).outputs });
  });

  it('does not answer V1', async () => {
    expect(await ask('/v1/models/outside:predict', { instances: [row] })).toMatchObject({
      status: 501,
      json: { error: "the model's server speaks v2, not v1" },
    });
  });
});
