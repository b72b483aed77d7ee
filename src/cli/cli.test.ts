/** Predictions, YAML, keys and the program itself, against the gateway. */
import { execFile } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';
import { cli as run } from '../../tests/support/cli.js';
import { type CliGateway, cliGateway } from '../../tests/support/cli-gateway.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const fixture = (name: string) => join(root, 'tests/fixtures/models', name);
let asked: CliGateway['asked'];
let cli: CliGateway['cli'];
let env: CliGateway['env'];
let gateway: CliGateway['gateway'];
let write: CliGateway['write'];

beforeAll(async () => {
  ({ asked, cli, env, gateway, write } = await cliGateway());
});

describe('predict', () => {
  it('builds the request from data, exactly', async () => {
    asked.splice(0);
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
    const quiet = await cli(['predict', 'live', '--data', '[9007199254740993, 1]', '--quiet']);
    expect(quiet).toMatchObject({ out: '[9007199254740993,2]\n', err: '' });
    expect(asked[0]).toMatchObject({
      path: '/v2/models/live/infer',
      body: '{"inputs":[{"name":"x","datatype":"INT64","shape":[1,2],"data":[[9007199254740993,1]]}]}',
    });
    expect([asked[0]?.headers.get('sluice-tag'), asked[0]?.headers.get('x-user')]).toEqual(['canary', '4']);
  });

  it('sends a whole request as it is, from a file or standard input', async () => {
    asked.splice(0);
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
    const second = await cli(['apply', '-f', dirname(file)]);
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
