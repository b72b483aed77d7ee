/** The pods' own API: who is let in, and what for. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { check, digestOf, modelBytes } from '../../../tests/support/scenario.js';
import { type TestGateway, testGateway } from '../../../tests/support/test-services.js';
import {
  startTokenReviewServer,
  type TokenOf,
  type TokenReviewServer,
} from '../../../tests/support/token-review-server.js';
import { sweepBlobs } from '../../core/blob-references.js';
import { jobName, serviceName } from '../../core/cluster-names.js';
import { forgetCheckpoints } from '../../core/pods/jobs.js';
import { claimJob, finishSucceeded } from '../../core/training/attempts.js';

let cluster: TokenReviewServer;
let gateway: TestGateway;
let add: Buffer;
let other: Buffer;
/** Of the two endpoints, the second another project's. */
let services: string[];

beforeAll(async () => {
  cluster = await startTokenReviewServer();
  gateway = await testGateway({ uploadBytes: 100_000 }, { pods: cluster.identity() });
  [add, other] = [await modelBytes('add.onnx'), await modelBytes('identity-fp32.onnx')];
  for (const [as, bytes] of [
    ['admin', add],
    ['other', other],
  ] as const) {
    await check(gateway, { as, method: 'POST', url: '/models/sums/versions', body: bytes, status: 201 });
    const endpoint = { name: 'sum', model: 'sums', version: 1, scaling: { threads: 3 } };
    await check(gateway, { as, method: 'POST', url: '/endpoints', body: endpoint, status: 201 });
  }
  await gateway.services.routing.reload(gateway.db);
  const rows = await gateway.db.selectFrom('endpoints').select(['id', 'name']).orderBy('project').execute();
  services = rows.map(({ id, name }) => serviceName(name, id));
});
afterAll(() => cluster.close());

const podOf = (service: string | undefined, revision = 1) => `${service}-r${revision}-deployment-7d9c5b8f6d-x2k9p`;
const runtime = (more: Partial<TokenOf> = {}): TokenOf => ({
  serviceAccount: 'sluice-runtime',
  pod: podOf(services[0]),
  ...more,
});
const call = (of: TokenOf, method: string, path: string, body?: Uint8Array, headers: Record<string, string> = {}) =>
  gateway.app.request(`/pods/v1${path}`, {
    method,
    headers: { authorization: `Bearer ${cluster.issue(of)}`, ...headers },
    ...(body === undefined ? {} : { body: body as Uint8Array<ArrayBuffer> }),
  });

describe("a model server's pod", () => {
  test('is told its model, and how to load it', async () => {
    const response = await call(runtime(), 'GET', '/model');
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({
      name: 'sum',
      version: '1',
      framework: 'onnx',
      entry: 'model.onnx',
      options: { intraOpNumThreads: 3 },
      files: [{ path: 'model.onnx', digest: digestOf(add), bytes: add.length }],
    });
  });

  test("gets its model's bytes, from where it asks", async () => {
    const whole = await call(runtime(), 'GET', `/blobs/${digestOf(add)}`);
    expect([whole.status, whole.headers.get('content-length'), whole.headers.get('etag')]).toEqual([
      200,
      String(add.length),
      `"${digestOf(add)}"`,
    ]);
    expect(Buffer.from(await whole.arrayBuffer())).toEqual(add);
    const rest = await call(runtime(), 'GET', `/blobs/${digestOf(add)}`, undefined, { range: 'bytes=10-' });
    expect([rest.status, rest.headers.get('content-range')]).toEqual([206, `bytes 10-${add.length - 1}/${add.length}`]);
    expect(Buffer.from(await rest.arrayBuffer())).toEqual(add.subarray(10));
    const beyond = await call(runtime(), 'GET', `/blobs/${digestOf(add)}`, undefined, { range: 'bytes=999999-' });
    expect(beyond.status).toBe(200);
    await beyond.arrayBuffer();
  });

  test("is not given another's model, neither by its digest nor under its own name", async () => {
    const response = await call(runtime(), 'GET', `/blobs/${digestOf(other)}`);
    expect([response.status, await response.text()]).toEqual([404, expect.stringContaining('is no blob of this pod')]);
    const theirs = await call(runtime({ pod: podOf(services[1]) }), 'GET', '/model');
    expect(await theirs.json()).toMatchObject({ files: [{ digest: digestOf(other) }] });
  });

  test('learns that its revision is gone', async () => {
    const response = await call(runtime({ pod: podOf(services[0], 9) }), 'GET', '/model');
    expect([response.status, await response.text()]).toEqual([404, expect.stringContaining('there is no revision 9')]);
  });

  test('of a revision that this gateway has not heard of yet is served', async () => {
    await check(gateway, { method: 'POST', url: '/endpoints/sum/revisions', body: { version: 1 }, status: 201 });
    const response = await call(runtime({ pod: podOf(services[0], 2) }), 'GET', '/model');
    expect(await response.json()).toMatchObject({ name: 'sum', version: '2' });
  });

  test('has nothing to do with jobs', async () => {
    for (const [method, path] of [
      ['GET', '/job'],
      ['PUT', '/outputs'],
      ['GET', '/checkpoint'],
      ['PUT', '/checkpoint'],
    ] as const)
      expect((await call(runtime(), method, path)).status).toBe(403);
  });
});

describe('is not let in', () => {
  test.each([
    ['who shows nothing', undefined, 401, "the pod's token is needed"],
    ['a key of the API', 'admin', 401, 'no service account'],
    ['a token for another audience', { audience: 'vault' }, 401, 'its audience is [\\"vault\\"]'],
    ['a token that has expired', { seconds: -5 }, 401, 'it expired at'],
    ['a token that is bound to no pod', { pod: undefined }, 401, 'bound to no pod'],
    ['a pod of another namespace', { namespace: 'elsewhere' }, 403, 'of namespace \\"elsewhere\\"'],
    ['a pod of another account', { serviceAccount: 'default' }, 403, 'service account \\"default\\"'],
    ['a pod that is named by somebody else', { pod: 'busybox' }, 403, 'pod \\"busybox\\" of sluice-runtime'],
    ["a job's pod as a model server", { pod: 'sluice-job-01hzy-1-0-x2k9p' }, 403, 'none that Sluice made'],
  ])('%s', async (_what, given, status, message) => {
    const authorization =
      given === undefined
        ? undefined
        : `Bearer ${given === 'admin' ? gateway.keys.admin : cluster.issue(runtime(given as Partial<TokenOf>))}`;
    const response = await gateway.app.request('/pods/v1/model', {
      headers: authorization === undefined ? {} : { authorization },
    });
    expect([response.status, await response.text()]).toEqual([status, expect.stringContaining(message)]);
  });

  test('anybody while the cluster cannot be asked: they are told to come again', async () => {
    cluster.failWith = 500;
    const response = await call(runtime(), 'GET', '/model');
    cluster.failWith = undefined;
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '2']);
  });

  test('anybody where there are no pods: there is no such API', async () => {
    const without = await testGateway();
    expect((await without.app.request('/pods/v1/model')).status).toBe(404);
  });
});

describe("a job's pod", () => {
  const code = Buffer.from('code');
  const run = async () => {
    await check(gateway, { method: 'POST', url: '/blobs', body: code, status: 201 });
    const spec = {
      name: 'train',
      code: digestOf(code),
      entrypoint: 'train.py',
      args: ['--fast'],
      params: { rate: 0.1 },
      timeLimitSec: 60,
    };
    const { id } = (await check(gateway, { method: 'POST', url: '/jobs', body: spec, status: 202 })) as { id: string };
    await claimJob(gateway.db, id, 'worker');
    return id;
  };
  const job = (id: string, attempt = 1, index = 0): TokenOf => ({
    serviceAccount: 'sluice-job',
    pod: `${jobName(id, attempt)}-${index}-x2k9p`,
  });
  const checkpointOf = async (id: string) =>
    (await gateway.db.selectFrom('jobs').select('checkpoint_digest').where('id', '=', id).executeTakeFirstOrThrow())
      .checkpoint_digest;

  const end = (id: string) =>
    gateway.db.updateTable('jobs').set({ state: 'failed', ended_at: new Date() }).where('id', '=', id).execute();

  test('is told what to run, and gets the code and nothing else', async () => {
    const id = await run();
    const response = await call(job(id), 'GET', '/job');
    expect(await response.json()).toEqual({
      id,
      attempt: 1,
      index: 0,
      code: digestOf(code),
      entrypoint: 'train.py',
      args: ['--fast'],
      requirements: [],
      params: { rate: 0.1 },
      env: {},
      timeLimitSec: 60,
      checkpoint: null,
    });
    expect(await (await call(job(id), 'GET', `/blobs/${digestOf(code)}`)).text()).toBe('code');
    expect((await call(job(id), 'GET', `/blobs/${digestOf(add)}`)).status).toBe(404);
    expect((await call(job(id), 'GET', '/model')).status).toBe(403);
  });

  test('brings its outputs, which stay until it has ended', async () => {
    const id = await run();
    const outputs = Buffer.from('outputs');
    const response = await call(job(id), 'PUT', '/outputs', outputs);
    expect(await response.json()).toEqual({ digest: digestOf(outputs), bytes: 7 });
    expect(await gateway.services.blobs.stat(digestOf(outputs))).toEqual({ bytes: 7 });
    // with no worker there to read them for a while
    await sweepBlobs(gateway.db, gateway.services.blobs, 0);
    expect(await gateway.services.blobs.stat(digestOf(outputs))).toEqual({ bytes: 7 });
    await finishSucceeded(gateway.db, { id, attempt: 1, owner: 'worker' }, { version: null, reason: '' });
    await forgetCheckpoints(gateway.db);
    await sweepBlobs(gateway.db, gateway.services.blobs, 0);
    expect(await gateway.services.blobs.stat(digestOf(outputs))).toBeUndefined();
  });

  test('keeps its last checkpoint, for its next attempt too, until it has ended', async () => {
    const id = await run();
    const { blobs } = gateway.services;
    const [first, second] = [Buffer.from(`first ${id}`), Buffer.from(`second ${id}`)];
    expect((await call(job(id), 'GET', '/checkpoint')).status).toBe(404);
    for (const bytes of [first, second]) expect((await call(job(id), 'PUT', '/checkpoint', bytes)).status).toBe(200);
    await sweepBlobs(gateway.db, blobs, 0);
    expect(await blobs.stat(digestOf(first))).toBeUndefined();
    await gateway.db.updateTable('jobs').set({ state: 'queued', owner: null }).where('id', '=', id).execute();
    await claimJob(gateway.db, id, 'worker');
    expect(await (await call(job(id, 2), 'GET', '/checkpoint')).text()).toBe(`second ${id}`);
    expect(await (await call(job(id, 2), 'GET', '/job')).json()).toMatchObject({ checkpoint: digestOf(second) });

    await finishSucceeded(gateway.db, { id, attempt: 2, owner: 'worker' }, { version: null, reason: '' });
    expect(await forgetCheckpoints(gateway.db)).toBe(1);
    await sweepBlobs(gateway.db, blobs, 0);
    expect([await checkpointOf(id), await blobs.stat(digestOf(second))]).toEqual([null, undefined]);
  });

  test('the same checkpoint again stays', async () => {
    const id = await run();
    const bytes = Buffer.from(`same ${id}`);
    for (let time = 0; time < 2; time++) await call(job(id), 'PUT', '/checkpoint', bytes);
    await sweepBlobs(gateway.db, gateway.services.blobs, 0);
    expect(await (await call(job(id), 'GET', '/checkpoint')).text()).toBe(`same ${id}`);
  });

  test.each([
    ['it waits for another worker', 'queued', 1],
    ['a later attempt has taken it over', 'running', 2],
  ])('goes on while %s', async (_what, state, attempt) => {
    const id = await run();
    await gateway.db
      .updateTable('jobs')
      .set({ state: state as 'queued', attempt })
      .where('id', '=', id)
      .execute();
    expect((await call(job(id), 'GET', '/job')).status).toBe(200);
    expect((await call(job(id), 'PUT', '/checkpoint', Buffer.from(`on ${id}`))).status).toBe(200);
    expect(await checkpointOf(id)).toBe(digestOf(`on ${id}`));
  });

  test('of an attempt that has not begun is told nothing', async () => {
    expect((await call(job(await run(), 2), 'GET', '/job')).status).toBe(409);
  });

  test('writes nothing once it has ended', async () => {
    const id = await run();
    await end(id);
    for (const [method, path] of [
      ['PUT', '/outputs'],
      ['PUT', '/checkpoint'],
      ['GET', '/job'],
    ] as const) {
      const response = await call(job(id), method, path, method === 'PUT' ? Buffer.from('late') : undefined);
      expect([response.status, await response.text()]).toEqual([
        409,
        expect.stringContaining('does not run: it is failed, attempt 1'),
      ]);
    }
    expect(await gateway.services.blobs.stat(digestOf('late'))).toBeUndefined();
  });

  test('that ends while it writes has written nothing', async () => {
    const id = await run();
    const body = new ReadableStream({
      async pull(controller) {
        await end(id);
        controller.enqueue(Buffer.from('too late'));
        controller.close();
      },
    });
    const response = await gateway.app.request('/pods/v1/checkpoint', {
      method: 'PUT',
      headers: { authorization: `Bearer ${cluster.issue(job(id))}` },
      body,
      duplex: 'half',
    } as RequestInit);
    expect([response.status, await checkpointOf(id)]).toEqual([409, null]);
    await sweepBlobs(gateway.db, gateway.services.blobs, 0);
    expect(await gateway.services.blobs.stat(digestOf('too late'))).toBeUndefined();
  });

  test('other than the first of its attempt reads and does not write', async () => {
    const id = await run();
    expect((await call(job(id, 1, 3), 'GET', '/job')).status).toBe(200);
    expect((await call(job(id, 1, 3), 'PUT', '/outputs', Buffer.from('x'))).status).toBe(403);
  });

  test('may not bring more than an upload may have', async () => {
    const id = await run();
    const response = await call(job(id), 'PUT', '/outputs', Buffer.alloc(100_001));
    expect([response.status, await response.text()]).toEqual([413, expect.stringContaining('100000')]);
  });

  test('of a job that never was is told so', async () => {
    const response = await call(job('job_01hzy'), 'GET', '/job');
    expect([response.status, await response.text()]).toEqual([404, expect.stringContaining('job_01hzy')]);
  });
});
