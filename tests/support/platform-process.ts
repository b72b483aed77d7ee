/** `sluice up` as a process in a temporary folder, driven over HTTP, whose parts can be killed. Needs a built dist/. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll } from 'vitest';
import { SluiceClient } from '../../src/cli/client.js';
import { childEnv } from '../../src/config.js';
import { freePort } from '../../src/platform/free-port.js';
import { eventually } from './children.js';

const KEY = 'platform-test-admin-key';

export interface PlatformProcess {
  readonly url: string;
  /** The administrator's. */
  readonly key: string;
  readonly client: SluiceClient;
  /** SIGKILL to the gateway or the worker, of which the supervisor starts another. */
  kill(program: 'gateway' | 'worker'): void;
  /** Serves a fixture model under an endpoint of its name, with all traffic. */
  serve(endpoint: string, file: string, settings?: Readonly<Record<string, unknown>>): Promise<void>;
}

// registered while the file is collected: a hook that a hook registers never runs
const stops: (() => Promise<void>)[] = [];
afterAll(async () => {
  for (const stop of stops.splice(0)) await stop();
});

/** Whether parts of it can be killed here: they are found through /proc. */
export const canKill = process.platform === 'linux';

/** Starts it; it ends, and its folder goes, after the file's tests. */
export async function startPlatformProcess(env: Readonly<Record<string, string>> = {}): Promise<PlatformProcess> {
  const base = await mkdtemp(join(tmpdir(), 'sluice-platform-'));
  // run by root, the database belongs to another user, who must pass through
  await chmod(base, 0o711);
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const client = new SluiceClient({ url, key: KEY });
  const platform = spawn(process.execPath, ['--enable-source-maps', resolve('dist/sluice.js'), 'up'], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: childEnv({
      SLUICE_DATA_DIR: join(base, 'data'),
      SLUICE_CACHE_DIR: join(base, 'cache'),
      SLUICE_PORT: String(port),
      SLUICE_ADMIN_KEY: KEY,
      SLUICE_LOG_LEVEL: 'error',
      DATABASE_URL: '',
      REDIS_URL: '',
      ...env,
    }),
  });
  stops.push(async () => {
    await end(platform);
    await rm(base, { recursive: true, force: true, maxRetries: 50, retryDelay: 100 });
  });
  await eventually(
    () =>
      client.get('/readyz').then(
        () => true,
        () => false,
      ),
    60_000,
  );
  return {
    url,
    key: KEY,
    client,
    kill(program) {
      const pid = childOf(platform.pid ?? 0, program);
      if (pid === undefined) throw new Error(`no ${program} runs`);
      process.kill(pid, 'SIGKILL');
    },
    async serve(endpoint, file, settings = {}) {
      const bytes = await readFile(resolve('tests/fixtures/models', file));
      const stream = {
        bytes: bytes.length,
        async *open() {
          yield bytes;
        },
      };
      await client.post(`/api/v1/models/${endpoint}/versions`, { stream });
      await client.post('/api/v1/endpoints', { json: { name: endpoint, model: endpoint, version: 1, ...settings } });
    },
  };
}

async function end(platform: ChildProcess): Promise<void> {
  if (platform.exitCode !== null || platform.signalCode !== null) return;
  platform.kill('SIGTERM');
  await once(platform, 'exit');
}

function childOf(pid: number, program: string): number | undefined {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number);
  return children.find((child) => readFileSync(`/proc/${child}/cmdline`, 'utf8').includes(`/dist/${program}.js`));
}
