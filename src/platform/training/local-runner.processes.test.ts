import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { build } from 'esbuild';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Bench, createBench, record, TEST_ENV, until } from '../../../tests/support/training-bench.js';
import { isRunning } from '../processes.js';
import { findMarked, keyPrefix, MARKER } from './process-scan.js';

const never = new AbortController().signal;
let bench: Bench;
let children: ChildProcess[] = [];
beforeEach(async () => {
  bench = await createBench();
});
afterEach(async () => {
  for (const child of children) child.kill('SIGKILL');
  children = [];
  await bench.close();
});

const left = () => findMarked(keyPrefix(join(bench.folder, 'work')));
/** Forks 20 processes that ignore SIGTERM and wait for ever, each known by its pid in the output. */
const SWARM = `
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for _ in range(20):
    if os.fork() == 0:
        while True: time.sleep(1)
`;
/** A daemon in its own session, with the output still open. */
const ESCAPE = `
import os, subprocess, sys, time
daemon = subprocess.Popen([sys.executable, '-c', 'import time\\nwhile True: time.sleep(1)'], start_new_session=True)
print('daemon', daemon.pid)
`;
const WAIT = "\nprint('ready')\nwhile True: time.sleep(1)\n";

describe('no process outlives its attempt', () => {
  it('when the script ends by itself and leaves a swarm', async () => {
    const attempt = await bench.attempt(`${SWARM}print('done')`);
    const sink = record();
    expect(await bench.runner.run(attempt, sink, never)).toMatchObject({ kind: 'succeeded' });
    expect(sink.text('stdout')).toBe('done');
    expect(left()).toEqual([]);
  });

  it('when a swarm that ignores SIGTERM is cancelled', async () => {
    const stop = new AbortController();
    const sink = record((text) => text === 'ready' && stop.abort('cancelled by Ada'));
    const end = await bench.runner.run(await bench.attempt(SWARM + WAIT), sink, stop.signal);
    expect(end).toEqual({ kind: 'cancelled', reason: 'cancelled by Ada' });
    expect(left()).toEqual([]);
  });

  it('when one leaves the group and holds the output open', async () => {
    const sink = record();
    expect(await bench.runner.run(await bench.attempt(ESCAPE), sink, never)).toMatchObject({ kind: 'succeeded' });
    const pid = Number(/^daemon (\d+)$/.exec(sink.text('stdout'))?.[1]);
    expect(pid).toBeGreaterThan(1);
    expect(isRunning(pid)).toBe(false);
    expect(left()).toEqual([]);
  });

  it('while another attempt goes on untouched', async () => {
    const stop = new AbortController();
    const other = record();
    const longer = bench.runner.run(await bench.attempt(`import time${WAIT}`), other, stop.signal);
    await until(() => other.text('stdout') === 'ready');
    expect(await bench.runner.run(await bench.attempt(ESCAPE), record(), never)).toMatchObject({ kind: 'succeeded' });
    expect(await bench.runner.sweep()).toBe(0);
    expect(left().length).toBeGreaterThan(0);
    stop.abort();
    expect(await longer).toEqual({ kind: 'cancelled', reason: 'cancelled' });
    expect(left()).toEqual([]);
  });

  it('also one that hides from us does not keep the attempt from ending', async () => {
    const hidden = ESCAPE.replace('start_new_session=True', `start_new_session=True, env={'PATH': os.environ['PATH']}`);
    const sink = record();
    expect(await bench.runner.run(await bench.attempt(hidden), sink, never)).toMatchObject({ kind: 'succeeded' });
    const pid = Number(/^daemon (\d+)$/.exec(sink.text('stdout'))?.[1]);
    expect(isRunning(pid)).toBe(true);
    process.kill(pid, 'SIGKILL');
  });
});

describe('a cancel', () => {
  it('before anything, while waiting, and while the environment is built', async () => {
    const early = await bench.runner.run(await bench.attempt('print(1)'), record(), AbortSignal.abort());
    expect(early).toEqual({ kind: 'cancelled', reason: 'cancelled' });

    const all = { cpus: 4, memoryMb: 64, gpus: 0 };
    const stopFirst = new AbortController();
    const holder = record();
    const holding = bench.runner.run(
      await bench.attempt(`import time${WAIT}`, { resources: all }),
      holder,
      stopFirst.signal,
    );
    await until(() => holder.text('stdout') === 'ready');
    const stop = new AbortController();
    const waiting = record();
    const waiter = bench.runner.run(await bench.attempt('print(1)'), waiting, stop.signal);
    await until(() => waiting.phases.includes('waiting'));
    stop.abort(new Error('not needed'));
    expect(await waiter).toEqual({ kind: 'cancelled', reason: 'not needed' });
    stopFirst.abort();
    await holding;

    const stopBuild = new AbortController();
    const sink = record((text) => /Collecting|Looking|Requirement|Downloading|Using/.test(text) && stopBuild.abort());
    const attempt = await bench.attempt('print(1)', { requirements: ['six==1.16.0', 'idna==3.7'] });
    expect(await bench.runner.run(attempt, sink, stopBuild.signal)).toMatchObject({ kind: 'cancelled' });
    expect(sink.phases).toEqual(['preparing']);
    expect(bench.runner.slots.free()).toEqual({ cpus: 4, memoryMb: 2048, gpus: 2 });
  });
});

describe('a worker that is killed', () => {
  it('leaves nothing: the group ends by its guard, what left the group by the next sweep', async () => {
    const pids = join(bench.folder, 'pids');
    const swarm = `${ESCAPE}${SWARM}\nopen('${pids}', 'w').write(f'{os.getpid()} {daemon.pid}')${WAIT}`;
    const attempt = await bench.attempt(swarm);
    const entry = join(bench.folder, 'owner.mjs');
    await build({
      stdin: {
        contents: `
          import { createLocalRunner } from './local-runner.js';
          const { options, attempt } = JSON.parse(process.argv[2]);
          const sink = { phase: async () => {}, log: async () => {}, metric: async () => {} };
          createLocalRunner(options).run(attempt, sink, new AbortController().signal);`,
        resolveDir: import.meta.dirname,
      },
      bundle: true,
      platform: 'node',
      format: 'esm',
      outfile: entry,
    });
    const options = {
      workFolder: join(bench.folder, 'work'),
      cacheFolder: join(bench.folder, 'cache'),
      capacity: { cpus: 1, memoryMb: 2048, gpus: 0 },
      baseEnv: TEST_ENV,
      stopGraceMs: 300,
    };
    const owner = spawn(process.execPath, [entry, JSON.stringify({ options, attempt })], { stdio: 'inherit' });
    children.push(owner);
    let script = 0;
    let daemon = 0;
    await until(async () => {
      [script = 0, daemon = 0] = (await readFile(pids, 'utf8').catch(() => '')).split(' ').map(Number);
      return script > 0 && daemon > 0;
    });
    // its owner lives: not ours to end
    expect(await bench.runner.sweep()).toBe(0);
    owner.kill('SIGKILL');
    await once(owner, 'exit');
    await until(() => !isRunning(script) && left().every(({ pid }) => pid === daemon));
    expect(await bench.runner.sweep()).toBe(1);
    expect(isRunning(daemon)).toBe(false);
    expect(left()).toEqual([]);
  });

  it('is told apart from processes of other work folders', async () => {
    const script = join(bench.folder, 'other.py');
    await writeFile(script, 'import time\nwhile True: time.sleep(1)');
    const env = { ...TEST_ENV, [MARKER]: `${keyPrefix('/somewhere/else')}job/1/1.1` };
    const other = spawn('python3', [script], { env, stdio: 'ignore' });
    children.push(other);
    await until(() => findMarked(keyPrefix('/somewhere/else')).length > 0);
    expect(await bench.runner.sweep()).toBe(0);
    expect(other.exitCode).toBeNull();
  });
});
