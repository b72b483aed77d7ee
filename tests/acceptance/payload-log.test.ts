/** The payload log of a real gateway: its own process and thread, real sinks, real files. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PayloadRecord } from '../../src/core/payload-log/record.js';
import { inSample } from '../../src/core/payload-log/sampling.js';
import { openFiles } from '../../src/platform/blobs/open.js';
import { freePort } from '../../src/platform/free-port.js';
import { createPayloadReader } from '../../src/platform/payload-log/read.js';
import { writeModelInferRequest } from '../../src/protocol/grpc/infer-request.js';
import { tensorFromBytes } from '../../src/protocol/tensor.js';
import { eventually } from '../support/children.js';
import { eventServer, type TakenEvent } from '../support/event-server.js';
import { type GatewayProcess, startGatewayProcess } from '../support/gateway-process.js';
import { call, prefixed, session } from '../support/grpc-client.js';
import { modelPath } from '../support/runtime.js';

let gateway: GatewayProcess;
let blobs: string;

beforeAll(async () => {
  blobs = await mkdtemp(join(tmpdir(), 'sluice-payload-'));
  gateway = await startGatewayProcess({
    env: {
      SLUICE_BLOBS_URL: blobs,
      SLUICE_PAYLOAD_LOG_BUFFER_MB: '4',
      SLUICE_DRAIN_SEC: '1',
      SLUICE_LOG_LEVEL: 'silent',
    },
  });
  for (const model of ['add', 'digits']) await gateway.upload(model, await readFile(modelPath(`${model}.onnx`)));
}, 120_000);

afterAll(async () => {
  await gateway?.stop();
  await rm(blobs, { recursive: true, force: true });
});

const serve = (endpoint: string, payloadLog: object, model = 'add') =>
  gateway.serve(endpoint, model, 1, { payloadLog: { ...payloadLog } });

const ADD = JSON.stringify({
  inputs: [
    { name: 'a', datatype: 'FP32', shape: [1, 2], data: [1, 2] },
    { name: 'b', datatype: 'FP32', shape: [1, 2], data: [3, 4] },
  ],
});

interface Answered {
  readonly status: number;
  readonly body: Buffer;
  readonly id: string;
}

async function infer(
  endpoint: string,
  body: string | Buffer = ADD,
  headers: Record<string, string> = {},
): Promise<Answered> {
  const answer = await fetch(`${gateway.url}/v2/models/${endpoint}/infer`, {
    method: 'POST',
    headers: { authorization: `Bearer ${gateway.key}`, 'content-type': 'application/json', ...headers },
    body,
  });
  return {
    status: answer.status,
    body: Buffer.from(await answer.arrayBuffer()),
    id: answer.headers.get('x-request-id') ?? '',
  };
}

/** A counter of an endpoint, by its labels' text. */
async function counter(name: string, labels: string): Promise<number> {
  const text = await (await fetch(`${gateway.url}/metrics`)).text();
  const line = text.split('\n').find((one) => one.startsWith(`${name}{${labels}}`));
  return Number(line?.split(' ').at(-1) ?? 0);
}
const written = (endpoint: string) => counter('sluice_payload_log_written_total', `endpoint="${endpoint}"`);
const dropped = (endpoint: string, reason: string) =>
  counter('sluice_payload_log_dropped_total', `endpoint="${endpoint}",reason="${reason}"`);

async function logOf(endpoint: string): Promise<PayloadRecord[]> {
  const found: PayloadRecord[] = [];
  const place = { project: 'default', endpoint, prefix: '' };
  const span = { fromMs: Date.now() - 600_000, toMs: Date.now() + 60_000 };
  const reader = createPayloadReader(openFiles(blobs, { cacheFolder: '/nowhere' }));
  for await (const record of reader.records({ ...place, ...span })) found.push(record);
  return found;
}

const eventOf = (events: readonly TakenEvent[], id: string, kind: string) =>
  events.find(({ headers }) => headers['ce-id'] === id && headers['ce-type']?.toString().endsWith(`.${kind}`));

describe('the payload log of a gateway', () => {
  it('sends request and answer as CloudEvents, and no key with them', async () => {
    const server = await eventServer();
    await serve('events', { metadataHeaders: ['x-user'], sink: { kind: 'http', url: server.url } });
    const trace = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const { id, body, status } = await infer('events', ADD, { 'x-user': 'ada', traceparent: trace });
    expect(status).toBe(200);
    await eventually(() => server.taken.length === 2);
    const [request, response] = [eventOf(server.taken, id, 'request'), eventOf(server.taken, id, 'response')];
    expect(request?.body.toString()).toBe(ADD);
    expect(response?.body).toEqual(body);
    expect(request?.headers).toMatchObject({
      'ce-inferenceservicename': 'events',
      'ce-namespace': 'default',
      'ce-revision': '1',
      'ce-modelversion': '1',
      'ce-traceparent': trace,
      'ce-metadata': '{%22x-user%22:[%22ada%22]}',
      'content-type': 'application/json',
    });
    expect(response?.headers).toMatchObject({ 'ce-status': '200', 'content-type': 'application/json' });
    expect(JSON.stringify(server.taken.map(({ headers }) => headers))).not.toContain(gateway.key);
    await eventually(async () => (await written('events')) === 2);
  });

  it('records failures of the model, and bodies with binary tensors as bytes', async () => {
    const server = await eventServer();
    await serve('binary', { sink: { kind: 'http', url: server.url } });
    const json = Buffer.from(
      JSON.stringify({
        parameters: { binary_data_output: true },
        inputs: ['a', 'b'].map((name) => ({
          name,
          datatype: 'FP32',
          shape: [1, 2],
          parameters: { binary_data_size: 8 },
        })),
      }),
    );
    const body = Buffer.concat([json, Buffer.from(new Float32Array([1, 2, 3, 4]).buffer)]);
    const good = await infer('binary', body, {
      'content-type': 'application/octet-stream',
      'inference-header-content-length': String(json.length),
    });
    const bad = await infer('binary', '{"inputs":[]}');
    expect([good.status, bad.status]).toEqual([200, 400]);
    await eventually(() => server.taken.length === 4);
    const request = eventOf(server.taken, good.id, 'request');
    expect(request?.body).toEqual(body);
    expect(request?.headers).toMatchObject({ 'ce-jsonbytes': String(json.length) });
    const response = eventOf(server.taken, good.id, 'response');
    expect(response?.body).toEqual(good.body);
    expect(response?.headers['ce-jsonbytes']).toBe(String(good.body.length - 8));
    expect(eventOf(server.taken, bad.id, 'response')?.headers['ce-status']).toBe('400');
  });

  it('records predictions by gRPC as their messages, each of a stream under an id of its own', async () => {
    const server = await eventServer();
    await serve('by-grpc', { sink: { kind: 'http', url: server.url } });
    const inputs = ['a', 'b'].map((name) => tensorFromBytes(name, 'FP32', [1, 2], Buffer.alloc(8)));
    const request = { id: undefined, parameters: {}, inputs, outputs: undefined };
    const message = Buffer.concat(writeModelInferRequest({ modelName: 'by-grpc', modelVersion: undefined }, request));
    const client = session(Number(new URL(gateway.url).port));
    const headers = { authorization: `Bearer ${gateway.key}`, 'x-request-id': 'unary' };
    const service = '/inference.GRPCInferenceService';
    const answer = await call(client, `${service}/ModelInfer`, prefixed(message), headers);
    expect(answer.status).toBe('0');
    await eventually(() => server.taken.length === 2);
    const [asked, answered] = [eventOf(server.taken, 'unary', 'request'), eventOf(server.taken, 'unary', 'response')];
    expect(asked?.headers['content-type']).toBe('application/x-protobuf');
    expect(asked?.body).toEqual(message);
    expect(answered?.body).toEqual(answer.messages[0]?.bytes);
    const stream = { ...headers, 'x-request-id': 'stream' };
    await call(client, `${service}/ModelStreamInfer`, Buffer.concat([prefixed(message), prefixed(message)]), stream);
    await eventually(() => server.taken.length === 6);
    const ids = server.taken.slice(2).map((event) => event.headers['ce-id']);
    expect(ids.sort()).toEqual(['stream/0', 'stream/0', 'stream/1', 'stream/1']);
  });

  it('records the requests of the sample, and both of each', async () => {
    const server = await eventServer();
    await serve('sampled', { rate: 0.5, sink: { kind: 'http', url: server.url, batch: { maxDelayMs: 10 } } });
    const ids = Array.from({ length: 40 }, (_, at) => `sampled-${at}`);
    for (const id of ids) await infer('sampled', ADD, { 'x-request-id': id });
    const chosen = ids.filter((id) => inSample(id, 0.5));
    await eventually(async () => (await written('sampled')) === 2 * chosen.length);
    const events = server.taken.flatMap(({ body }) => JSON.parse(body.toString()) as { id: string }[]);
    expect(events.map(({ id }) => id).sort()).toEqual([...chosen, ...chosen].sort());
  });

  it('changes with the settings, while it runs', async () => {
    const server = await eventServer();
    const settings = { model: 'add', payloadLog: { mode: 'request', sink: { kind: 'http', url: server.url } } };
    await serve('changing', settings.payloadLog);
    await infer('changing');
    await eventually(() => server.taken.length === 1);
    await gateway.client.put('/api/v1/endpoints/changing', { json: { model: 'add' } });
    await eventually(async () => {
      const before = server.taken.length;
      await infer('changing');
      const events = await written('changing');
      return events === before && server.taken.length === before;
    });
  });

  it('counts what is too large, and records an answer that comes in pieces', async () => {
    const server = await eventServer();
    await serve('large', { sink: { kind: 'http', url: server.url } }, 'digits');
    const rows = (count: number) =>
      JSON.stringify({
        inputs: [{ name: 'X', datatype: 'FP32', shape: [count, 64], data: new Array(count * 64).fill(1) }],
      });
    const pieces = await infer('large', rows(2000));
    expect(pieces.status).toBe(200);
    expect(pieces.body.length).toBeGreaterThan(128 * 1024);
    await eventually(() => eventOf(server.taken, pieces.id, 'response') !== undefined);
    expect(eventOf(server.taken, pieces.id, 'response')?.body.equals(pieces.body)).toBe(true);
    const streamed = await infer('large', rows(20_000));
    expect(streamed.status).toBe(200);
    expect(streamed.body.length).toBeGreaterThan(2 ** 20);
    await eventually(async () => (await dropped('large', 'too_large')) === 2);
    expect(eventOf(server.taken, streamed.id, 'request')).toBeUndefined();
  });

  it('lets predictions be, whatever its sink does, within the memory it has', async () => {
    const slow = await eventServer();
    slow.answer = () => {};
    const failing = await eventServer();
    failing.answer = (response) => void response.writeHead(500).end();
    await serve('to-slow', { sink: { kind: 'http', url: slow.url } });
    await serve('to-failing', { sink: { kind: 'http', url: failing.url } });
    await serve('to-nobody', { sink: { kind: 'http', url: `http://127.0.0.1:${await freePort()}/` } });
    // half of the memory at most is one endpoint's; each body takes a hundredth of that
    const padded = `${ADD.slice(0, -1)},"parameters":{"pad":"${'x'.repeat(20_000)}"}}`;
    for (const endpoint of ['to-slow', 'to-failing', 'to-nobody']) {
      const answers = await Promise.all(Array.from({ length: 150 }, () => infer(endpoint, padded)));
      expect(answers.filter(({ status }) => status !== 200)).toEqual([]);
    }
    expect(await dropped('to-slow', 'buffer_full')).toBeGreaterThan(0);
    expect(await written('to-slow')).toBe(0);
    await eventually(async () => (await dropped('to-nobody', 'sink_failed')) > 0, 30_000);
    // another endpoint's records have their half
    const server = await eventServer();
    await serve('beside', { sink: { kind: 'http', url: server.url } });
    await eventually(async () => {
      await infer('beside');
      return (await written('beside')) > 0;
    });
  }, 60_000);

  it('writes files of the blob store, and on SIGTERM what it still has', async () => {
    for (const format of ['jsonl', 'parquet']) {
      await serve(`to-${format}`, { sink: { kind: 'blobs', format, intervalSec: 3600 } });
    }
    const asked: Record<string, Answered[]> = { 'to-jsonl': [], 'to-parquet': [] };
    for (const endpoint of Object.keys(asked)) {
      for (let i = 0; i < 20; i++) asked[endpoint]?.push(await infer(endpoint));
    }
    expect(await logOf('to-jsonl')).toEqual([]);
    await gateway.end();
    for (const [endpoint, answers] of Object.entries(asked)) {
      const records = await logOf(endpoint);
      const requests = records.filter(({ kind }) => kind === 'request');
      expect(requests.map(({ id }) => id).sort()).toEqual(answers.map(({ id }) => id).sort());
      expect(requests.map(({ data }) => data.toString())).toEqual(answers.map(() => ADD));
      for (const { id, body } of answers) {
        const answer = records.find((record) => record.kind === 'response' && record.id === id);
        expect(answer?.data.toString()).toBe(body.toString());
        expect(answer).toMatchObject({ status: 200, revision: 1, latencyMs: expect.any(Number) });
      }
    }
    await gateway.begin();
  }, 60_000);

  it('does not let a sink that hangs keep a gateway from ending', async () => {
    const hanging = createServer(() => {});
    await new Promise<void>((resolve) => hanging.listen(0, '127.0.0.1', resolve));
    const address = hanging.address();
    const port = typeof address === 'object' && address ? address.port : 0;
    await serve('hanging', { sink: { kind: 'http', url: `http://127.0.0.1:${port}/` } });
    await infer('hanging');
    await gateway.end();
    hanging.close();
    await gateway.begin();
  }, 60_000);
});
