/** Shadows of a real gateway: what they answer is compared and never returned, and what they do not answer harms nobody. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Shadow, ShadowRevision } from '../../src/cli/api-types.js';
import { writeModelInferRequest } from '../../src/protocol/grpc/infer-request.js';
import { readModelInferResponse } from '../../src/protocol/grpc/infer-response.js';
import { eventually } from '../support/children.js';
import { type GatewayProcess, startGatewayProcess } from '../support/gateway-process.js';
import { call, prefixed, session } from '../support/grpc-client.js';
import { onnxModel, tensor } from '../support/onnx-model.js';

const FLOAT = 1;

/** y = factor * x, for any number of rows. */
function scaleModel(factor: number): Buffer {
  return onnxModel({
    inputs: { x: tensor(FLOAT, ['rows', 2]) },
    outputs: { y: tensor(FLOAT, ['rows', 2]) },
    nodes: [{ op: 'Mul', inputs: ['x', 'factor'], outputs: ['y'] }],
    initializers: [
      { name: 'factor', elementType: FLOAT, shape: [1], data: new Uint8Array(Float32Array.of(factor).buffer) },
    ],
  });
}

/** Is ready, and takes predictions, which it never answers. */
class HangingServer {
  readonly seen: { readonly headers: Readonly<Record<string, unknown>> }[] = [];
  left = 0;
  private readonly server: Server;

  constructor() {
    this.server = createServer((request, response) => {
      if (request.method === 'GET') {
        response.end();
        return;
      }
      this.seen.push({ headers: request.headers });
      response.once('close', () => this.left++);
      request.resume();
    });
  }

  async listen(): Promise<string> {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  close(): void {
    this.server.closeAllConnections();
    this.server.close();
  }
}

let gateway: GatewayProcess;
const hanging = new HangingServer();
/** Versions of the model, by what they do. */
const versions = { twice: 0, almost: 0, thrice: 0, dead: 0, hanging: 0 };

beforeAll(async () => {
  gateway = await startGatewayProcess({ env: { SLUICE_LOG_LEVEL: 'silent' } });
  versions.twice = await gateway.upload('scale', scaleModel(2));
  versions.almost = await gateway.upload('scale', scaleModel(2.0001));
  versions.thrice = await gateway.upload('scale', scaleModel(3));
  const external = async (url: string) => {
    const json = { files: [], server: { url, startTimeoutSec: 1 } };
    return (await gateway.client.post<{ version: number }>('/api/v1/models/scale/versions', { json })).body.version;
  };
  // a server must answer to be registered, and may be gone the moment after
  const dying = new HangingServer();
  versions.dead = await external(await dying.listen());
  dying.close();
  versions.hanging = await external(await hanging.listen());
}, 120_000);

afterAll(async () => {
  hanging.close();
  await gateway?.stop();
});

/** Replicas start meanwhile, beside whatever else the machine does. */
const soon = (check: () => boolean | Promise<boolean>) => eventually(check, 25_000);

/** An endpoint whose revision 1 answers, and whose others get copies of everything. */
async function endpoint(name: string, shadows: readonly number[], shadow: object = {}): Promise<void> {
  await gateway.serve(name, 'scale', versions.twice, { routing: { shadow } });
  for (const version of shadows)
    await gateway.client.post(`/api/v1/endpoints/${name}/revisions`, { json: { version } });
  const copies = shadows.map((_, at) => ({ revision: at + 2, percent: 0, shadowPercent: 100, tag: `s${at + 2}` }));
  const targets = [{ revision: 1, percent: 100 }, ...copies];
  await gateway.client.put(`/api/v1/endpoints/${name}/traffic`, { json: { targets } });
}

const body = (...data: number[]) =>
  JSON.stringify({ inputs: [{ name: 'x', datatype: 'FP32', shape: [data.length / 2, 2], data }] });

async function predict(name: string, data: number[], headers: Record<string, string> = {}) {
  const answer = await fetch(`${gateway.url}/v2/models/${name}/infer`, {
    method: 'POST',
    headers: { authorization: `Bearer ${gateway.key}`, ...headers },
    body: body(...data),
  });
  const { outputs } = (await answer.json()) as { outputs?: { data: number[] }[] };
  return { status: answer.status, revision: answer.headers.get('sluice-revision'), data: outputs?.[0]?.data };
}

async function shadowsOf(name: string): Promise<readonly ShadowRevision[]> {
  return (await gateway.client.get<Shadow>(`/api/v1/endpoints/${name}/shadow`)).body.shadows;
}

async function metric(name: string, of: string): Promise<number> {
  const text = await (await fetch(`${gateway.url}/metrics`)).text();
  const lines = text.split('\n').filter((line) => line.startsWith(`${name}{`) && line.includes(of));
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

describe('a shadow', () => {
  it('is compared with the real answer, which is untouched; several at once, started by their copies', async () => {
    await endpoint('several', [versions.almost, versions.thrice]);
    for (let at = 1; at <= 10; at++)
      expect(await predict('several', [at, -at])).toEqual({ status: 200, revision: '1', data: [2 * at, -2 * at] });
    await soon(async () => (await shadowsOf('several')).every(({ compared }) => compared === 10));
    const [almost, thrice] = await shadowsOf('several');
    expect(almost).toMatchObject({ revision: 2, copies: 10, disagreed: 0, failed: 0, dropped: 0, examples: [] });
    expect(almost?.largestDifference).toBeGreaterThan(0);
    expect(thrice).toMatchObject({ revision: 3, copies: 10, disagreed: 10, failed: 0, largestDifference: 10 });
    expect(thrice?.examples).toHaveLength(10);
    expect(thrice?.examples[0]).toMatchObject({ output: 'y', what: 'value', index: 0, realRevision: 1 });
    // what copies did is no part of what revisions are measured by
    expect(await metric('sluice_predictions_total', 'endpoint="several"')).toBe(10);
    expect(await metric('sluice_shadow_disagreed_total', 'endpoint="several"')).toBe(10);
  });

  it('is compared in V1 and over gRPC, too', async () => {
    await endpoint('forms', [versions.thrice]);
    const v1 = await fetch(`${gateway.url}/v1/models/forms:predict`, {
      method: 'POST',
      headers: { authorization: `Bearer ${gateway.key}` },
      body: JSON.stringify({ instances: [[1, 2]] }),
    });
    expect(await v1.json()).toEqual({ predictions: [[2, 4]] });
    const x = { name: 'x', datatype: 'FP32', shape: [1, 2], data: Float32Array.of(1, 2) } as const;
    const message = writeModelInferRequest(
      { modelName: 'forms', modelVersion: undefined },
      { id: 'g', parameters: {}, inputs: [x], outputs: undefined },
    );
    const answer = await call(
      session(Number(new URL(gateway.url).port)),
      '/inference.GRPCInferenceService/ModelInfer',
      prefixed(Buffer.concat(message)),
      { authorization: `Bearer ${gateway.key}` },
    );
    const { outputs } = readModelInferResponse(answer.messages[0]?.bytes ?? Buffer.alloc(0));
    expect([...(outputs[0]?.data ?? [])]).toEqual([2, 4]);
    await soon(async () => (await shadowsOf('forms'))[0]?.disagreed === 2);
    const [shadow] = await shadowsOf('forms');
    expect(shadow?.examples.map(({ output, real, shadow: says }) => [output, real, says])).toEqual([
      ['y', '2', '3'],
      ['y', '2', '3'],
    ]);
  });

  it('gets no copy of what is pinned, or must not run twice', async () => {
    await endpoint('rules', [versions.thrice]);
    expect((await predict('rules', [1, 1], { 'sluice-idempotent': 'false' })).data).toEqual([2, 2]);
    expect((await predict('rules', [1, 1], { 'sluice-revision': '1' })).data).toEqual([2, 2]);
    expect((await predict('rules', [1, 1], { 'sluice-tag': 's2' })).data).toEqual([3, 3]);
    expect((await predict('rules', [1, 1])).data).toEqual([2, 2]);
    await soon(async () => (await shadowsOf('rules'))[0]?.compared === 1);
    expect(await metric('sluice_shadow_copies_total', 'endpoint="rules"')).toBe(1);
  });

  it('may be dead: it fails, and nothing else does', async () => {
    await endpoint('dead', [versions.dead], { timeoutMs: 5000 });
    for (let at = 0; at < 5; at++) expect((await predict('dead', [1, 2])).data).toEqual([2, 4]);
    await soon(async () => (await shadowsOf('dead'))[0]?.failed === 5);
    expect((await shadowsOf('dead'))[0]).toMatchObject({ copies: 5, compared: 0 });
    expect((await shadowsOf('dead'))[0]?.lastFailure).toBeTruthy();
  });

  it('may hang: so many copies wait as may, the others are dropped, and nobody else waits', async () => {
    await endpoint('hanging', [versions.hanging], { maxInFlight: 3, timeoutMs: 5000 });
    const answers = await Promise.all(Array.from({ length: 20 }, () => predict('hanging', [1, 2])));
    expect(answers.every(({ data }) => data?.[0] === 2)).toBe(true);
    await soon(async () => (await shadowsOf('hanging'))[0]?.dropped === 17);
    await soon(() => hanging.seen.length === 3);
    expect(hanging.seen[0]?.headers).toMatchObject({ 'sluice-shadow': 'true' });
    expect(hanging.seen[0]?.headers.authorization).toBeUndefined();
    // they end by their own time limit
    await soon(async () => (await shadowsOf('hanging'))[0]?.failed === 3);
    expect(hanging.left).toBe(3);
    expect(await metric('sluice_shadow_dropped_total', 'reason="in_flight"')).toBe(17);
  });

  it('gets nothing of a client that left', async () => {
    // the real request waits for a server that hangs; its copy is answered, and there is nothing to compare with
    await endpoint('left', [versions.twice, versions.hanging]);
    const targets = [
      { revision: 3, percent: 100 },
      { revision: 2, percent: 0, shadowPercent: 100 },
    ];
    await gateway.client.put('/api/v1/endpoints/left/traffic', { json: { targets } });
    const before = hanging.seen.length;
    const { hostname, port } = new URL(gateway.url);
    const client = connect(Number(port), hostname);
    const content = body(1, 2);
    client.write(
      `POST /v2/models/left/infer HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${gateway.key}\r\ncontent-length: ${content.length}\r\n\r\n${content}`,
    );
    await soon(() => hanging.seen.length > before);
    client.destroy();
    await soon(async () => (await shadowsOf('left'))[0]?.dropped === 1);
    expect((await shadowsOf('left'))[0]).toMatchObject({ compared: 0 });
    expect(await metric('sluice_shadow_dropped_total', 'reason="no_answer"')).toBe(1);
  });
});

describe('in several processes of a gateway', () => {
  it('shadows are counted together', async () => {
    const many = await startGatewayProcess({ env: { SLUICE_LOG_LEVEL: 'silent', SLUICE_GATEWAY_PROCESSES: '2' } });
    try {
      const version = await many.upload('scale', scaleModel(2));
      const other = await many.upload('scale', scaleModel(3));
      await many.serve('scale', 'scale', version);
      await many.client.post('/api/v1/endpoints/scale/revisions', { json: { version: other } });
      const targets = [
        { revision: 1, percent: 100 },
        { revision: 2, percent: 0, shadowPercent: 100 },
      ];
      await many.client.put('/api/v1/endpoints/scale/traffic', { json: { targets } });
      const ask = async () => {
        const headers = { authorization: `Bearer ${many.key}`, connection: 'close' };
        const reply = await fetch(`${many.url}/v2/models/scale/infer`, { method: 'POST', headers, body: body(1, 2) });
        return ((await reply.json()) as { outputs: { data: number[] }[] }).outputs[0]?.data;
      };
      // the news of the traffic reach each process by itself
      const shadow = async () =>
        (await many.client.get<Shadow>('/api/v1/endpoints/scale/shadow')).body.shadows[0] as ShadowRevision;
      await soon(async () => {
        expect(await Promise.all(Array.from({ length: 10 }, ask))).toEqual(Array.from({ length: 10 }, () => [2, 4]));
        return (await shadow()).compared >= 40;
      });
      const { compared, disagreed, failed } = await shadow();
      expect([disagreed, failed]).toEqual([compared, 0]);
    } finally {
      await many.stop();
    }
  }, 120_000);
});
