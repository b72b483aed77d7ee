/** gRPC through a real gateway to real model servers, on the port that HTTP has. */
import { readFile } from 'node:fs/promises';
import type { ClientHttp2Session } from 'node:http2';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeModelInferRequest } from '../../src/protocol/grpc/infer-request.js';
import { readModelInferResponse, readStreamResponse } from '../../src/protocol/grpc/infer-response.js';
import * as messages from '../../src/protocol/grpc/messages.js';
import type { InferRequest } from '../../src/protocol/infer.js';
import {
  type MessageOf,
  readMessage,
  type Schema,
  type ValuesOf,
  writeMessage,
} from '../../src/protocol/protobuf/schema.js';
import { type Tensor, tensorToBytes } from '../../src/protocol/tensor.js';
import { eventually } from '../support/children.js';
import { type GatewayProcess, startGatewayProcess } from '../support/gateway-process.js';
import { type Answer, answerOf, call, open, prefixed, session } from '../support/grpc-client.js';
import { modelPath } from '../support/runtime.js';

const SERVICE = '/inference.GRPCInferenceService';
const MODELS = ['add', 'identity-string', 'identity-int64', 'identity-fp32', 'divide', 'slow'];

let gateway: GatewayProcess;
let client: ClientHttp2Session;
let auth: Record<string, string>;

beforeAll(async () => {
  gateway = await startGatewayProcess();
  for (const model of MODELS) {
    const version = await gateway.upload(model, await readFile(modelPath(`${model}.onnx`)));
    await gateway.serve(model, model, version, {
      scaling: { concurrency: model === 'slow' ? 1 : 64, maxReplicas: 1 },
      ...(model === 'add' ? { routing: { feedback: {} } } : {}),
    });
  }
  client = session(Number(new URL(gateway.url).port));
  auth = { authorization: `Bearer ${gateway.key}` };
}, 120_000);

afterAll(() => gateway?.stop());

const request = (inputs: readonly Tensor[], changes: Partial<InferRequest> = {}): InferRequest => ({
  id: undefined,
  parameters: {},
  inputs,
  outputs: undefined,
  ...changes,
});

function message(modelName: string, asked: InferRequest, raw = true, modelVersion?: string): Buffer {
  return Buffer.concat(writeModelInferRequest({ modelName, modelVersion }, asked, raw));
}

function infer(bytes: Buffer, headers = auth): Promise<Answer> {
  return call(client, `${SERVICE}/ModelInfer`, prefixed(bytes), headers);
}

async function ask<Q extends Schema, A extends Schema>(
  name: string,
  schemas: readonly [Q, A],
  values: ValuesOf<Q>,
  headers = auth,
): Promise<MessageOf<A>> {
  const [question, answer] = schemas;
  const path = name.startsWith('/') ? name : `${SERVICE}/${name}`;
  const {
    status,
    messages: sent,
    message: words,
  } = await call(client, path, prefixed(writeMessage(question, values)), headers);
  expect([status, words]).toEqual(['0', undefined]);
  return readMessage(answer, sent[0]?.bytes ?? Buffer.alloc(0));
}

const fp32 = (name: string, shape: number[], data: number[]): Tensor => ({
  name,
  datatype: 'FP32',
  shape,
  data: Float32Array.from(data),
});

/** How long the slow model is to take. */
const steps = (count: number): Tensor => ({
  name: 'steps',
  datatype: 'INT64',
  shape: [],
  data: BigInt64Array.of(BigInt(count)),
});

describe('ModelInfer', () => {
  it('answers raw contents with raw ones and typed with typed, and says which revision did', async () => {
    const tensor = fp32('x', [1, 2], [1.5, Number.NaN]);
    for (const raw of [true, false]) {
      const {
        status,
        head,
        messages: sent,
      } = await infer(message('identity-fp32', request([tensor], { id: 'r1' }), raw));
      expect(status).toBe('0');
      expect(head['sluice-revision']).toBe('1');
      const answer = readModelInferResponse(sent[0]?.bytes ?? Buffer.alloc(0));
      expect(answer).toMatchObject({ modelName: 'identity-fp32', modelVersion: '1', id: 'r1' });
      expect(answer.outputs[0]?.data).toEqual(tensor.data);
    }
  });

  it('carries a token where the endpoint takes feedback', async () => {
    const inputs = [fp32('a', [1, 2], [1, 2]), fp32('b', [1, 2], [1, 2])];
    const { head } = await infer(message('add', request(inputs)));
    expect(head['sluice-feedback']).toMatch(/^1\.1\./);
    const other = await infer(message('identity-fp32', request([fp32('x', [1, 2], [1, 2])])));
    expect([other.status, other.head['sluice-feedback']]).toEqual(['0', undefined]);
  });

  it('keeps 64-bit integers and strings whole', async () => {
    const wide: Tensor = {
      name: 'x',
      datatype: 'INT64',
      shape: [1, 2],
      data: BigInt64Array.of(2n ** 63n - 1n, -(2n ** 63n)),
    };
    const { messages: sent } = await infer(message('identity-int64', request([wide]), false));
    expect(readModelInferResponse(sent[0]?.bytes ?? Buffer.alloc(0)).outputs[0]?.data).toEqual(wide.data);
    const words: Tensor = { name: 'x', datatype: 'BYTES', shape: [1, 1], data: [Buffer.from('é')] };
    const strings = await infer(message('identity-string', request([words])));
    expect(readModelInferResponse(strings.messages[0]?.bytes ?? Buffer.alloc(0)).outputs[0]?.data).toEqual(words.data);
  });

  it('takes a revision by its number', async () => {
    const asked = request([fp32('x', [1, 1], [1])]);
    expect((await infer(message('identity-fp32', asked, true, '1'))).status).toBe('0');
    expect(await infer(message('identity-fp32', asked, true, '7'))).toMatchObject({ status: '5' });
  });

  it('sends a large answer in pieces, to a slow reader too', async () => {
    const count = 4_000_000;
    const tensor: Tensor = { name: 'x', datatype: 'FP32', shape: [1, count], data: new Float32Array(count).fill(2) };
    const stream = open(client, `${SERVICE}/ModelInfer`, auth);
    stream.end(prefixed(message('identity-fp32', request([tensor]))));
    const { status, messages: sent } = await answerOf(stream);
    expect(status).toBe('0');
    const [output] = readModelInferResponse(sent[0]?.bytes ?? Buffer.alloc(0)).outputs;
    expect(output?.shape).toEqual([1, count]);
    expect(Buffer.compare(tensorToBytes(output as Tensor), tensorToBytes(tensor))).toBe(0);
  });

  it.each([
    ['an unknown endpoint', 'nothing', 'x', '5', 'there is no endpoint "nothing"', 'not_found'],
    ['an unknown input', 'identity-fp32', 'y', '3', 'no input "y"', 'invalid'],
    ['no model', '', 'x', '3', 'no model_name', 'invalid'],
  ])('refuses %s', async (_, model, input, status, words, code) => {
    const answer = await infer(message(model, request([fp32(input, [1, 1], [1])])), {
      ...auth,
      'x-request-id': 'mine',
    });
    expect(answer.status).toBe(status);
    expect(answer.message).toContain(words);
    const end = { ...answer.head, ...answer.trailers };
    expect(end['sluice-error-code']).toBe(code);
    expect(end['x-request-id']).toBe('mine');
  });

  it('refuses who has no key, and a wrong one', async () => {
    const bytes = message('identity-fp32', request([fp32('x', [1, 1], [1])]));
    expect((await infer(bytes, {})).status).toBe('16');
    expect((await infer(bytes, { authorization: 'Bearer no' })).status).toBe('16');
    expect((await infer(bytes, { 'x-api-key': gateway.key })).status).toBe('0');
  });

  it('refuses what is no message, and an unknown method', async () => {
    expect(await infer(Buffer.from([0xff, 0xff, 0xff]))).toMatchObject({ status: '3' });
    expect(await call(client, `${SERVICE}/Nothing`, prefixed(Buffer.alloc(0)), auth)).toMatchObject({ status: '12' });
  });

  it('keeps to the deadline', async () => {
    const answer = await infer(message('slow', request([steps(500)])), { ...auth, 'grpc-timeout': '1m' });
    expect(answer.status).toBe('4');
  });

  it('frees the slot of a client that is gone', async () => {
    const bytes = message('slow', request([steps(5000)]));
    const stream = open(client, `${SERVICE}/ModelInfer`, auth);
    stream.on('error', () => {});
    stream.end(prefixed(bytes));
    const busy = () => inFlight('slow');
    await eventually(async () => (await busy()) > 0);
    stream.close(8);
    await eventually(async () => (await busy()) === 0);
  });
});

/** Requests of an endpoint that are being answered or wait. */
async function inFlight(endpoint: string): Promise<number> {
  const text = await (await fetch(`${gateway.url}/metrics`, { headers: auth })).text();
  const lines = text.split('\n').filter((line) => line.includes(`endpoint="${endpoint}"`));
  return lines
    .filter((line) => /^sluice_predictions_(in_flight|waiting)/.test(line))
    .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

describe('ModelStreamInfer', () => {
  it('answers in the order of the requests, errors among them', async () => {
    const stream = open(client, `${SERVICE}/ModelStreamInfer`, auth);
    const asked = (id: number) => request([fp32('x', [1, 1], [id])], { id: String(id) });
    for (let id = 0; id < 200; id++) {
      stream.write(prefixed(message(id % 50 === 7 ? 'nothing' : 'identity-fp32', asked(id))));
    }
    stream.end();
    const { status: ended, messages: sent } = await answerOf(stream);
    expect(ended).toBe('0');
    const read = sent.map(({ bytes }) => readStreamResponse(bytes));
    expect(read).toHaveLength(200);
    for (const [id, one] of read.entries()) {
      if (id % 50 === 7) expect(one).toEqual({ error: 'there is no endpoint "nothing"' });
      else expect(one).toMatchObject({ response: { id: String(id), outputs: [{ data: Float32Array.of(id) }] } });
    }
  });
});

describe('the other methods', () => {
  it('tell of the server and its models', async () => {
    const { EMPTY, MODEL_REQUEST } = messages;
    expect(await ask('ServerLive', [EMPTY, messages.SERVER_LIVE_RESPONSE], {}, {})).toEqual({ live: true });
    expect(await ask('ServerReady', [EMPTY, messages.READY_RESPONSE], {}, {})).toEqual({ ready: true });
    const server = await ask('ServerMetadata', [EMPTY, messages.SERVER_METADATA_RESPONSE], {}, {});
    expect(server).toMatchObject({ name: 'sluice', extensions: expect.arrayContaining(['statistics']) });
    const ready = (name: string) => ask('ModelReady', [MODEL_REQUEST, messages.READY_RESPONSE], { name });
    expect([await ready('add'), await ready('nothing')]).toEqual([{ ready: true }, { ready: false }]);
    expect(
      await ask('ModelMetadata', [MODEL_REQUEST, messages.MODEL_METADATA_RESPONSE], { name: 'add' }),
    ).toMatchObject({
      name: 'add',
      versions: ['1'],
      platform: 'onnx_onnxv1',
      inputs: [{ datatype: 'FP32' }, { datatype: 'FP32' }],
    });
    const { config } = await ask('ModelConfig', [MODEL_REQUEST, messages.MODEL_CONFIG_RESPONSE], {
      name: 'identity-fp32',
    });
    expect(config).toMatchObject({ backend: 'onnx', input: [{ data_type: messages.CONFIG_DATATYPES.FP32 }] });
    const health = [messages.HEALTH_CHECK_REQUEST, messages.HEALTH_CHECK_RESPONSE] as const;
    expect(await ask('/grpc.health.v1.Health/Check', health, { service: '' }, {})).toEqual({ status: 1 });
  });

  it('count what was answered', async () => {
    await infer(message('add', request([fp32('a', [2], [1, 2]), fp32('b', [2], [3, 4])])));
    const statistics = [messages.MODEL_REQUEST, messages.MODEL_STATISTICS_RESPONSE] as const;
    const of = async (name: string) => (await ask('ModelStatistics', statistics, { name })).model_stats;
    const [before] = await of('add');
    await infer(message('add', request([fp32('a', [2], [1, 2]), fp32('b', [2], [3, 4])])));
    const [after] = await of('add');
    expect(after).toMatchObject({ name: 'add', version: '1' });
    const done = (one: typeof after) => (one ? one.inference_stats.success.count + one.inference_stats.fail.count : 0);
    expect(done(after)).toBe(done(before) + 1);
    expect((await of('')).map(({ name }) => name).sort()).toEqual([...MODELS].sort());
  });

  it('unload and load an endpoint', async () => {
    const change = [messages.REPOSITORY_MODEL_REQUEST, messages.EMPTY] as const;
    const index = async (ready: boolean) =>
      (await ask('RepositoryIndex', [messages.REPOSITORY_INDEX_REQUEST, messages.REPOSITORY_INDEX_RESPONSE], { ready }))
        .models;
    await ask('RepositoryModelUnload', change, { model_name: 'divide' });
    expect(await index(false)).toContainEqual({
      name: 'divide',
      version: '1',
      state: 'UNAVAILABLE',
      reason: 'unloaded',
    });
    expect((await index(true)).map(({ name }) => name)).not.toContain('divide');
    expect(await infer(message('divide', request([])))).toMatchObject({ status: '14' });
    await ask('RepositoryModelLoad', change, { model_name: 'divide' });
    expect((await index(true)).map(({ name }) => name)).toContain('divide');
    expect(await infer(message('divide', request([])))).toMatchObject({ status: '3' });
  });

  it('tell trace and log settings, and refuse what they cannot do', async () => {
    const trace = [messages.TRACE_SETTING_REQUEST, messages.TRACE_SETTING_RESPONSE] as const;
    expect((await ask('TraceSetting', trace, {})).settings.trace_level).toEqual({ value: ['OFF'] });
    const path = `${SERVICE}/TraceSetting`;
    const on = writeMessage(messages.TRACE_SETTING_REQUEST, { settings: { trace_level: { value: ['TENSORS'] } } });
    expect(await call(client, path, prefixed(on), auth)).toMatchObject({ status: '12' });
    const logs = [messages.LOG_SETTINGS, messages.LOG_SETTINGS] as const;
    const { settings } = await ask('LogSettings', logs, { settings: { log_verbose_level: { uint32_param: 1 } } });
    expect(settings.log_verbose_level?.uint32_param).toBe(1);
  });
});
