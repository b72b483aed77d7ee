/**
 * The whole path as a user has it: `sluice up` as a process, jobs from the queue, gates, canaries under traffic, and an end
 * that leaves nothing behind. Over HTTP alone.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, copyFile, cp, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SluiceClient } from '../../src/cli/client.js';
import { packCode } from '../../src/cli/pack/archive.js';
import { freePort } from '../../src/platform/free-port.js';
import { eventually } from '../support/children.js';

const MODELS = resolve('tests/fixtures/models');
const KEY = 'acceptance-test-admin-key';

interface Job {
  id: string;
  state: string;
  reason: string;
  version: number | null;
  promotions: { id: string; state: string }[];
}
interface Promotion {
  state: string;
  reason: string;
  endedAt: string | null;
  rolloutId: string | null;
  gates: { gate: string; passed: boolean; reason: string }[];
}

describe('the main path', () => {
  let base: string;
  let platform: ChildProcess;
  let client: SluiceClient;
  let url: string;
  let code: string;

  beforeAll(async () => {
    base = await mkdtemp(join(tmpdir(), 'sluice-path-'));
    // run by root, the database belongs to another user, who must pass through
    await chmod(base, 0o711);
    const port = await freePort();
    url = `http://127.0.0.1:${port}`;
    client = new SluiceClient({ url, key: KEY });
    platform = start(port);
    await eventually(() => ready(url), 30_000);
    code = await uploadCode();
    await client.post('/api/v1/models', { json: { name: 'lookup' } });
    await client.put('/api/v1/endpoints/lookup', {
      json: {
        name: 'lookup',
        model: 'lookup',
        policy: {
          gates: [{ kind: 'metric', name: 'accuracy', min: 0.5 }, { kind: 'signature' }],
          rollout: {
            steps: [{ percent: 50, holdSec: 0 }],
            analysis: {
              minRequests: 60,
              metrics: [
                { kind: 'errors', maxIncrease: 0.2 },
                { kind: 'latency', maxIncrease: 0.9, slowFactor: 10 },
              ],
            },
          },
        },
      },
    });
  }, 60_000);

  afterAll(async () => {
    if (platform.exitCode === null && platform.signalCode === null) {
      platform.kill('SIGTERM');
      await once(platform, 'exit');
    }
    await rm(base, { recursive: true, force: true, maxRetries: 50, retryDelay: 100 });
  });

  it('puts a first version live, asks more of the next ones, and rolls back what fails in serving', async () => {
    const first = await promotionOf(await submit('first', { file: 'wide.onnx', accuracy: 0.9 }));
    expect(first).toMatchObject({ state: 'promoted' });
    expect(await infer(7)).toMatchObject({ status: 200, revision: '1' });

    const traffic = keepAsking();
    const better = await promotionOf(await submit('better', { file: 'wide.onnx', accuracy: 0.95 }));
    expect(better).toMatchObject({ state: 'promoted' });

    const worse = await promotionOf(await submit('worse', { file: 'wide.onnx', accuracy: 0.2 }));
    expect(worse.state).toBe('rejected');
    expect(worse.gates.at(-1)).toMatchObject({ gate: 'metric', passed: false });

    const fragile = await promotionOf(await submit('fragile', { file: 'narrow.onnx', accuracy: 0.95 }));
    expect(fragile).toMatchObject({ state: 'rolled_back' });
    expect(fragile.reason).toContain('more errors');

    const answers = await traffic.stop();
    // only the fragile revision may have failed, and it was the third to get traffic
    expect(answers.filter((answer) => answer.status !== 200 && answer.revision !== '3')).toEqual([]);
    const { body } = await client.get<{ traffic: { revision: number; percent: number }[] }>('/api/v1/endpoints/lookup');
    expect(body.traffic).toEqual([{ revision: 2, percent: 100 }]);
    const alias = await client.get<{ version: number }>('/api/v1/models/lookup/aliases/champion');
    expect(alias.body.version).toBe(2);
  }, 120_000);

  it('fails a job whose output is no model, with the reason', async () => {
    const job = await jobEnd(await submit('broken', { file: 'corrupt.onnx', accuracy: 0.9 }));
    expect(job).toMatchObject({ state: 'failed', version: null });
    expect(job.reason).toMatch(/load/i);
  }, 60_000);

  it('keeps everything over a restart, and leaves no process behind', async () => {
    const before = await client.get('/api/v1/endpoints/lookup/traffic');
    const port = Number(new URL(url).port);
    platform.kill('SIGTERM');
    expect(await once(platform, 'exit')).toEqual([0, null]);
    expect(await processesIn(base)).toEqual([]);
    platform = start(port);
    await eventually(() => ready(url), 30_000);
    expect((await client.get('/api/v1/endpoints/lookup/traffic')).body).toEqual(before.body);
    expect(await infer(7)).toMatchObject({ status: 200, revision: '2' });
    // the supervisor is killed outright: what it started ends by itself
    platform.kill('SIGKILL');
    await eventually(async () => (await processesIn(base)).length === 0, 20_000);
  }, 90_000);

  function start(port: number): ChildProcess {
    const env = {
      PATH: process.env.PATH,
      HOME: base,
      SLUICE_DATA_DIR: join(base, 'data'),
      SLUICE_CACHE_DIR: join(base, 'cache'),
      SLUICE_PORT: String(port),
      SLUICE_ADMIN_KEY: KEY,
      SLUICE_LOG_LEVEL: 'error',
    };
    return spawn(process.execPath, ['dist/sluice.js', 'up'], { env, stdio: ['ignore', 'ignore', 'inherit'] });
  }

  async function uploadCode(): Promise<string> {
    const folder = join(base, 'code');
    await cp(resolve('tests/acceptance/code'), folder, { recursive: true });
    await copyFile(join(MODELS, 'gather-wide.onnx'), join(folder, 'wide.onnx'));
    await copyFile(join(MODELS, 'gather.onnx'), join(folder, 'narrow.onnx'));
    await copyFile(join(MODELS, 'corrupt.onnx'), join(folder, 'corrupt.onnx'));
    const archive = await packCode(folder);
    const bytes = await readFile(archive.file);
    await client.put(`/api/v1/blobs/${archive.digest}`, {
      stream: {
        bytes: bytes.length,
        async *open() {
          yield bytes;
        },
      },
    });
    await archive.remove();
    return archive.digest;
  }

  async function submit(name: string, params: Record<string, string | number>): Promise<string> {
    const { body } = await client.post<{ id: string }>('/api/v1/jobs', {
      json: {
        name,
        model: 'lookup',
        code,
        entrypoint: 'train.py',
        params,
        retries: 0,
        timeLimitSec: 30,
        resources: { cpus: 0.5, memoryMb: 256 },
      },
    });
    return body.id;
  }

  async function jobEnd(id: string): Promise<Job> {
    let job: Job | undefined;
    await eventually(async () => {
      job = (await client.get<Job>(`/api/v1/jobs/${id}`)).body;
      return ['succeeded', 'failed', 'cancelled'].includes(job.state);
    }, 30_000);
    return job as Job;
  }

  async function promotionOf(id: string): Promise<Promotion> {
    const job = await jobEnd(id);
    expect(job).toMatchObject({ state: 'succeeded' });
    let promotion: Promotion | undefined;
    await eventually(async () => {
      promotion = (await client.get<Promotion>(`/api/v1/promotions/${job.promotions[0]?.id}`)).body;
      return promotion.endedAt !== null;
    }, 40_000);
    return promotion as Promotion;
  }

  async function infer(index: number): Promise<{ status: number; revision: string | null }> {
    const response = await fetch(`${url}/v2/models/lookup/infer`, {
      method: 'POST',
      headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' },
      body: JSON.stringify({ inputs: [{ name: 'index', datatype: 'INT64', shape: [1], data: [index] }] }),
    });
    await response.arrayBuffer();
    return { status: response.status, revision: response.headers.get('sluice-revision') };
  }

  /** Four clients that ask one after the other until they are told to stop. */
  function keepAsking() {
    const answers: { status: number; revision: string | null }[] = [];
    let stopped = false;
    const clients = [7, 5, 3, 1].map(async (index) => {
      while (!stopped) {
        answers.push(await infer(index));
        // a pause, so that the tests' other processes get their share of the machine
        await new Promise((next) => setTimeout(next, 10));
      }
    });
    return {
      async stop() {
        stopped = true;
        await Promise.all(clients);
        return answers;
      },
    };
  }
});

async function ready(url: string): Promise<boolean> {
  return fetch(`${url}/readyz`).then(
    (response) => response.ok,
    () => false,
  );
}

/** Processes that were started with this folder in their environment or command line. */
async function processesIn(folder: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const [environment, command] = await Promise.all(
      ['environ', 'cmdline'].map((file) => readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '')),
    );
    if ((environment?.includes(folder) || command?.includes(folder)) && command !== '')
      found.push(`${pid} ${command?.replaceAll('\0', ' ')}`);
  }
  return found;
}
