/** What one client can take of a real gateway: bounded memory for what it sends and does not read, nothing once it left. */

import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { memoryOf } from '../../bench/support/proc.js';
import { writeModelInferRequest } from '../../src/protocol/grpc/infer-request.js';
import type { Tensor } from '../../src/protocol/tensor.js';
import { eventually } from '../support/children.js';
import { type GatewayProcess, type ServeOptions, startGatewayProcess } from '../support/gateway-process.js';
import { open, prefixed, session } from '../support/grpc-client.js';
import { onnxModel, tensor } from '../support/onnx-model.js';
import { modelPath } from '../support/runtime.js';

const MB = 1024 * 1024;
const LARGE_BYTES = 200 * MB;
/** What the gateway may hold more than before, in MiB. */
const GROWTH_MB = 150;
const [FLOAT, INT64] = [1, 7];

let gateway: GatewayProcess;
let server: ExternalServer;
let auth: Record<string, string>;

beforeAll(async () => {
  [gateway, server] = await Promise.all([
    startGatewayProcess({ env: { SLUICE_BODY_LIMIT_MB: '256' } }),
    startExternalServer(),
  ]);
  auth = { authorization: `Bearer ${gateway.key}` };
  await gateway.client.post('/api/v1/models', { json: { name: 'outside' } });
  const external = { json: { files: [], server: { url: server.url, protocols: ['v2'] } } };
  const { body } = await gateway.client.post<{ version: number }>('/api/v1/models/outside/versions', external);
  await gateway.serve('outside', 'outside', body.version, { scaling: { concurrency: 1, maxReplicas: 1 } });
  await serve('large', largeModel());
  await serve('joined', await readFile(modelPath('identity-fp32.onnx')), {
    runtime: { batching: { maxRows: 4, delayMs: 10_000 } },
  });
}, 120_000);

afterAll(async () => {
  await gateway?.stop();
  server?.close();
});

async function serve(name: string, model: Buffer, more: ServeOptions = {}): Promise<void> {
  const version = await gateway.upload(name, model);
  await gateway.serve(name, name, version, { scaling: { maxReplicas: 1 }, ...more });
}

/** An output as large as its input says. */
function largeModel(): Buffer {
  return onnxModel({
    inputs: { x: tensor(FLOAT, [1]), size: tensor(INT64, [1]) },
    outputs: { y: tensor(FLOAT, ['n']) },
    nodes: [{ op: 'Expand', inputs: ['x', 'size'], outputs: ['y'] }],
  });
}

const largeInputs: readonly Tensor[] = [
  { name: 'x', datatype: 'FP32', shape: [1], data: Float32Array.of(1) },
  { name: 'size', datatype: 'INT64', shape: [1], data: BigInt64Array.of(BigInt(LARGE_BYTES / 4)) },
];

interface ExternalServer {
  readonly url: string;
  /** Calls in the order of their arrival, answered by hand. */
  readonly calls: { readonly request: IncomingMessage; readonly response: ServerResponse; gone: boolean }[];
  close(): void;
}

/** Speaks V2, and leaves each prediction to the test, its body unread. */
async function startExternalServer(): Promise<ExternalServer> {
  const calls: ExternalServer['calls'] = [];
  const http = createServer((asked, response) => {
    if (asked.method === 'GET') {
      response.end('{"name":"outside","platform":"x","inputs":[],"outputs":[]}');
      return;
    }
    const call = { request: asked, response, gone: false };
    response.on('close', () => {
      call.gone = !response.writableFinished;
    });
    calls.push(call);
  });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
    calls,
    close() {
      http.closeAllConnections();
      http.close();
    },
  };
}

/** A POST whose answer is left to the test. */
function post(path: string) {
  const asked = request(`${gateway.url}${path}`, { method: 'POST', headers: auth, agent: false });
  asked.on('error', () => {});
  const answered = new Promise<IncomingMessage>((resolve) => asked.on('response', resolve));
  return { asked, answered };
}

const rss = () => memoryOf([gateway.pid]).rssMb;

/** Waits until the number does not change any more: nobody takes anything. */
async function stalled(read: () => number): Promise<number> {
  let [last, same] = [-1, 0];
  await eventually(async () => {
    const now = read();
    same = now === last ? same + 1 : 0;
    last = now;
    return same > 30;
  }, 20_000);
  return last;
}

/** Reads all of an answer; how many bytes there were, and the most that the gateway held meanwhile. */
async function readSlowly(stream: AsyncIterable<Buffer>): Promise<{ bytes: number; mostMb: number }> {
  let [bytes, mostMb, chunks] = [0, 0, 0];
  for await (const chunk of stream) {
    bytes += chunk.length;
    if (chunks++ % 100 > 0) continue;
    mostMb = Math.max(mostMb, rss());
    await new Promise((resolve) => setImmediate(resolve));
  }
  return { bytes, mostMb };
}

describe.skipIf(process.platform !== 'linux')('memory of the gateway is bounded', () => {
  it('while a model reads a large request slowly', async () => {
    const before = rss();
    const { asked, answered } = post('/v2/models/outside/infer');
    const piece = Buffer.alloc(MB);
    let sent = 0;
    const send = () => {
      while (sent < LARGE_BYTES) {
        sent += MB;
        if (!asked.write(piece)) break;
      }
      if (sent >= LARGE_BYTES) asked.end();
    };
    asked.on('drain', send);
    send();
    await eventually(() => server.calls.length === 1);
    const [call] = server.calls;
    if (!call) throw new Error('there is no call');
    // nobody reads, and so nobody sends
    expect(await stalled(() => sent)).toBeLessThan(LARGE_BYTES / 2);
    expect(rss() - before).toBeLessThan(GROWTH_MB);
    const { bytes, mostMb } = await readSlowly(call.request);
    call.response.end('{"model_name":"outside","outputs":[]}');
    expect(bytes).toBe(LARGE_BYTES);
    expect(mostMb - before).toBeLessThan(GROWTH_MB);
    expect((await answered).statusCode).toBe(200);
    server.calls.length = 0;
  }, 60_000);

  it('while a client reads a large answer slowly, over HTTP', async () => {
    const before = rss();
    const { asked, answered } = post('/v2/models/large/infer');
    const inputs = largeInputs.map(({ data, ...input }) => ({
      ...input,
      data: Array.from<unknown, number>(data, Number),
    }));
    asked.end(JSON.stringify({ inputs, parameters: { binary_data_output: true } }));
    const answer = await answered;
    expect(answer.statusCode).toBe(200);
    await stalled(rss);
    expect(rss() - before).toBeLessThan(GROWTH_MB);
    const { bytes, mostMb } = await readSlowly(answer);
    expect(bytes).toBe(Number(answer.headers['content-length']));
    expect(bytes).toBeGreaterThan(LARGE_BYTES);
    expect(mostMb - before).toBeLessThan(GROWTH_MB);
  }, 60_000);

  it('while a client reads a large answer slowly, over gRPC', async () => {
    const before = rss();
    const asked = { id: undefined, parameters: {}, inputs: largeInputs, outputs: undefined };
    const message = Buffer.concat(writeModelInferRequest({ modelName: 'large', modelVersion: undefined }, asked));
    // the window of a stream is 64 KiB unless the client says otherwise
    const stream = open(session(Number(new URL(gateway.url).port)), '/inference.GRPCInferenceService/ModelInfer', auth);
    stream.end(prefixed(message));
    await new Promise((resolve) => stream.once('response', resolve));
    await stalled(rss);
    expect(rss() - before).toBeLessThan(GROWTH_MB);
    const { bytes, mostMb } = await readSlowly(stream);
    expect(bytes).toBeGreaterThan(LARGE_BYTES);
    expect(mostMb - before).toBeLessThan(GROWTH_MB);
  }, 60_000);
});

describe('of a client that leaves', () => {
  it('nothing is computed that waits, and the next one is served', async () => {
    const ask = () => {
      const { asked, answered } = post('/v2/models/outside/infer');
      asked.end('{"inputs":[]}');
      return { asked, answered };
    };
    const waits = (count: number) => eventually(async () => (await counted('waiting', 'outside')) === count);
    const served = ask();
    await eventually(() => server.calls.length === 1);
    const waiting = Array.from({ length: 40 }, ask);
    await waits(40);
    const { answered } = ask();
    await waits(41);
    for (const { asked } of waiting) asked.destroy();
    // who leaves while a slot becomes free may be given it before anybody knows
    await waits(1);
    served.asked.destroy();
    await eventually(() => server.calls.length === 2);
    const [first, next] = server.calls;
    expect(first?.gone).toBe(true);
    next?.response.end('{"model_name":"outside","outputs":[]}');
    expect((await answered).statusCode).toBe(200);
    expect(server.calls).toHaveLength(2);
    await eventually(async () => (await counted('in_flight', 'outside')) + (await counted('waiting', 'outside')) === 0);
  });

  it('nothing is computed that was to be part of a batch, whose slot is free at once', async () => {
    const row = (value: number) => ({ name: 'x', datatype: 'FP32', shape: [1, 1], data: [value] });
    // one alone waits for others, as its endpoint's settings say
    const { asked: left } = post('/v2/models/joined/infer');
    left.end(JSON.stringify({ inputs: [row(0)] }));
    await eventually(async () => (await counted('in_flight', 'joined')) === 1);
    left.destroy();
    await eventually(async () => (await counted('in_flight', 'joined')) === 0);
    const kept = Array.from({ length: 4 }, (_, at) =>
      gateway.client.post('/v2/models/joined/infer', { json: { inputs: [row(10 + at)] } }),
    );
    const answers = await Promise.all(kept);
    for (const [at, { body }] of answers.entries()) expect(body).toMatchObject({ outputs: [{ data: [10 + at] }] });
    const { body } = await gateway.client.get('/v2/models/joined/stats');
    expect(body).toMatchObject({ model_stats: [{ inference_count: 4 }] });
  });
});

async function counted(what: 'waiting' | 'in_flight', endpoint: string): Promise<number> {
  const text = await (await fetch(`${gateway.url}/metrics`, { headers: auth })).text();
  const start = `sluice_predictions_${what}{endpoint="${endpoint}"`;
  const line = text.split('\n').find((candidate) => candidate.startsWith(start));
  return Number(line?.split(' ').at(-1) ?? 0);
}
