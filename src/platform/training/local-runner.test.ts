import { existsSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Bench, createBench, record, TEST_ENV } from '../../../tests/support/training-bench.js';

const never = new AbortController().signal;
let bench: Bench;
beforeEach(async () => {
  bench = await createBench();
});
afterEach(() => bench.close());

describe('a script', () => {
  it('gets its contract, and nothing of the platform', async () => {
    process.env.SLUICE_TEST_SECRET = 'secret';
    const script = `
import json, os, sys
print(json.dumps({'env': dict(os.environ), 'params': json.load(open(os.environ['SLUICE_PARAMS'])),
  'cwd': os.getcwd(), 'args': sys.argv[1:], 'files': os.listdir()}))
open(os.path.join(os.environ['SLUICE_OUTPUT_DIR'], 'model.txt'), 'w').write('model')
open(os.path.join(os.environ['SLUICE_CHECKPOINT_DIR'], 'at'), 'a').write('x')
`;
    const attempt = await bench.attempt(script, {
      args: ['--fast', 'a b'],
      params: { 'learning-rate': 0.5, model: 'mlp', on: true },
      env: { OMP_NUM_THREADS: '7', MINE: 'yes', SLUICE_JOB_ID: 'forged', CUDA_VISIBLE_DEVICES: '5' },
      resources: { cpus: 2.5, memoryMb: 256, gpus: 2 },
    });
    const sink = record();
    const end = await bench.runner.run(attempt, sink, never);
    delete process.env.SLUICE_TEST_SECRET;
    expect(end).toEqual({ kind: 'succeeded', outputPath: join(bench.folder, 'work/job-1/attempt-1/output') });
    expect(sink.phases).toEqual(['preparing', 'running']);
    const said = JSON.parse(sink.text('stdout'));
    expect(said.params).toEqual({ 'learning-rate': 0.5, model: 'mlp', on: true });
    expect(said.args).toEqual(['--fast', 'a b']);
    expect(said.cwd).toBe(join(bench.folder, 'work/job-1/attempt-1/code'));
    expect(said.env).toMatchObject({
      SLUICE_JOB_ID: 'job-1',
      SLUICE_ATTEMPT: '1',
      SLUICE_PARAM_LEARNING_RATE: '0.5',
      SLUICE_PARAM_MODEL: 'mlp',
      SLUICE_PARAM_ON: 'true',
      PYTHONUNBUFFERED: '1',
      CUDA_VISIBLE_DEVICES: '0,1',
      OMP_NUM_THREADS: '7',
      MKL_NUM_THREADS: '2',
      MINE: 'yes',
    });
    const own = /^(SLUICE_|PYTHONUNBUFFERED|CUDA_VISIBLE|.*_THREADS$|MINE$|PWD$|OLDPWD$|SHLVL$|_$|LC_CTYPE$)/;
    expect(Object.keys(said.env).filter((name) => !own.test(name) && !(name in TEST_ENV))).toEqual([]);
    expect(said.env.SLUICE_TEST_SECRET).toBeUndefined();
    const again = { ...attempt, number: 2 };
    expect(await bench.runner.run(again, record(), never)).toMatchObject({ kind: 'succeeded' });
    expect(readFileSync(join(attempt.checkpointPath, 'at'), 'utf8')).toBe('xx');
    expect(existsSync(join(attempt.codePath, 'model.txt'))).toBe(false);
    await bench.runner.clean('job-1');
    expect(existsSync(join(bench.folder, 'work/job-1'))).toBe(false);
  });

  it('is told live: lines of both streams in order, and metrics', async () => {
    const sink = record();
    const script = `
import sys
print('epoch=1 loss=0.5'); print('{"step": 2, "loss": NaN}'); print('half', end='')
sys.stdout.flush(); print('warned', file=sys.stderr)
`;
    expect(await bench.runner.run(await bench.attempt(script), sink, never)).toMatchObject({ kind: 'succeeded' });
    expect(sink.text('stdout')).toBe('epoch=1 loss=0.5\n{"step": 2, "loss": NaN}\nhalf');
    expect(sink.text('stderr')).toBe('warned');
    expect(sink.metrics).toEqual([
      { name: 'loss', value: 0.5, step: 1 },
      { name: 'loss', value: Number.NaN, step: 2 },
    ]);
  });

  it.each([
    ["raise ValueError('bad rows')", 'the script ended with exit code 1: ValueError: bad rows', 1],
    ['import sys; sys.exit(7)', 'the script ended with exit code 7', 7],
    [
      'import sys; sys.exit(137)',
      'the script ended with exit code 137 (killed by SIGKILL, perhaps the machine ran',
      137,
    ],
    [
      'import os, signal; os.kill(os.getpid(), 9)',
      'the script was killed by SIGKILL, perhaps the machine ran out',
      null,
    ],
    ['import os; os.abort()', 'the script was killed by SIGABRT, a native library gave up', null],
  ])('says how it failed: %s', async (script, words, exitCode) => {
    const end = await bench.runner.run(await bench.attempt(script), record(), never);
    expect(end).toMatchObject({ kind: 'failed', exitCode, retryable: true });
    expect(end.kind === 'failed' && end.reason).toContain(words);
  });

  it.each([
    [{ entrypoint: 'gone.py' }, 'entrypoint "gone.py" is not in the code folder'],
    [{ entrypoint: '../../etc/hostname' }, 'entrypoint "../../etc/hostname"'],
    [{ entrypoint: '.' }, 'entrypoint "." leads out of'],
    [{ resources: { cpus: 5, memoryMb: 1, gpus: 0 } }, 'resources.cpus asks for 5, this machine has 4'],
    [{ requirements: ['-r other.txt'] }, 'is an option that is not allowed'],
    [{ jobId: '../x' }, 'job id "../x" must be'],
    [{ replicas: 2 }, 'replicas: 2 is more than 1: jobs run as processes of one machine here'],
    [{ image: 'some/image:1' }, 'image: "some/image:1" cannot be used'],
    [{ codePath: '/nowhere/at/all' }, 'the code folder of job job-1 is missing'],
  ])('is refused for good when it cannot run: %j', async (change, words) => {
    const attempt = { ...(await bench.attempt('print(1)')), ...change };
    const sink = record();
    const end = await bench.runner.run(attempt, sink, never);
    expect(end).toMatchObject({ kind: 'failed', exitCode: null, retryable: false });
    expect(end.kind === 'failed' && end.reason).toContain(words);
    expect(sink.phases).not.toContain('running');
    expect(bench.runner.slots.free().cpus).toBe(4);
  });

  it('stops at its time limit, and may use the grace', async () => {
    const script = `
import signal, sys, time
def stop(*_):
    print('saving'); sys.exit(0)
signal.signal(signal.SIGTERM, stop)
print('ready')
while True: time.sleep(1)
`;
    const sink = record();
    const end = await bench.runner.run(await bench.attempt(script, { timeLimitSec: 1 }), sink, never);
    expect(end).toEqual({ kind: 'timed_out', reason: 'the script ran longer than its limit of 1 s' });
    expect(sink.text('stdout')).toBe('ready\nsaving');
  });

  it('that takes more memory than allowed is ended, with both numbers', async () => {
    const script = `
import time
held = bytearray(200 << 20)
for at in range(0, len(held), 4096): held[at] = 1
print('held')
while True: time.sleep(1)
`;
    const attempt = await bench.attempt(script, { resources: { cpus: 1, memoryMb: 100, gpus: 0 } });
    const end = await bench.runner.run(attempt, record(), never);
    expect(end).toMatchObject({ kind: 'failed', retryable: false });
    expect(end.kind === 'failed' && end.reason).toMatch(
      /^the script used 2\d\d MiB of memory, resources.memoryMb allows 100$/,
    );
  });

  it('shares memory with its children without being charged for it twice', async () => {
    const script = `
import os, time
held = os.urandom(90 << 20)
children = []
for _ in range(3):
    child = os.fork()
    if child == 0:
        time.sleep(1.2); os._exit(0)
    children.append(child)
for child in children: os.waitpid(child, 0)
`;
    const attempt = await bench.attempt(script, { resources: { cpus: 1, memoryMb: 150, gpus: 0 } });
    expect(await bench.runner.run(attempt, record(), never)).toMatchObject({ kind: 'succeeded' });
  });

  it('whose sink fails is ended, and the failure is the caller’s', async () => {
    const sink = { ...record(), log: () => Promise.reject(new Error('sink is gone')) };
    const attempt = await bench.attempt("import time\nprint('x')\nwhile True: time.sleep(1)");
    await expect(bench.runner.run(attempt, sink, never)).rejects.toThrow('sink is gone');
    expect(bench.runner.slots.free().cpus).toBe(4);
  });

  it('waits for slots and says so', async () => {
    const go = join(bench.folder, 'go');
    const large = { cpus: 4, memoryMb: 64, gpus: 0 };
    const hold = `import os, time\nwhile not os.path.exists('${go}'): time.sleep(0.02)`;
    const first = bench.runner.run(await bench.attempt(hold, { resources: large }), record(), never);
    const sink = record();
    const second = bench.runner.run(await bench.attempt('print(1)'), sink, never);
    await expect.poll(() => sink.phases).toEqual(['waiting']);
    await writeFile(go, '');
    expect(await first).toMatchObject({ kind: 'succeeded' });
    expect(await second).toMatchObject({ kind: 'succeeded' });
    expect(sink.phases).toEqual(['waiting', 'preparing', 'running']);
  });
});

describe('a flood of output', () => {
  it('is read at speed and bounded, with metrics to the end', async () => {
    await bench.close();
    bench = await createBench({ maxLogBytes: 100_000 });
    const script = `
import sys
text = ''.join(f'line {n} ' + 'x' * 80 + '\\n' for n in range(1000))
for n in range(100): sys.stdout.write(text)
print('step=5 loss=0.25')
`;
    const sink = record();
    const began = performance.now();
    expect(await bench.runner.run(await bench.attempt(script), sink, never)).toMatchObject({ kind: 'succeeded' });
    expect(performance.now() - began).toBeLessThan(10_000);
    expect(Math.abs(sink.text('stdout').length - 100_000)).toBeLessThan(200);
    expect(sink.text('system')).toBe('the log is full (100000 bytes): further lines are dropped, metrics are kept');
    expect(sink.metrics).toEqual([{ name: 'loss', value: 0.25, step: 5 }]);
  });

  it('waits for a slow sink instead of filling memory', async () => {
    let inFlight = 0;
    let most = 0;
    let seen = 0;
    const sink = {
      ...record(),
      log: async () => {
        inFlight += 1;
        most = Math.max(most, inFlight);
        await new Promise((resolve) => setImmediate(resolve));
        inFlight -= 1;
        seen += 1;
      },
    };
    const script = `
import sys
for n in range(20000): sys.stdout.write('y' * 200 + '\\n')
sys.stderr.write('e\\n' * 1000)
`;
    expect(await bench.runner.run(await bench.attempt(script), sink, never)).toMatchObject({ kind: 'succeeded' });
    expect([most, seen]).toEqual([1, 21_000]);
  });
});
