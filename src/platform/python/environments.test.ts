import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TEST_ENV } from '../../../tests/support/training-bench.js';
import { createEnvironments, environmentKey } from './environments.js';
import { probeInterpreter } from './pip.js';

const never = new AbortController().signal;
const ignore = async () => {};
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-environments-'));
});
afterEach(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));

const create = (change: { python?: string; baseEnv?: Record<string, string> } = {}) =>
  createEnvironments({ cacheFolder: folder, baseEnv: TEST_ENV, ...change });
const folders = async () => (await readdir(folder, { withFileTypes: true })).filter((entry) => entry.isDirectory());
const six = (python: string) =>
  execFileSync(python, ['-c', 'import six; print(six.__version__)'], { encoding: 'utf8' });

describe('environments', () => {
  it('are built once for all who ask together, and found afterwards', async () => {
    const environments = create();
    const lines: string[][] = [];
    const all = await Promise.all(
      Array.from({ length: 10 }, (_, at) => {
        const own: string[] = [];
        lines.push(own);
        return environments.ensure(
          [at % 2 ? 'Six==1.16.0' : ' six==1.16.0 # same'],
          async (line) => void own.push(line),
          never,
        );
      }),
    );
    expect(new Set(all.map(({ python }) => python)).size).toBe(1);
    expect(six(all[0]?.python ?? '')).toBe('1.16.0\n');
    for (const own of lines) expect(own.filter((line) => line.startsWith('Successfully installed'))).toHaveLength(1);
    expect(await folders()).toHaveLength(1);
    const later: string[] = [];
    await create().ensure(['six==1.16.0'], async (line) => void later.push(line), never);
    expect(later).toEqual([]);
    expect((await readdir(folder)).filter((name) => name.includes('lock'))).toEqual([]);
  });

  it('are built once by two processes', async () => {
    const entry = join(folder, 'ensure.mjs');
    await build({
      stdin: {
        contents: `
          import { createEnvironments } from './environments.js';
          const { cacheFolder, baseEnv } = JSON.parse(process.argv[2]);
          const say = async (line) => console.log(line);
          await createEnvironments({ cacheFolder, baseEnv }).ensure(['six==1.16.0'], say, new AbortController().signal);
          console.log('done');`,
        resolveDir: import.meta.dirname,
      },
      bundle: true,
      platform: 'node',
      format: 'esm',
      outfile: entry,
    });
    const options = JSON.stringify({ cacheFolder: folder, baseEnv: TEST_ENV });
    const outputs = await Promise.all(
      [1, 2, 3].map(async () => {
        const child = spawn(process.execPath, [entry, options], { stdio: ['ignore', 'pipe', 'inherit'] });
        let text = '';
        child.stdout.on('data', (chunk) => {
          text += chunk;
        });
        await once(child, 'close');
        return text;
      }),
    );
    for (const text of outputs) expect(text).toMatch(/done\n$/);
    expect(outputs.join('').match(/Successfully installed/g)).toHaveLength(1);
  });

  it('take a dead builder’s lock and half-built folder over', async () => {
    const key = environmentKey(await probeInterpreter('python3', TEST_ENV), ['six==1.16.0']);
    await mkdir(join(folder, key, 'bin'), { recursive: true });
    await writeFile(join(folder, key, 'bin', 'python'), 'half');
    await writeFile(join(folder, `${key}.lock`), JSON.stringify({ pid: process.pid, startedAt: 'another life' }));
    const { python } = await create().ensure(['six==1.16.0'], ignore, never);
    expect(six(python)).toBe('1.16.0\n');
  });

  it('are the bare interpreter without requirements', async () => {
    const { python, folder: none } = await create().ensure(['  ', '# only a comment'], ignore, never);
    expect(none).toBeNull();
    expect(execFileSync(python, ['-c', 'print(1)'], { encoding: 'utf8' })).toBe('1\n');
  });

  it('say what pip said when a requirement cannot be met, for good', async () => {
    const failing = create().ensure(['six==0.0.0.999'], ignore, never);
    await expect(failing).rejects.toMatchObject({
      code: 'invalid',
      message: expect.stringMatching(/No matching distribution|Could not find/),
    });
    expect(await folders()).toEqual([]);
    expect(await readdir(folder)).toEqual([]);
  });

  it('call a network failure worth a retry', async () => {
    const baseEnv = {
      ...TEST_ENV,
      PIP_CONFIG_FILE: '/dev/null',
      PIP_INDEX_URL: 'http://127.0.0.1:9/simple',
      PIP_RETRIES: '1',
    };
    for (const name of Object.keys(baseEnv)) if (/proxy|FIND_LINKS/i.test(name)) Reflect.deleteProperty(baseEnv, name);
    const failing = create({ baseEnv }).ensure(['six==1.16.0'], ignore, never);
    await expect(failing).rejects.toMatchObject({ code: 'upstream_failed' });
  });

  it('go on building when one of two leaves, and stop when both do', async () => {
    const environments = create();
    const stop = new AbortController();
    const leaving = environments.ensure(['six==1.16.0'], async () => stop.abort(), stop.signal);
    const staying = environments.ensure(['six==1.16.0'], ignore, never);
    await expect(leaving).rejects.toMatchObject({ code: 'cancelled' });
    expect(six((await staying).python)).toBe('1.16.0\n');

    const stopBoth = new AbortController();
    const both = [1, 2].map(() => environments.ensure(['idna==3.7'], async () => stopBoth.abort(), stopBoth.signal));
    await Promise.all(both.map((one) => expect(one).rejects.toMatchObject({ code: 'cancelled' })));
    expect(await folders()).toHaveLength(1);
    await expect(environments.ensure(['idna==3.7'], ignore, never)).resolves.toBeDefined();
  });

  it('need a Python of 3.10 or newer, and say so', async () => {
    await expect(create({ python: 'no-such-python' }).ensure([], ignore, never)).rejects.toThrow(
      'Python 3.10 or newer is needed as no-such-python: there is no such program',
    );
    const old = join(folder, 'old-python');
    await writeFile(old, `#!/bin/sh\necho '{"executable":"/x","version":"3.9.1","platform":"x","pip":true}'\n`);
    await chmod(old, 0o755);
    await expect(create({ python: old }).ensure([], ignore, never)).rejects.toThrow('it is Python 3.9.1');
  });
});
