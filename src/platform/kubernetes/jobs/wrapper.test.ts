import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type PodsServer, startPodsServer } from '../../../../tests/support/pods-server.js';
import { LineSplitter } from '../../lines.js';
import { type PodLine, readPodLine } from './log-lines.js';

const WRAPPER = readFileSync(join(import.meta.dirname, 'wrapper.py'), 'utf8');

interface Ended {
  readonly code: number | null;
  readonly lines: PodLine[];
  readonly message: Record<string, unknown>;
  text(kind: PodLine['kind']): string;
}

let folder: string;
let server: PodsServer;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-wrapper-'));
  server = await startPodsServer(join(folder, 'blobs'));
});
afterEach(async () => {
  await server.close();
  rmSync(folder, { recursive: true, force: true });
});

/** A tar.gz with these files, stored. */
async function archive(files: Record<string, string>, ...more: string[]): Promise<string> {
  const code = mkdtempSync(join(folder, 'files-'));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(code, name), text);
  const bytes = execFileSync('tar', ['-czPf', '-', ...more, '-C', code, '.']);
  return (await server.blobs.put(Readable.from([bytes]))).digest;
}

interface Given {
  readonly job?: Record<string, unknown>;
  readonly pod?: Record<string, unknown>;
  readonly env?: Record<string, string>;
}

async function begin(script: string, { job = {}, pod = {}, env = {} }: Given = {}) {
  const code = await archive({ 'train.py': script });
  const told = {
    code,
    entrypoint: 'train.py',
    args: [],
    requirements: [],
    params: {},
    env: {},
    timeLimitSec: 60,
    ...job,
  };
  writeFileSync(join(folder, 'blobs', 'job.json'), JSON.stringify(told));
  writeFileSync(join(folder, 'token'), 'a-token\n');
  const work = join(folder, 'work');
  mkdirSync(work, { recursive: true });
  const input = {
    jobId: 'job_1',
    attempt: 2,
    resources: { cpus: 2.5, memoryMb: 512, gpus: 2 },
    replicas: 1,
    distributed: { framework: 'none', processesPerReplica: 1 },
    hosts: ['localhost'],
    podsUrl: server.url,
    stopGraceSec: 5,
    checkpointEverySec: 0.2,
    tokenFile: join(folder, 'token'),
    workFolder: work,
    terminationLog: join(folder, 'message'),
    ...pod,
  };
  const child = spawn('python3', ['-c', WRAPPER], {
    env: { PATH: process.env.PATH, SLUICE_JOB: JSON.stringify(input), KUBERNETES_SERVICE_HOST: 'secret', ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines: PodLine[] = [];
  const ended = readAll(child, lines);
  return {
    child,
    lines,
    /** Resolves when this text was said. */
    said: async (text: string) => {
      while (!lines.some((line) => line.text.includes(text))) await once(child.stdout as Readable, 'data');
    },
    ended: async (): Promise<Ended> => {
      const code = await ended;
      const text = (kind: PodLine['kind']) =>
        lines.flatMap((line) => (line.kind === kind ? [line.text] : [])).join('\n');
      return { code, lines, message: JSON.parse(readFileSync(join(folder, 'message'), 'utf8')), text };
    },
  };
}

async function readAll(child: ChildProcess, lines: PodLine[]): Promise<number | null> {
  const splitter = new LineSplitter();
  child.stdout?.on('data', (chunk: Buffer) => lines.push(...splitter.push(chunk).map(readPodLine)));
  const [code] = await once(child, 'close');
  return code as number | null;
}

const run = async (script: string, given?: Given) => (await begin(script, given)).ended();

/** The files of an archive that was handed in. */
async function unpacked(digest: unknown): Promise<string> {
  const target = mkdtempSync(join(folder, 'got-'));
  execFileSync('tar', ['-xzf', await server.blobs.localPath(String(digest)), '-C', target]);
  return target;
}

describe('the program of a job in its pod', () => {
  it('gives the script what it finds on one machine, and nothing of the platform', async () => {
    const end = await run('import json, os; print(json.dumps(dict(os.environ)))', {
      job: { params: { 'learning-rate': 0.5, name: 'a', deep: true }, env: { MINE: 'yes', RANK: 'mine' } },
    });
    expect(end.message).toMatchObject({ end: 'succeeded', exitCode: 0 });
    const env = JSON.parse(end.text('stdout'));
    const work = join(folder, 'work');
    expect(env).toMatchObject({
      PYTHONUNBUFFERED: '1',
      SLUICE_JOB_ID: 'job_1',
      SLUICE_ATTEMPT: '2',
      SLUICE_PARAMS: join(work, 'params.json'),
      SLUICE_OUTPUT_DIR: join(work, 'output'),
      SLUICE_CHECKPOINT_DIR: join(work, 'checkpoint'),
      SLUICE_PARAM_LEARNING_RATE: '0.5',
      SLUICE_PARAM_NAME: 'a',
      SLUICE_PARAM_DEEP: 'true',
      CUDA_VISIBLE_DEVICES: '0,1',
      OMP_NUM_THREADS: '2',
      MINE: 'yes',
      RANK: 'mine',
    });
    expect(env).not.toHaveProperty('SLUICE_JOB');
    expect(env).not.toHaveProperty('KUBERNETES_SERVICE_HOST');
    expect(JSON.parse(readFileSync(join(work, 'params.json'), 'utf8'))).toEqual({
      'learning-rate': 0.5,
      name: 'a',
      deep: true,
    });
  });

  it('tells lines apart as a local run does, and hands in what was yielded', async () => {
    const end = await run(`import os, sys
sys.stdout.write("one\\r\\ntwo\\rthree\\n\\n\\x01s no line of the platform\\nlast")
sys.stderr.write("bad")
open(os.path.join(os.environ["SLUICE_OUTPUT_DIR"], "model.txt"), "w").write("weights")
`);
    expect(end.text('stdout').split('\n')).toEqual([
      'one',
      'two',
      'three',
      '',
      '\x01s no line of the platform',
      'last',
    ]);
    expect(end.text('stderr')).toBe('bad');
    expect(end.lines.map(({ kind }) => kind)).toContain('running');
    expect(readFileSync(join(await unpacked(end.message.outputs), 'model.txt'), 'utf8')).toBe('weights');
  });

  it('says how the script failed', async () => {
    const end = await run('import sys; print("why", file=sys.stderr); sys.exit(3)');
    expect(end).toMatchObject({ code: 3, message: { end: 'failed', exitCode: 3, lastError: 'why' } });
    const killed = await run('import os; os.kill(os.getpid(), 9)');
    expect(killed).toMatchObject({ code: 1, message: { end: 'failed', exitCode: -9 } });
  });

  it('asks a gateway that is away again, and says what it refuses', async () => {
    server.fail(503, 2);
    expect((await run('print(1)')).message).toMatchObject({ end: 'succeeded' });
    server.fail(409, 1);
    expect(await run('print(1)')).toMatchObject({
      code: 1,
      message: { end: 'not_run', retryable: false, reason: 'the gateway answered 409 to GET job: not now' },
    });
  });

  it('runs no code that is not the job’s, nor what leads out of its folder', async () => {
    const outside = await archive({}, '--transform', 's,^.*$,../escaped,', WRAPPER_FILE);
    const escaped = await run('', { job: { code: outside } });
    expect(escaped.message).toMatchObject({ end: 'not_run', retryable: false });
    expect(escaped.message.reason).toMatch(/^the archive cannot be unpacked: /);
    expect(existsSync(join(folder, 'work', 'escaped'))).toBe(false);
    const missing = await run('', { job: { entrypoint: 'other.py' } });
    expect(missing.message).toMatchObject({
      end: 'not_run',
      reason: 'entrypoint "other.py" is not in the code folder',
    });
    const gone = await run('', { job: { code: `sha256:${'0'.repeat(64)}` } });
    expect(gone.message.reason).toMatch(/^the gateway has no code sha256:0/);
  });

  it('keeps checkpoints as they change, and goes on from the last', async () => {
    const script = `import os, time
at = os.path.join(os.environ["SLUICE_CHECKPOINT_DIR"], "at")
print("found", open(at).read() if os.path.exists(at) else "nothing", flush=True)
open(at, "w").write("epoch 1")
time.sleep(TIME)
open(at, "w").write("epoch two")
`;
    const first = await run(script.replace('TIME', '1.5'));
    expect(first.text('stdout')).toBe('found nothing');
    expect(server.checkpoints).toHaveLength(2);
    const second = await run(script.replace('TIME', '0'));
    expect(second.text('stdout')).toBe('found epoch two');
    expect(second.text('system')).toBe('goes on from the last checkpoint');
  });

  it('stops the script at its limit, and kills it after the grace', async () => {
    const end = await run('import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)', {
      job: { timeLimitSec: 0.3 },
      pod: { stopGraceSec: 0.3 },
    });
    expect(end).toMatchObject({ code: 124, message: { end: 'timed_out', exitCode: -9 } });
  });

  it('passes a SIGTERM on, and keeps what the script saves then', async () => {
    const running = await begin(`import os, signal, sys, time
def save(*_):
    open(os.path.join(os.environ["SLUICE_CHECKPOINT_DIR"], "saved"), "w").write("x")
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
print("begun", flush=True)
time.sleep(60)
`);
    await running.said('begun');
    running.child.kill('SIGTERM');
    const end = await running.ended();
    expect(end).toMatchObject({ code: 143, message: { end: 'interrupted', exitCode: 0 } });
    expect(existsSync(join(await unpacked(server.checkpoints.at(-1)), 'saved'))).toBe(true);
    expect(server.calls).not.toContain('PUT outputs');
  });

  it('ends at a SIGTERM before there is a script', async () => {
    server.fail(503, 1000);
    const running = await begin('print(1)');
    await running.said('fetching the code');
    running.child.kill('SIGTERM');
    expect(await running.ended()).toMatchObject({ code: 143, message: { end: 'interrupted' } });
  });

  it('takes packages that the image has as they are', async () => {
    const packages = join(folder, 'packages', 'nice_thing-1.4.2.dist-info');
    mkdirSync(packages, { recursive: true });
    writeFileSync(join(packages, 'METADATA'), 'Metadata-Version: 2.1\nName: nice-thing\nVersion: 1.4.2\n');
    const env = { PYTHONPATH: join(folder, 'packages') };
    const requirements = ['nice-thing>=1.4,<2', 'nice-thing==1.4.*', 'nice_thing ~= 1.4.0', 'nice-thing != 1.5 # good'];
    const end = await run('import sys; print(sys.prefix == sys.base_prefix)', { job: { requirements }, env });
    expect(end.text('stdout')).toBe('True');
    const none = await run('print(1)', {
      job: { requirements: ['nice-thing>=2'] },
      env: { ...env, PIP_NO_INDEX: '1' },
    });
    expect(none.message).toMatchObject({ end: 'not_run', retryable: false });
    expect(none.message.reason).toMatch(/nice-thing>=2/);
    expect(none.text('system')).toMatch(/nice-thing>=2/);
  });

  it.each([
    [
      'torch',
      {
        MASTER_ADDR: 'localhost',
        WORLD_SIZE: '2',
        RANK: '1',
        PET_NNODES: '2',
        PET_NODE_RANK: '1',
        MASTER_PORT: '29500',
      },
    ],
    ['jax', { JAX_NUM_PROCESSES: '2', JAX_PROCESS_ID: '1', JAX_COORDINATOR_ADDRESS: 'localhost:29500' }],
    [
      'tensorflow',
      {
        TF_CONFIG:
          '{"cluster": {"worker": ["localhost:2222", "127.0.0.1:2222"]}, "task": {"type": "worker", "index": 1}, "environment": "cloud"}',
      },
    ],
  ])('tells a replica of %s where the others are', async (framework, expected) => {
    const end = await run('import json, os; print(json.dumps(dict(os.environ)))', {
      pod: {
        replicas: 2,
        hosts: ['localhost', '127.0.0.1'],
        distributed: { framework, processesPerReplica: 1 },
      },
      env: { JOB_COMPLETION_INDEX: '1' },
    });
    expect(JSON.parse(end.text('stdout'))).toMatchObject({
      ...expected,
      SLUICE_REPLICAS: '2',
      SLUICE_REPLICA: '1',
      SLUICE_HOSTS: 'localhost,127.0.0.1',
    });
    // the first alone hands in
    expect(server.calls.filter((call) => call.startsWith('PUT'))).toEqual([]);
    expect(end.message).toMatchObject({ end: 'succeeded', outputs: null });
  });
});

const WRAPPER_FILE = join(import.meta.dirname, 'wrapper.py');
