/** From an uploaded model to predictions by a pod's program over HTTP, with what goes wrong on the way. */
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { serviceName } from '../../src/core/cluster-names.js';
import { ask } from '../../src/core/inference/forward.js';
import { artifactOf } from '../../src/core/models/model.js';
import { openHttpUpstream } from '../../src/platform/upstream/http-upstream.js';
import { endPods, openPodsDoor, type PodsDoor, startPod } from '../support/pod-bench.js';
import { pythonModel, pythonWithNumpy } from '../support/python-models.js';
import { startS3, type TestS3, whyNoS3 } from '../support/s3-server.js';
import { check, digestOf, modelBytes } from '../support/scenario.js';
import { type GatewayParts, type TestGateway, testGateway } from '../support/test-services.js';
import { startTokenReviewServer, type TokenReviewServer } from '../support/token-review-server.js';

const { python, missing } = await pythonWithNumpy();
let cluster: TokenReviewServer;
let gateway: TestGateway;
let door: PodsDoor;
let folder: string;
let add: Buffer;
const ballast = randomBytes(4 * 2 ** 20);

beforeAll(async () => {
  cluster = await startTokenReviewServer();
  gateway = await testGateway({}, { pods: cluster.identity() });
  add = await modelBytes('add.onnx');
  await serve(gateway, 'sum', { 'model.onnx': add, 'data/ballast.bin': ballast });
});
afterAll(() => cluster.close());
afterEach(async () => {
  await endPods();
  await rm(folder, { recursive: true, force: true });
});

async function prepare(): Promise<void> {
  folder = await mkdtemp(join(tmpdir(), 'sluice-models-'));
  door = await openPodsDoor(gateway);
}

/** Uploads a model of these files and serves it. */
async function serve(by: TestGateway, name: string, files: Readonly<Record<string, Buffer>>): Promise<void> {
  const listed = [];
  for (const [path, bytes] of Object.entries(files)) {
    await check(by, { method: 'POST', url: '/blobs', body: bytes, status: 201 });
    listed.push({ path, digest: digestOf(bytes) });
  }
  await check(by, { method: 'POST', url: `/models/${name}/versions`, body: { files: listed }, status: 201 });
  await check(by, { method: 'POST', url: '/endpoints', body: { name, model: name, version: 1 }, status: 201 });
  await by.services.routing.reload(by.db);
}

/** Puts other files in the place of those that were tried out when they were registered. */
async function replace(name: string, files: Readonly<Record<string, Buffer>>): Promise<void> {
  const entries = [];
  for (const [path, bytes] of Object.entries(files)) {
    await check(gateway, { method: 'POST', url: '/blobs', body: bytes, status: 201 });
    entries.push({ path, digest: digestOf(bytes), bytes: bytes.length });
  }
  const { db } = gateway;
  const { id } = await db.selectFrom('endpoints').select('id').where('name', '=', name).executeTakeFirstOrThrow();
  const artifact = JSON.stringify(artifactOf(entries));
  await db.updateTable('revisions').set({ artifact }).where('endpoint_id', '=', id).execute();
  await gateway.services.routing.refresh(db, id);
}

async function tokenFor(name: string, by = gateway): Promise<string> {
  const { id } = await by.db.selectFrom('endpoints').select('id').where('name', '=', name).executeTakeFirstOrThrow();
  const pod = `${serviceName(name, id)}-r1-deployment-7d9c5b8f6d-x2k9p`;
  return cluster.issue({ serviceAccount: 'sluice-runtime', pod });
}

const pod = async (more: { models?: string; args?: string[] } = {}) =>
  startPod({ podsUrl: door.url, token: await tokenFor('sum'), models: folder, ...more });

const sumBody = JSON.stringify({
  inputs: [
    { name: 'a', datatype: 'FP32', shape: [1, 2], data: [1, 2] },
    { name: 'b', datatype: 'FP32', shape: [1, 2], data: [3, 4] },
  ],
});

async function predict(url: string, model = 'sum') {
  const response = await fetch(`${url}/v2/models/${model}/infer`, { method: 'POST', body: sumBody });
  return { status: response.status, headers: response.headers, body: await response.json() };
}

describe("a model server's pod", () => {
  it('fetches its model and answers, as its readiness says', async () => {
    await prepare();
    const server = await pod();
    const ready = await server.said('ready');
    const url = await server.url;
    expect((await fetch(`${url}/v2/health/ready`)).status).toBe(200);
    const { status, headers, body } = await predict(url);
    expect([status, body]).toMatchObject([200, { model_name: 'sum', model_version: '1' }]);
    expect(headers.get('sluice-queued-ms')).toMatch(/^\d+$/);
    expect(ready).toMatchObject({
      fetchedBytes: add.length + ballast.length,
      foundBytes: 0,
      totalMs: expect.any(Number),
    });
    const { inputs } = (await (await fetch(`${url}/v2/models/sum`)).json()) as { inputs: unknown };
    expect(inputs).toHaveLength(2);
    const head = await fetch(`${url}/v2/health/ready`, { method: 'HEAD' });
    expect([head.status, Number(head.headers.get('content-length'))]).toEqual([200, 26]);
    const metrics = await (await fetch(`${url}/metrics`)).text();
    for (const phase of ['process', 'ask', 'fetch', 'library', 'load', 'warmup', 'total'])
      expect(metrics).toMatch(new RegExp(`sluice_runtime_start_seconds\\{phase="${phase}"\\} [0-9.]+`));
    server.kill('SIGTERM');
    expect((await server.ended).how).toBe(0);
  });

  it('lives while it waits for a gateway that is away, and says so', async () => {
    await prepare();
    await door.close();
    const server = await pod();
    const url = await server.url;
    expect(await server.said('waiting for the model')).toMatchObject({ level: 'warn', gateway: door.url });
    const [live, ready] = await Promise.all([fetch(`${url}/v2/health/live`), fetch(`${url}/v2/health/ready`)]);
    expect([live.status, ready.status, (await predict(url)).status]).toEqual([200, 503, 404]);
    await door.open();
    await server.said('ready');
    expect((await predict(url)).status).toBe(200);
  });

  it('goes on where a download broke when the gateway was killed, at the one that came after it', async () => {
    await prepare();
    const path = `/blobs/${digestOf(ballast)}`;
    door.next(path, (_request, response) => {
      response.writeHead(200, { 'content-length': ballast.length });
      response.write(ballast.subarray(0, 1_000_000), () => void door.close());
    });
    const server = await pod();
    await server.said('waiting for data/ballast.bin');
    let range: string | undefined;
    // the gateway that comes after it, as the first one to be asked for the rest
    door.next(path, (request, response) => {
      range = request.headers.range;
      const start = Number(/\d+/.exec(range ?? '')?.[0] ?? 0);
      const rest = ballast.subarray(start);
      response.writeHead(206, { 'content-length': rest.length }).end(rest);
    });
    await door.open();
    await server.said('ready');
    expect(range).toMatch(/^bytes=[1-9]\d*-$/);
    expect((await predict(await server.url)).status).toBe(200);
  });

  it('fetches again what came damaged', async () => {
    await prepare();
    door.next('/blobs/', (_request, response) => response.end(Buffer.alloc(add.length)));
    const server = await pod();
    await server.said('ready');
    expect((await predict(await server.url)).status).toBe(200);
  });

  it('does not load what is damaged where it is kept, and says so where Kubernetes looks', async () => {
    await prepare();
    const path = await gateway.services.blobs.localPath(digestOf(ballast));
    await rm(path);
    await writeFile(path, Buffer.alloc(ballast.length));
    try {
      const server = await pod();
      const { how, text } = await server.ended;
      const message = `data/ballast.bin is damaged where it is kept: its bytes hash to ${digestOf(Buffer.alloc(ballast.length))}`;
      expect([how, text]).toEqual([1, expect.stringContaining(message)]);
      expect(await readFile(server.terminationLog, 'utf8')).toContain(message);
    } finally {
      await rm(path);
      await writeFile(path, ballast);
    }
  });

  it("that cannot load its model ends with the engine's words", async () => {
    await prepare();
    await serve(gateway, 'bad', { 'model.onnx': add, 'extra.txt': Buffer.from('x') });
    // as if the engine of the image were another one than that of the upload
    await replace('bad', { 'model.onnx': await modelBytes('corrupt.onnx') });
    const server = await startPod({ podsUrl: door.url, token: await tokenFor('bad'), models: folder });
    const { how, text } = await server.ended;
    expect([how, text]).toEqual([1, expect.stringMatching(/protobuf|onnx/i)]);
    expect(text).toContain(await readFile(server.terminationLog, 'utf8'));
  });

  it.skipIf(missing !== undefined)('serves a Python model by the interpreter of its image', async () => {
    await prepare();
    await serve(gateway, 'snake', { 'model.onnx': add, 'extra.txt': Buffer.from('y') });
    await replace('snake', { 'model.py': await readFile(join(pythonModel('add'), 'model.py')) });
    const args = ['--python', python];
    const server = await startPod({ podsUrl: door.url, token: await tokenFor('snake'), models: folder, args });
    await server.said('ready');
    const { status, body } = await predict(await server.url, 'snake');
    expect([status, body]).toMatchObject([200, { outputs: [{ name: 'sum', data: [4, 6] }] }]);
  });

  it.each([
    ['of another audience waits for a better one', { audience: 'vault' }, 'waiting for the model'],
    ['of another namespace ends', { namespace: 'elsewhere' }, undefined],
  ])('with a token %s', async (_what, of, said) => {
    await prepare();
    const token = cluster.issue({ serviceAccount: 'sluice-runtime', pod: 'any', ...of });
    const server = await startPod({ podsUrl: door.url, token, models: folder });
    if (said === undefined) expect(await server.ended).toMatchObject({ how: 1, text: expect.stringContaining('403') });
    else expect((await server.said(said)).error).toContain('its audience is ["vault"]');
  });
});

describe('pods that share a folder', () => {
  it('fetch at the same time, and find what is there', async () => {
    await prepare();
    const both = await Promise.all([pod(), pod()]);
    for (const server of both) {
      await server.said('ready');
      expect((await predict(await server.url)).status).toBe(200);
    }
    const third = await pod();
    expect(await third.said('ready')).toMatchObject({ fetchedBytes: 0, foundBytes: add.length + ballast.length });
    expect((await readdir(join(folder, 'blobs'))).length).toBe(2);
    expect((await readdir(join(folder, 'pods'))).length).toBe(3);
  });

  it('do not believe what somebody else wrote there', async () => {
    await prepare();
    const hex = digestOf(ballast).slice('sha256:'.length);
    await mkdir(join(folder, 'blobs'), { recursive: true });
    await writeFile(join(folder, 'blobs', hex), Buffer.alloc(ballast.length));
    const server = await pod();
    expect(await server.said('ready')).toMatchObject({ foundBytes: 0 });
    expect(digestOf(await readFile(join(folder, 'blobs', hex)))).toBe(digestOf(ballast));
  });

  it('make room by what nobody uses, used longest ago first, and by what the dead left', async () => {
    await prepare();
    const [blobs, dead] = [join(folder, 'blobs'), join(folder, 'pods', 'dead')];
    await Promise.all([blobs, dead].map((path) => mkdir(path, { recursive: true })));
    const longAgo = new Date(Date.now() - 3_600_000);
    await Promise.all(['old', 'new'].map((name) => writeFile(join(blobs, name), Buffer.alloc(100_000))));
    for (const path of [join(blobs, 'old'), dead]) await utimes(path, longAgo, longAgo);
    const server = await pod({ args: ['--cache-bytes', String(ballast.length + add.length + 100_000)] });
    await server.said('ready');
    expect((await readdir(blobs)).sort()).toEqual(
      ['new', ...[add, ballast].map((file) => digestOf(file).slice(7))].sort(),
    );
    expect((await readdir(join(folder, 'pods'))).length).toBe(1);
    // one more, with no room at all: what the first one uses stays
    const second = await pod({ args: ['--cache-bytes', '0'] });
    expect(await second.said('ready')).toMatchObject({ fetchedBytes: 0 });
    expect((await readdir(blobs)).length).toBe(2);
    expect((await stat(join(blobs, digestOf(add).slice(7)))).nlink).toBe(3);
  });
});

it('what a request waited in the pod is told over HTTP, and not handed on', async () => {
  await prepare();
  const server = await pod();
  await server.said('ready');
  const upstream = openHttpUpstream({ url: await server.url, maxConnections: 4 });
  const call = { method: 'POST', path: '/v2/models/sum/infer', headers: {}, body: Buffer.from(sumBody) };
  const heads: unknown[] = [];
  await new Promise<void>((resolve, reject) => {
    upstream.forward(call, {
      onReply: (head) => {
        heads.push(head);
        resolve();
      },
      onData: () => {},
      onEnd: () => {},
      onError: reject,
    });
  });
  expect(heads).toMatchObject([{ status: 200, worked: true, queuedMs: expect.any(Number) }]);
  expect(JSON.stringify(heads)).not.toContain('sluice-queued-ms');
  const health = await ask(upstream.forward, {
    ...call,
    method: 'GET',
    path: '/v2/health/ready',
    body: Buffer.alloc(0),
  }).reply;
  expect(health.status).toBe(200);
  await upstream.close();
});

const noS3 = whyNoS3();
describe.skipIf(noS3 !== undefined)(noS3 ? `blobs in S3 (skipped: ${noS3})` : 'blobs in S3', () => {
  let s3: TestS3;
  let parts: GatewayParts;
  beforeAll(async () => {
    s3 = await startS3();
    await mkdir(join(s3.folder, 'models'));
    const endpoint = encodeURIComponent(s3.endpoint);
    parts = {
      pods: cluster.identity(),
      blobsUrl: `s3://models/some prefix?endpoint=${endpoint}&region=${s3.region}`.replace(' ', '%20'),
      credentials: s3.credentials,
    };
  }, 600_000);
  afterAll(() => s3?.stop());

  it('come from there by a URL that is good for a minute, or through the gateway where that cannot be reached', async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-models-'));
    const elsewhere = await testGateway({}, parts);
    await serve(elsewhere, 'far', { 'model.onnx': add, 'data/ballast.bin': ballast });
    door = await openPodsDoor(elsewhere);
    const token = await tokenFor('far', elsewhere);
    const asked = await fetch(`${door.url}/pods/v1/blobs/${digestOf(add)}`, {
      headers: { authorization: `Bearer ${token}` },
      redirect: 'manual',
    });
    const location = asked.headers.get('location') ?? '';
    expect([asked.status, location]).toEqual([307, expect.stringContaining(`${s3.endpoint}/models/some%20prefix/`)]);
    expect(Buffer.from(await (await fetch(location)).arrayBuffer())).toEqual(add);
    expect((await fetch(location.replace(/sha256\/../, 'sha256/00'))).status).toBe(403);
    const rest = await fetch(location, { headers: { range: 'bytes=10-' } });
    expect([rest.status, Buffer.from(await rest.arrayBuffer())]).toEqual([206, add.subarray(10)]);

    const server = await startPod({ podsUrl: door.url, token, models: join(folder, 'a') });
    await server.said('ready');
    expect((await predict(await server.url, 'far')).status).toBe(200);
    expect(door.calls.filter((call) => call.includes('redirect=false'))).toEqual([]);

    door.next('/blobs/', (_request, response) => {
      response.writeHead(307, { location: 'http://127.0.0.1:9/nowhere' }).end();
    });
    const cutOff = await startPod({ podsUrl: door.url, token, models: join(folder, 'b') });
    await cutOff.said('the blob store cannot be asked');
    await cutOff.said('ready');
    expect(door.calls.filter((call) => call.includes('redirect=false')).length).toBeGreaterThan(0);
  });
});
