/** The command line against the real gateway's app on a real socket; only predictions are answered here. */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { serve } from '@hono/node-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cli as run } from '../../tests/support/cli.js';
import { type TestGateway, testGateway } from '../../tests/support/test-services.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const fixture = (name: string) => join(root, 'tests/fixtures/models', name);
const folder = mkdtempSync(join(tmpdir(), 'sluice-cli-'));
let gateway: TestGateway;
let env: Record<string, string>;
let asked: { path: string; headers: Headers; body: string }[] = [];
let puts = 0;

beforeAll(async () => {
  gateway = await testGateway();
  const server = serve({
    port: 0,
    hostname: '127.0.0.1',
    fetch: async (request) => {
      const { pathname } = new URL(request.url);
      if (request.method === 'PUT' && pathname.startsWith('/api/v1/blobs/')) puts++;
      return pathname.startsWith('/v2/') ? model(request, pathname) : gateway.app.fetch(request);
    },
  });
  await new Promise((ready) => server.once('listening', ready));
  env = { SLUICE_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, SLUICE_KEY: gateway.keys.admin };
  afterAll(() => server.close());
});
afterAll(() => rmSync(folder, { recursive: true }));

async function model(request: Request, path: string): Promise<Response> {
  if (request.method === 'GET')
    return Response.json({ name: 'm', inputs: [{ name: 'x', datatype: 'INT64', shape: [-1, 2] }], outputs: [] });
  asked.push({ path, headers: request.headers, body: await request.text() });
  const text =
    '{"model_name":"m","outputs":[{"name":"y","datatype":"INT64","shape":[1,2],"data":[9007199254740993,2]}]}';
  return new Response(text, {
    headers: { 'content-type': 'application/json', 'sluice-revision': '3', 'sluice-model-version': '7' },
  });
}

const cli = (words: string | readonly string[], stdin?: string) =>
  run(words, { env, ...(stdin === undefined ? {} : { stdin }) });

function write(path: string, text: string): string {
  const file = join(folder, path);
  mkdirSync(join(file, '..'), { recursive: true });
  writeFileSync(file, text);
  return file;
}

describe('models', () => {
  it('pushes once, however often', async () => {
    const before = puts;
    const first = await cli([
      'models',
      'push',
      fixture('digits.onnx'),
      '--name',
      'digits',
      '--metric',
      'accuracy=0.98',
    ]);
    expect(first).toMatchObject({ code: 0, err: '' });
    expect(first.out).toMatch(/^digits version 1 registered: X FP32\[-1, 64\] -> /);
    const again = await cli(['models', 'push', fixture('digits.onnx'), '--name', 'digits', '--quiet']);
    expect(again).toEqual({ code: 0, out: '1\n', err: '' });
    expect(puts - before).toBe(1);
    const parts = await cli(['models', 'push', fixture('external'), '--name', 'parts', '--json']);
    expect(JSON.parse(parts.out)).toMatchObject({ model: 'parts', version: 1 });
  });

  it("refuses what does not load, in the engine's words", async () => {
    const refused = await cli(['models', 'push', fixture('corrupt.onnx'), '--name', 'bad']);
    expect(refused).toMatchObject({ code: 1, out: '' });
    expect(refused.err).toMatch(/^sluice: .*(protobuf|load)/i);
  });

  it('lists and shows, exactly as the API says with --json', async () => {
    expect((await cli('models list')).out).toMatch(/^model +versions +created +description\ndigits +1 +/);
    const shown = await cli('models show digits');
    expect(shown.out).toMatch(/^model +digits\n/);
    expect(shown.out).toContain('accuracy=0.98');
    const json = await cli('models show digits --json');
    const direct = await gateway.call('admin', 'GET', '/api/v1/models/digits');
    expect(json.out).toBe(`${await direct.text()}\n`);
    expect(await cli('models show nothing')).toMatchObject({ code: 5, err: 'sluice: there is no model "nothing"\n' });
  });

  it('moves aliases and shows where they were', async () => {
    expect((await cli(['models', 'alias', 'set', 'digits', 'champion', 'latest', '--reason', 'first one'])).out).toBe(
      'digits@champion points at version 1\n',
    );
    expect((await cli('models alias history digits champion')).out).toMatch(/(now|ago) +- +1 +ada +first one/);
    expect(await cli('models alias set digits champion nobody')).toMatchObject({ code: 2 });
    expect(await cli('models alias delete digits champion --json')).toEqual({ code: 0, out: '', err: '' });
  });
});

describe('endpoints and traffic', () => {
  it('creates, shows, lists', async () => {
    const file = write('endpoint.yaml', 'scaling:\n  minReplicas: 1\n');
    const made = await cli([
      'endpoints',
      'create',
      'live',
      '--model',
      'digits',
      '--version',
      'latest',
      '-f',
      file,
      '--max-replicas',
      '3',
      '--no-auto',
    ]);
    expect(made).toMatchObject({ code: 0, err: '' });
    const json = JSON.parse((await cli('endpoints show live --json')).out) as {
      scaling: object;
      policy: object;
      traffic: object;
    };
    expect(json).toMatchObject({
      scaling: { minReplicas: 1, maxReplicas: 3 },
      policy: { auto: false },
      traffic: [{ revision: 1, percent: 100 }],
    });
    expect((await cli('endpoints show live')).out).toMatch(/traffic +1=100 %\n[\s\S]*revision +model version/);
    expect((await cli('endpoints list')).out).toMatch(/live +digits +key +1=100 %/);
    expect(await cli('endpoints create live --model digits')).toMatchObject({
      code: 1,
      err: expect.stringContaining('live'),
    });
    expect(await cli('endpoints create other')).toMatchObject({ code: 2, err: expect.stringContaining('--model') });
  });

  it('sets traffic and tells what was in force', async () => {
    await gateway.call('admin', 'POST', '/api/v1/endpoints/live/revisions', { version: 1 });
    const set = await cli(['traffic', 'set', 'live', '1=90', '2=10:canary', '--reason', 'try it']);
    expect(set).toEqual({ code: 0, out: 'traffic of live is now 1=90 %, 2=10 % (canary) (generation 2)\n', err: '' });
    const shown = await cli('traffic show live');
    expect(shown.out).toMatch(/revision +percent +tag\n +1 +90 +-\n +2 +10 +canary\n/);
    expect(shown.out).toContain('try it');
    expect((await cli(['traffic', 'show', 'live', '--at', new Date().toISOString()])).out).toMatch(/reason +try it/);
    expect(await cli('traffic show live --at 2h')).toMatchObject({ code: 5 });
    expect(await cli('traffic set live 1=90')).toMatchObject({
      code: 2,
      err: 'sluice: percents must add up to 100, not 90\n',
    });
    expect(await cli('traffic set live 9=100')).toMatchObject({ code: expect.toSatisfy((code: number) => code !== 0) });
  });

  it('starts a promotion', async () => {
    const started = await cli('rollouts start live --version 1 --quiet');
    expect(started.out).toMatch(/^pr_\w+\n$/);
    expect(gateway.queued.at(-1)).toMatchObject({ name: 'promotion.decide' });
    expect(await cli('rollouts pause live')).toMatchObject({
      code: 5,
      err: expect.stringContaining('no rollout under way'),
    });
    expect((await cli('rollouts list')).err).toContain('no rollouts yet');
    await gateway.db
      .updateTable('promotions')
      .set({ state: 'rejected', reason: 'gate said no', ended_at: new Date() })
      .execute();
  });
});

describe('train', () => {
  const code = () => {
    write('code/train.py', 'print(1)\n');
    write('code/requirements.txt', 'numpy==2.0  # fast\n');
    return join(folder, 'code');
  };

  async function end(id: string, state: 'succeeded' | 'failed'): Promise<void> {
    await gateway.db
      .insertInto('job_logs')
      .values({ job_id: id, attempt: 1, stream: 'stdout', text: 'epoch 1' })
      .execute();
    await gateway.db
      .updateTable('jobs')
      .set({ state, reason: state === 'failed' ? 'exit code 3' : '', ended_at: new Date() })
      .where('id', '=', id)
      .execute();
  }

  it('submits a folder with everything asked for', async () => {
    const words = [
      'train',
      'submit',
      code(),
      '--model',
      'digits',
      '-p',
      'lr=0.1',
      '-p',
      'kind=mlp',
      '--require',
      'onnx',
      '--arg=-v',
      '--env',
      'A=b=c',
    ];
    const sent = await cli([
      ...words,
      '--memory',
      '1g',
      '--time-limit',
      '2m',
      '--retries',
      '0',
      '--idempotency-key',
      'k1',
    ]);
    expect(sent.code).toBe(0);
    const id = sent.out.split(' ')[0] ?? '';
    const job = JSON.parse((await cli(['train', 'show', id, '--json'])).out) as { spec: Record<string, unknown> };
    expect(job.spec).toMatchObject({
      name: 'digits',
      entrypoint: 'train.py',
      requirements: ['numpy==2.0', 'onnx'],
      params: { lr: 0.1, kind: 'mlp' },
      args: ['-v'],
      env: { A: 'b=c' },
      resources: { cpus: 1, memoryMb: 1024 },
      timeLimitSec: 120,
      retries: 0,
    });
    const again = await cli([
      ...words,
      '--memory',
      '1g',
      '--time-limit',
      '2m',
      '--retries',
      '0',
      '--idempotency-key',
      'k1',
    ]);
    expect(again.out).toContain(`${id} queued, submitted before`);
    expect(again.err).toContain('the gateway has it already');
    expect((await cli('train list --state queued')).out).toMatch(new RegExp(`${id} +digits +queued`));
    expect((await cli(['train', 'cancel', id])).out).toBe(`${id} is cancelled\n`);
  });

  it('follows a job to its end, and its exit code says which', async () => {
    const { out } = await cli(['train', 'submit', code(), '-q']);
    const id = out.trim();
    const following = cli(['train', 'logs', id, '--follow', '--json']);
    const waiting = cli(['train', 'wait', id]);
    setTimeout(() => void end(id, 'failed'), 300);
    expect(JSON.parse((await following).out)).toMatchObject({ text: 'epoch 1', stream: 'stdout' });
    expect(await waiting).toMatchObject({
      code: 6,
      err: expect.stringContaining(`${id} ended as failed: exit code 3`),
    });
    expect((await cli(['train', 'logs', id])).out).toBe('epoch 1\n');
    const good = (await cli(['train', 'submit', join(code(), 'train.py'), '-q'])).out.trim();
    await end(good, 'succeeded');
    expect((await cli(['train', 'wait', good])).code).toBe(0);
  });

  it('leaves a job alone when the person leaves', async () => {
    const stop = new AbortController();
    const ran = run(['train', 'submit', code(), '--follow'], { env, signal: stop.signal });
    setTimeout(() => stop.abort(), 1000);
    expect(await ran).toMatchObject({ code: 130, err: expect.stringContaining('goes on without you') });
  });

  it('says what is missing before anything is sent', async () => {
    expect(await cli(['train', 'submit', join(folder, 'none')])).toMatchObject({ code: 2 });
    expect(await cli(['train', 'submit', code(), '--entrypoint', 'x.py'])).toMatchObject({
      code: 2,
      err: expect.stringContaining('no script x.py'),
    });
  });
});

describe('predict', () => {
  it('builds the request from data, exactly', async () => {
    asked = [];
    const answer = await cli([
      'predict',
      'live',
      '--data',
      '[9007199254740993, 1]',
      '--tag',
      'canary',
      '-H',
      'X-User: 4',
    ]);
    expect(answer.out).toBe('y INT64[1, 2]\n  9007199254740993  2\n');
    expect(answer.err).toBe('answered by revision 3 (model version 7)\n');
    expect(asked[0]).toMatchObject({
      path: '/v2/models/live/infer',
      body: '{"inputs":[{"name":"x","datatype":"INT64","shape":[1,2],"data":[[9007199254740993,1]]}]}',
    });
    expect([asked[0]?.headers.get('sluice-tag'), asked[0]?.headers.get('x-user')]).toEqual(['canary', '4']);
  });

  it('sends a whole request as it is, from a file or standard input', async () => {
    asked = [];
    const whole = '{ "inputs": [ ] }';
    await cli(['predict', 'live', '--input', write('in.json', whole), '--revision', '2']);
    const json = await cli('predict live --input - --json', whole);
    expect(asked.map(({ path, body }) => [path, body])).toEqual([
      ['/v2/models/live/versions/2/infer', whole],
      ['/v2/models/live/infer', whole],
    ]);
    expect(json.out).toContain('9007199254740993');
    expect(await cli('predict live')).toMatchObject({ code: 2 });
    expect(await cli('predict live --data [')).toMatchObject({ code: 2, err: expect.stringContaining('not JSON') });
  });
});

describe('apply', () => {
  it('makes everything, and changes nothing the second time', async () => {
    write('all/holdout.json', '{"inputs":[]}');
    write('all/code/train.py', 'pass\n');
    const file = write(
      'all/all.yaml',
      `apiVersion: sluice/v1
kind: Job
metadata: { name: nightly }
spec: { code: ./code, entrypoint: train.py, model: applied }
---
apiVersion: sluice/v1
kind: Endpoint
metadata: { name: applied }
spec: { model: applied, version: latest, policy: { auto: false } }
---
apiVersion: sluice/v1
kind: Model
metadata: { name: applied }
spec: { path: ${fixture('add.onnx')}, aliases: { champion: 1 } }
---
apiVersion: sluice/v1
kind: Dataset
metadata: { name: holdout }
spec: { path: holdout.json }
---
apiVersion: sluice/v1
kind: Key
metadata: { name: ci }
`,
    );
    const actions = (out: string) => out.split('\n').flatMap((line) => line.match(/^\w+\/\w+ \w+/)?.[0] ?? []);
    const first = await cli(['apply', '-f', file]);
    expect(first).toMatchObject({ code: 0 });
    const names = ['Dataset/holdout', 'Model/applied', 'Endpoint/applied', 'Key/ci', 'Job/nightly'];
    expect(actions(first.out)).toEqual(names.map((name) => `${name} created`));
    const second = await cli(['apply', '-f', join(folder, 'all')]);
    expect(actions(second.out)).toEqual(names.map((name) => `${name} unchanged`));
    const changed = await cli(
      'apply -f -',
      'apiVersion: sluice/v1\nkind: Endpoint\nmetadata: { name: applied }\nspec: { model: applied, access: public }\n',
    );
    expect(changed.out).toBe('Endpoint/applied updated\n');
  });

  it('changes nothing when anything is wrong, and says where', async () => {
    const text =
      'apiVersion: sluice/v1\nkind: Key\nmetadata: { name: nobody }\n---\nkind: Key\nmetadata: { name: x }\nspec: { rolle: a }\n';
    const refused = await cli(['apply', '-f', write('bad.yaml', text)]);
    expect(refused.code).toBe(2);
    expect(refused.err).toMatch(
      /bad\.yaml:5: apiVersion is missing.*\n.*bad\.yaml:7: there is no field spec\.rolle; did you mean role\?/,
    );
    expect((await cli('keys list')).out).not.toContain('nobody');
    const value = await cli(
      'apply -f -',
      'apiVersion: sluice/v1\nkind: Endpoint\nmetadata: { name: e }\nspec: { model: digits, access: all }\n',
    );
    expect(value).toMatchObject({ code: 1, err: expect.stringContaining('standard input:1: Endpoint/e: access') });
  });
});

describe('keys, datasets, status', () => {
  it('creates, lists and revokes keys', async () => {
    const made = await cli('keys create robot --role predict --expires 1d --quiet');
    expect(made.out).toMatch(/^sk_\S+\n$/);
    const { out } = await cli('keys list');
    const line = out.split('\n').find((one) => one.includes('robot')) ?? '';
    expect(line).toMatch(/predict .* in (23 h 59 min|1 d)/);
    expect((await cli(['keys', 'revoke', line.split(' ')[0] ?? ''])).code).toBe(0);
    expect(await run('keys list', { env: { ...env, SLUICE_KEY: gateway.keys.predict } })).toMatchObject({ code: 4 });
    expect(await run('keys list', { env: { ...env, SLUICE_KEY: 'sk_wrong' } })).toMatchObject({
      code: 4,
      err: expect.stringContaining('the key of SLUICE_KEY'),
    });
  });

  it('pushes datasets', async () => {
    const file = write('set.json', '{}');
    expect((await cli(['datasets', 'push', file, '--name', 'set'])).out).toMatch(/^set version 1 added/);
    expect((await cli(['datasets', 'push', file, '--name', 'set'])).out).toMatch(
      /^set version 1 is the newest already/,
    );
    expect((await cli('datasets list')).out).toMatch(/set +1 +2 B/);
  });

  it('says how things stand', async () => {
    const { code, out } = await cli('status');
    expect(code).toBe(0);
    expect(out).toMatch(/^gateway +http:\S+, ready\ndatabase +ok\nyou are +ada \(admin\) in project default\n/);
    expect(JSON.parse((await cli('status --json')).out)).toMatchObject({
      readyz: { ready: true },
      whoami: { actor: 'ada' },
    });
    const nobody = await run('status', { env: { SLUICE_URL: 'http://127.0.0.1:1', SLUICE_KEY: 'sk_x' } });
    expect(nobody).toMatchObject({ code: 3, err: expect.stringContaining('start it with `sluice up`') });
  });
});

describe('the program', () => {
  const sluice = (...words: string[]) =>
    promisify(execFile)(process.execPath, [join(root, 'dist/sluice.js'), ...words], {
      env: { ...process.env, ...env },
    });

  it('starts at once, and exits with its code', async () => {
    expect((await sluice('--version')).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
    expect((await sluice('models', 'list', '--json')).stdout).toMatch(/^\{"models":/);
    await expect(sluice('models', 'show', 'nothing')).rejects.toMatchObject({ code: 5 });
    await expect(sluice('models', 'lst')).rejects.toMatchObject({
      code: 2,
      stderr: expect.stringContaining('Did you mean list?'),
    });
  });

  it('is quiet when its reader has seen enough', async () => {
    const line = `"${process.execPath}" "${join(root, 'dist/sluice.js')}" --help | true`;
    const { stderr } = await promisify(execFile)('/bin/sh', ['-c', line]);
    expect(stderr).toBe('');
  });
});
