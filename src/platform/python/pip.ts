import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { AppError, messageOf } from '../../errors.js';
import { signalGroup, spawnGuarded } from '../guard.js';
import { LineSplitter } from '../lines.js';

/** The bare interpreter, as it describes itself. */
export interface Interpreter {
  /** Absolute path. */
  readonly executable: string;
  /** Such as 3.11.7. */
  readonly version: string;
  /** Operating system, machine, C library and implementation: what a built environment depends on besides the version. */
  readonly platform: string;
  /** The bare interpreter's pip can install into another environment (22.3 and later), so that none needs its own. */
  readonly pipForOthers: boolean;
}

export type LineSink = (line: string) => Promise<void>;

export interface BuildOptions {
  readonly interpreter: Interpreter;
  /** The environment's final folder; must not exist. */
  readonly path: string;
  /** Normalised requirement lines. */
  readonly requirements: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Gets every line that venv and pip print, in order; it is waited for. */
  readonly onLine: LineSink;
  readonly signal: AbortSignal;
}

const OLDEST = [3, 10] as const;
const STOP_GRACE_MS = 5_000;
const LAST_LINES = 12;
const PROBE = `
import json, platform, sys, sysconfig
try:
    from importlib.metadata import version
    pip = [int(part) for part in version('pip').split('.')[:2]]
except Exception:
    pip = [0, 0]
print(json.dumps({'executable': sys.executable, 'version': platform.python_version(),
  'platform': '-'.join([sysconfig.get_platform(), *platform.libc_ver(), sys.implementation.name, sys.base_prefix]),
  'pip': pip >= [22, 3]}))
`;
const NETWORK =
  /Retrying \(Retry\(|NewConnectionError|ConnectTimeoutError|ReadTimeoutError|Read timed out|ConnectionResetError|Connection aborted|Connection broken|IncompleteRead|ProxyError|name resolution|Network is unreachable|HTTP error (5\d\d|429)|(5\d\d Server|429 Client) Error/i;
const DISK_FULL = /No space left on device|Disk quota exceeded/i;

/** Asks an interpreter what it is. `unsupported` when there is none by that name or it is older than 3.10. */
export async function probeInterpreter(python: string, env: Readonly<Record<string, string>>): Promise<Interpreter> {
  const answer = await new Promise<string>((resolve, reject) => {
    execFile(python, ['-c', PROBE], { env: { ...env }, timeout: 30_000 }, (error, stdout) => {
      if (error) reject(noPython(python, 'ENOENT' === error.code ? 'there is no such program' : messageOf(error)));
      else resolve(stdout);
    });
  });
  let said: { executable: string; version: string; platform: string; pip: boolean };
  try {
    said = JSON.parse(answer);
  } catch {
    throw noPython(python, `it answered ${JSON.stringify(answer.slice(0, 100))}`);
  }
  const [major = 0, minor = 0] = said.version.split('.').map(Number);
  if (major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1])) {
    throw noPython(python, `it is Python ${said.version}`);
  }
  return { executable: said.executable, version: said.version, platform: said.platform, pipForOthers: said.pip };
}

/**
 * Makes a virtual environment and installs into it. Without bytecode: compiling everything costs about three times what
 * a script's first import then compiles of it. Throws `cancelled` after an abort, `upstream_failed` (worth a retry) when
 * the network failed, `not_ready` (too) when the disk is full or something killed pip, otherwise `invalid`.
 */
export async function buildEnvironment(options: BuildOptions): Promise<void> {
  const { interpreter, path } = options;
  const bare = interpreter.pipForOthers;
  await step(options, interpreter.executable, ['-m', 'venv', ...(bare ? ['--without-pip'] : []), path]);
  const list = join(path, 'requirements.txt');
  await writeFile(list, `${options.requirements.join('\n')}\n`);
  const python = join(path, 'bin', 'python');
  await step(options, bare ? interpreter.executable : python, [
    ...['-m', 'pip', ...(bare ? ['--python', python] : []), 'install'],
    ...['--disable-pip-version-check', '--no-input', '--no-compile', '--progress-bar', 'off', '-r', list],
  ]);
}

/**
 * Calls `use` with an interpreter that has pip: this one, or, where it came without (as Debian's own does), that of an
 * environment that is made in `folder` for the time. Errors as those of `probeInterpreter` and `step`.
 */
export async function withPip<T>(
  python: string,
  options: StepOptions & { readonly folder: string },
  use: (python: string) => Promise<T>,
): Promise<T> {
  const { folder } = options;
  const { executable, pipForOthers } = await probeInterpreter(python, options.env);
  if (pipForOthers) return use(executable);
  try {
    // of one that was killed something may be left
    await step(options, executable, ['-m', 'venv', '--clear', folder]);
    return await use(join(folder, 'bin', 'python'));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

type StepOptions = Pick<BuildOptions, 'env' | 'onLine' | 'signal'>;

/**
 * Runs an interpreter, for pip or venv, to its end. Throws `cancelled` after an abort, `upstream_failed` when the network
 * failed, `not_ready` when the disk is full or something killed it, otherwise `invalid`, with the last lines it printed.
 */
export async function step(options: StepOptions, command: string, args: readonly string[]): Promise<void> {
  if (options.signal.aborted) throw cancelled();
  const child = spawnGuarded(command, args, {
    stopSignal: 'SIGTERM',
    graceMs: STOP_GRACE_MS,
    cwd: '/',
    env: { ...options.env, PYTHONUNBUFFERED: '1' },
    stdio: ['pipe', 'pipe'],
  });
  const stop = () => signalGroup(child, 'SIGTERM');
  options.signal.addEventListener('abort', stop, { once: true });
  const last: string[] = [];
  let network = false;
  let diskFull = false;
  const read = async (stream: Readable | null) => {
    const splitter = new LineSplitter();
    const say = async (lines: readonly string[]) => {
      for (const line of lines) {
        network ||= NETWORK.test(line);
        diskFull ||= DISK_FULL.test(line);
        if (last.push(line) > LAST_LINES) last.shift();
        await options.onLine(line);
      }
    };
    for await (const chunk of stream ?? []) await say(splitter.push(chunk));
    await say(splitter.flush());
  };
  try {
    const ended = once(child, 'exit');
    const [[code, signal]] = await Promise.all([ended, read(child.stdout), read(child.stderr)]);
    if (options.signal.aborted) throw cancelled();
    if (code === 0) return;
    const how = code === null ? `was killed (${signal})` : `ended with exit code ${code}`;
    const why = network ? ': the network failed' : diskFull ? ': the disk is full' : '';
    const error = network ? 'upstream_failed' : diskFull || code === null ? 'not_ready' : 'invalid';
    const doing = args.includes('pip') ? 'pip' : 'making the virtual environment';
    throw new AppError(error, `${doing} ${how}${why}\n${last.join('\n').slice(-4000)}`.trimEnd());
  } finally {
    options.signal.removeEventListener('abort', stop);
    // a reader that failed leaves the program running
    if (child.exitCode === null && child.signalCode === null) signalGroup(child, 'SIGKILL');
  }
}

function noPython(python: string, why: string): AppError {
  return new AppError('unsupported', `Python ${OLDEST.join('.')} or newer is needed as ${python}: ${why}`);
}

function cancelled(): AppError {
  return new AppError('cancelled', 'cancelled while the environment was built');
}
