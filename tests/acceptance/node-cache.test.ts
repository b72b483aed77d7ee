/** A node's cache between pods and a real gateway: what is fetched once, who may have it, and what goes wrong. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { serviceName } from '../../src/core/cluster-names.js';
import { createLog } from '../../src/log.js';
import { BlobCache } from '../../src/runtimes/node-cache/blob-cache.js';
import { type NodeCache, openNodeCache } from '../../src/runtimes/node-cache/server.js';
import { get } from '../../src/runtimes/pod/http-get.js';
import { endPods, openPodsDoor, type PodsDoor, startNodeCache, startPod } from '../support/pod-bench.js';
import { check, digestOf, modelBytes } from '../support/scenario.js';
import { type TestGateway, testGateway } from '../support/test-services.js';
import { startTokenReviewServer, type TokenReviewServer } from '../support/token-review-server.js';

let cluster: TokenReviewServer;
let gateway: TestGateway;
let door: PodsDoor;
let folder: string;
let add: Buffer;
let token: string;
const ballast = randomBytes(3 * 2 ** 20);
const open: NodeCache[] = [];

beforeAll(async () => {
  cluster = await startTokenReviewServer();
  gateway = await testGateway({}, { pods: cluster.identity() });
  add = await modelBytes('add.onnx');
  await serve('sum', { 'model.onnx': add, 'data/ballast.bin': ballast });
  await serve('other', { 'model.onnx': add });
  token = await tokenFor('sum');
});
afterAll(() => cluster.close());
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-node-cache-'));
  door = await openPodsDoor(gateway);
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((cache) => cache.drain(0)));
  await endPods();
  await rm(folder, { recursive: true, force: true });
});

async function serve(name: string, files: Readonly<Record<string, Buffer>>): Promise<void> {
  const listed = [];
  for (const [path, bytes] of Object.entries(files)) {
    await check(gateway, { method: 'POST', url: '/blobs', body: bytes, status: 201 });
    listed.push({ path, digest: digestOf(bytes) });
  }
  await check(gateway, { method: 'POST', url: `/models/${name}/versions`, body: { files: listed }, status: 201 });
  await check(gateway, { method: 'POST', url: '/endpoints', body: { name, model: name, version: 1 }, status: 201 });
  await gateway.services.routing.reload(gateway.db);
}

async function tokenFor(name: string): Promise<string> {
  const { db } = gateway;
  const { id } = await db.selectFrom('endpoints').select('id').where('name', '=', name).executeTakeFirstOrThrow();
  const pod = `${serviceName(name, id)}-r1-deployment-7d9c5b8f6d-x2k9p`;
  return cluster.issue({ serviceAccount: 'sluice-runtime', pod });
}

async function cache(maxBytes = 2 ** 30): Promise<string> {
  const log = createLog({ level: 'silent', format: 'json' });
  const blobs = await BlobCache.over({ folder, maxBytes, log });
  const opened = await openNodeCache({
    podsUrl: door.url,
    http: { host: '127.0.0.1', port: 0 },
    cache: blobs,
    log,
  });
  open.push(opened);
  return `http://127.0.0.1:${opened.port}`;
}

async function ask(url: string, path: string, more: { token?: string; range?: string } = {}) {
  const headers = {
    authorization: `Bearer ${more.token ?? token}`,
    ...(more.range === undefined ? {} : { range: more.range }),
  };
  const answer = await fetch(`${url}/pods/v1/${path}`, { headers, redirect: 'manual' });
  return { status: answer.status, headers: answer.headers, body: Buffer.from(await answer.arrayBuffer()) };
}

const blob = (url: string, bytes: Buffer, more = {}) => ask(url, `blobs/${digestOf(bytes)}`, more);
const fetches = () => door.calls.filter((call) => call.startsWith('GET /pods/v1/blobs/')).length;
const kept = async () => (await readdir(join(folder, 'blobs'))).sort();

/** Does something else with the next fetch of a blob, not with the question whether it is allowed. */
function nextFetch(instead: (request: IncomingMessage, response: ServerResponse) => void): void {
  door.next('/blobs/', (request, response) => {
    if (request.method === 'GET') return instead(request, response);
    nextFetch(instead);
    response.writeHead(200).end();
  });
}

describe("a node's cache", () => {
  it('lets the second pod of the node start without a byte of its files from a gateway', async () => {
    const url = await cache();
    const started = [];
    for (const models of ['a', 'b']) {
      const server = await startPod({ podsUrl: url, token, models: join(folder, models) });
      started.push(await server.said('ready'));
      expect(fetches()).toBe(2);
    }
    expect(started.map(({ fetchedBytes }) => fetchedBytes)).toEqual(Array(2).fill(add.length + ballast.length));
    // it was asked both times who may have what
    expect(door.calls.filter((call) => call.startsWith('HEAD '))).toHaveLength(4);
  });

  it('asks the gateway each time who may have a file, and hands its refusals on as they are', async () => {
    const url = await cache();
    expect(said(await blob(url, ballast), ballast)).toBe('whole');
    const other = await tokenFor('other');
    expect((await blob(url, add, { token: other })).status).toBe(200);
    for (const bad of [other, 'nonsense']) {
      const [here, there] = await Promise.all([url, door.url].map((by) => blob(by, ballast, { token: bad })));
      expect([here?.status, codeOf(here?.body)]).toEqual([there?.status, codeOf(there?.body)]);
      expect(here?.status).toBe(bad === other ? 404 : 401);
    }
    expect((await fetch(`${url}/pods/v1/blobs/${digestOf(ballast)}`)).status).toBe(401);
  });

  it('hands everything else on unchanged, and nothing but the pods API', async () => {
    const url = await cache();
    const [here, there] = await Promise.all([url, door.url].map((by) => ask(by, 'model')));
    expect(JSON.parse(String(here?.body))).toEqual(JSON.parse(String(there?.body)));
    expect((await ask(url, 'job')).status).toBe(403);
    const upload = randomBytes(2 ** 20);
    let came = 0;
    door.next('/outputs', (request, response) => {
      request.on('data', (chunk: Buffer) => {
        came += chunk.length;
      });
      request.on('end', () => response.writeHead(418, { 'x-said': request.headers.authorization }).end('tea'));
    });
    const put = await fetch(`${url}/pods/v1/outputs`, {
      method: 'PUT',
      body: upload,
      headers: { authorization: `Bearer ${token}` },
    });
    expect([put.status, put.headers.get('x-said'), await put.text(), came]).toEqual([
      418,
      `Bearer ${token}`,
      'tea',
      upload.length,
    ]);
    const before = door.calls.length;
    expect((await ask(url, '../../v1/models')).status).toBe(404);
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    expect(door.calls.length).toBe(before);
  });

  it('fetches once what ten ask for at once, and goes on where a download broke', async () => {
    const url = await cache();
    const all = await Promise.all(Array.from({ length: 10 }, () => blob(url, ballast)));
    for (const { status, body } of all) expect([status, body.equals(ballast)]).toEqual([200, true]);
    expect(fetches()).toBe(1);
    const rest = await blob(url, ballast, { range: 'bytes=1000000-' });
    expect([rest.status, rest.headers.get('content-range')]).toEqual([
      206,
      `bytes 1000000-${ballast.length - 1}/${ballast.length}`,
    ]);
    expect(rest.body.equals(ballast.subarray(1_000_000))).toBe(true);
    expect(fetches()).toBe(1);
  });

  it('fetches on for others when the pod that asked first has left', async () => {
    const url = await cache();
    let finish = () => {};
    nextFetch((_request, response) => {
      response.writeHead(200, { 'content-length': ballast.length }).write(ballast.subarray(0, 1_000_000));
      finish = () => response.end(ballast.subarray(1_000_000));
    });
    const leaving = new AbortController();
    const headers = { authorization: `Bearer ${token}` };
    const first = await fetch(`${url}/pods/v1/blobs/${digestOf(ballast)}`, { headers, signal: leaving.signal });
    const second = blob(url, ballast);
    leaving.abort();
    await expect(first.arrayBuffer()).rejects.toThrow();
    finish();
    expect(said(await second, ballast)).toBe('whole');
    expect(fetches()).toBe(1);
  });

  it('goes on itself where its own fetch broke', async () => {
    const url = await cache();
    nextFetch((_request, response) => {
      response.writeHead(200, { 'content-length': ballast.length });
      response.write(ballast.subarray(0, 1_000_000), () => response.destroy());
    });
    expect(said(await blob(url, ballast), ballast)).toBe('whole');
    expect(fetches()).toBe(2);
  });

  it('keeps no broken bytes, serves them to nobody as whole, and says so when they do not get better', async () => {
    const url = await cache();
    const broken = Buffer.from(ballast);
    broken[5] = (broken[5] ?? 0) ^ 1;
    for (let times = 0; times < 3; times++) {
      nextFetch((_request, response) => response.writeHead(200, { 'content-length': broken.length }).end(broken));
      await expect(blob(url, ballast)).rejects.toThrow();
      expect(await kept()).toEqual([]);
      expect(await readdir(join(folder, 'drafts'))).toEqual([]);
    }
    const told = await blob(url, ballast);
    expect([told.status, String(told.body)]).toEqual([400, expect.stringContaining('is damaged where it is kept')]);
    // and it may have been mended
    expect(said(await blob(url, ballast), ballast)).toBe('whole');
    expect(await kept()).toHaveLength(1);
  });

  it('follows to a blob store without the token, and to the gateway where that cannot be reached', async () => {
    const url = await cache();
    const seen: (string | undefined)[] = [];
    door.next('/store', (request, response) => {
      seen.push(request.headers.authorization);
      response.writeHead(200, { 'content-length': ballast.length }).end(ballast);
    });
    nextFetch((_request, response) => response.writeHead(307, { location: `${door.url}/store` }).end());
    expect(said(await blob(url, ballast), ballast)).toBe('whole');
    expect(seen).toEqual([undefined]);
    nextFetch((_request, response) => response.writeHead(307, { location: 'http://127.0.0.1:9/nowhere' }).end());
    expect(said(await blob(url, add), add)).toBe('whole');
    expect(door.calls.at(-1)).toContain('redirect=false');
  });

  it('makes room by what was used longest ago, and hands on what there is no room for', async () => {
    const url = await cache(ballast.length + 10);
    await blob(url, ballast);
    await blob(url, add);
    expect(await kept()).toEqual([digestOf(add).slice(7)]);
    await blob(url, ballast);
    expect(await kept()).toEqual([digestOf(ballast).slice(7)]);
    await rm(folder, { recursive: true });
    const tight = await cache(10);
    expect(said(await blob(tight, ballast), ballast)).toBe('whole');
    expect(await kept()).toEqual([]);
  });

  it('does not remove what is being read', async () => {
    const log = createLog({ level: 'silent', format: 'json' });
    const blobs = await BlobCache.over({ folder, maxBytes: ballast.length, log });
    const source = (bytes: Buffer) => () =>
      get(`${door.url}/pods/v1/blobs/${digestOf(bytes)}`, { authorization: `Bearer ${token}` });
    const reading = await blobs.hold(digestOf(ballast), source(ballast));
    expect(await blobs.hold(digestOf(add), source(add))).toBeUndefined();
    const chunks: Buffer[] = [];
    for await (const chunk of reading?.chunks(0) ?? []) chunks.push(chunk);
    expect(Buffer.concat(chunks).equals(ballast)).toBe(true);
    await reading?.release();
    const again = await blobs.hold(digestOf(ballast), source(ballast));
    expect([again?.found, await blobs.hold(digestOf(add), source(add))]).toEqual([true, undefined]);
    await again?.release();
    const next = await blobs.hold(digestOf(add), source(add));
    expect(next?.bytes).toBe(add.length);
    for await (const _chunk of next?.chunks(0) ?? []);
    await next?.release();
  });

  it('says that gateways are away, for as long as they are, though it has the file', async () => {
    const url = await cache();
    await blob(url, ballast);
    await door.close();
    for (const path of ['model', `blobs/${digestOf(ballast)}`]) {
      const { status, headers, body } = await ask(url, path);
      expect([status, headers.get('retry-after'), codeOf(body)]).toEqual([503, '1', 'not_ready']);
    }
    await door.open();
    expect((await blob(url, ballast)).status).toBe(200);
  });
});

describe('the program', () => {
  it('ends what it has begun, and knows what the last one kept, as far as it is still right', async () => {
    const first = await startNodeCache({ podsUrl: door.url, folder });
    const url = await first.url;
    let finish = () => {};
    const held = new Promise<void>((resolve) => {
      nextFetch((_request, response) => {
        response.writeHead(200, { 'content-length': ballast.length }).write(ballast.subarray(0, 1_000_000));
        finish = () => response.end(ballast.subarray(1_000_000));
        resolve();
      });
    });
    const asked = blob(url, ballast);
    await held;
    first.kill('SIGTERM');
    await first.said('draining');
    finish();
    expect(said(await asked, ballast)).toBe('whole');
    expect((await first.ended).how).toBe(0);

    await writeFile(join(folder, 'blobs', digestOf(add).slice(7)), Buffer.alloc(add.length));
    const second = await startNodeCache({ podsUrl: door.url, folder });
    const before = fetches();
    expect(said(await blob(await second.url, ballast), ballast)).toBe('whole');
    expect(fetches()).toBe(before);
    expect(said(await blob(await second.url, add), add)).toBe('whole');
    expect(fetches()).toBe(before + 1);
  });
});

/** Megabytes are nothing to show as a difference. */
function said({ status, body }: { status: number; body: Buffer }, expected: Buffer): string {
  return body.equals(expected) ? 'whole' : `${status} ${body.subarray(0, 500).toString('latin1')}`;
}

function codeOf(body: Buffer | undefined): unknown {
  return (JSON.parse(String(body)) as { error?: { code?: unknown } }).error?.code;
}
