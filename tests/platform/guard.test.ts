import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type GuardedOptions, signalGroup, spawnGuarded } from '../../src/platform/guard.js';
import { isRunning } from '../../src/platform/processes.js';
import { bundle } from '../support/bundle.js';
import { eventually, runNode } from '../support/children.js';

let folder: string;
let program: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-guard-'));
  program = await bundle(fileURLToPath(new URL('programs/own-guarded.ts', import.meta.url)));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
  await rm(program, { force: true });
});

function run(script: string, more: Partial<GuardedOptions> = {}) {
  const child = spawnGuarded('sh', ['-c', script], {
    stopSignal: 'SIGTERM',
    graceMs: 500,
    cwd: folder,
    env: { PATH: '/usr/bin:/bin', F: folder },
    stdio: ['pipe', 'ignore'],
    ...more,
  });
  let out = '';
  child.stdout?.on('data', (chunk) => {
    out += chunk;
  });
  const ended = new Promise<{ code: number | null; signal: string | null }>((resolve) =>
    child.once('close', (code, signal) => resolve({ code, signal })),
  );
  return { child, ended, out: () => out };
}

async function pidIn(file: string): Promise<number> {
  await eventually(async () => /^\d+\n$/.test(await readFile(file, 'utf8').catch(() => '')));
  return Number(await readFile(file, 'utf8'));
}

describe('a program that ends by itself', () => {
  test('passes its output and its code on', async () => {
    const { ended, out } = run('echo hello; exit 3');
    expect(await ended).toEqual({ code: 3, signal: null });
    expect(out()).toBe('hello\n');
  });

  test('passes the signal that ended it on', async () => {
    expect(await run('kill -USR1 $$').ended).toEqual({ code: null, signal: 'SIGUSR1' });
  });

  test('is the pid that the caller sees, in a group of its own, with no input', async () => {
    const { child, ended, out } = run('echo $$; ps -o pgid= -p $$; cat; echo end');
    await ended;
    expect(
      out()
        .split('\n')
        .map((line) => line.trim()),
    ).toEqual([`${child.pid}`, `${child.pid}`, 'end', '']);
  });

  test('takes what it started in its group with it', async () => {
    const { ended } = run('sleep 600 & echo $! > $F/left; exit 0');
    expect(await ended).toEqual({ code: 0, signal: null });
    const left = await pidIn(join(folder, 'left'));
    await eventually(() => !isRunning(left));
  });

  test('that does not exist ends with 127', async () => {
    const child = spawnGuarded('/nowhere/at-all', [], { stopSignal: 'SIGTERM', graceMs: 1, cwd: folder, env: {} });
    expect(await new Promise((resolve) => child.once('exit', resolve))).toBe(127);
  });
});

describe('a signal to the group', () => {
  test('ends a program that obeys', async () => {
    const { child, ended, out } = run('trap "echo bye; exit 7" TERM; echo up; while :; do sleep 0.05; done');
    await eventually(() => out() === 'up\n');
    expect(signalGroup(child, 'SIGTERM')).toBe(true);
    expect(await ended).toEqual({ code: 7, signal: null });
    expect(out()).toBe('up\nbye\n');
  });

  test('SIGTERM becomes the stop signal of the program', async () => {
    const { child, ended, out } = run('trap "exit 8" INT; trap "" TERM; echo up; while :; do sleep 0.05; done', {
      stopSignal: 'SIGINT',
    });
    await eventually(() => out() === 'up\n');
    signalGroup(child, 'SIGTERM');
    expect(await ended).toEqual({ code: 8, signal: null });
  });

  test('SIGKILL follows when it does not obey', async () => {
    const { child, ended, out } = run('trap "" TERM; echo up; while :; do sleep 0.05; done');
    await eventually(() => out() === 'up\n');
    signalGroup(child, 'SIGTERM');
    expect(await ended).toEqual({ code: null, signal: 'SIGKILL' });
  });
});

describe('kill -9 of the owner', () => {
  test('ends an obedient program politely', async () => {
    const script = `trap 'echo bye > ${folder}/bye; exit' INT; echo up; while :; do sleep 0.05; done`;
    const owner = runNode(program, ['SIGINT', 'sh', '-c', script]);
    const pid = Number((await owner.line(/^pid/)).slice(4));
    await owner.line(/^up/);
    await owner.kill();
    await eventually(() => !isRunning(pid));
    expect(await readFile(join(folder, 'bye'), 'utf8')).toBe('bye\n');
  });

  test('ends a stubborn program and its children', async () => {
    const script = `trap '' TERM; sleep 600 & echo $! > ${folder}/child; echo up; while :; do sleep 0.05; done`;
    const owner = runNode(program, ['SIGTERM', 'sh', '-c', script]);
    const pid = Number((await owner.line(/^pid/)).slice(4));
    await owner.line(/^up/);
    const child = await pidIn(join(folder, 'child'));
    await owner.kill();
    await eventually(() => !isRunning(pid) && !isRunning(child));
  });
});
