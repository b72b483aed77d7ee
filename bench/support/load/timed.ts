import { loadConfig } from '../../../src/config.js';
import { AppError } from '../../../src/errors.js';
import { spawnGuarded } from '../../../src/platform/guard.js';

const STOP_GRACE_MS = 1000;

/** The command, held to one core; undefined: any core. */
export function pinned(command: readonly string[], core: number | undefined): readonly string[] {
  return core === undefined ? command : ['taskset', '-c', String(core), ...command];
}

export interface TimedRun {
  readonly stdout: string;
  /** User and system time of the program and all that it waited for. */
  readonly cpuSeconds: number;
}

/** Runs a program to its end; `internal` with its own words when that is not a good one. */
export async function timed(command: readonly string[], core: number | undefined): Promise<TimedRun> {
  // the shell's `times` says what its children used
  const script = '"$@"; code=$?; times; exit $code';
  const child = spawnGuarded('sh', ['-c', script, 'sh', ...pinned(command, core)], {
    stopSignal: 'SIGTERM',
    graceMs: STOP_GRACE_MS,
    cwd: process.cwd(),
    env: loadConfig().training.baseEnv,
    stdio: ['pipe', 'pipe'],
  });
  const text = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]?.setEncoding('utf8').on('data', (chunk: string) => {
      text[name] += chunk;
    });
  }
  const code = await new Promise((done) => child.once('close', done));
  // a line for the shell itself, then one for its children
  const [times = '', minutes1, seconds1, minutes2, seconds2] =
    /\d+m[\d.]+s \d+m[\d.]+s\n(\d+)m([\d.]+)s (\d+)m([\d.]+)s\s*$/.exec(text.stdout) ?? [];
  const stdout = text.stdout.slice(0, text.stdout.length - times.length);
  if (code !== 0) {
    throw new AppError('internal', `${command[0]} ended with ${code}: ${(text.stderr || stdout).slice(-1000).trim()}`);
  }
  return { stdout, cpuSeconds: 60 * (Number(minutes1) + Number(minutes2)) + Number(seconds1) + Number(seconds2) };
}
