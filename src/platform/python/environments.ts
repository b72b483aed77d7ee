import { createHash } from 'node:crypto';
import { access, mkdir, rm, utimes, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { type Clock, systemClock } from '../../clock.js';
import { AppError } from '../../errors.js';
import { tryLock, unlock } from './build-lock.js';
import { buildEnvironment, type Interpreter, type LineSink, probeInterpreter } from './pip.js';
import { normaliseRequirements } from './requirements.js';

export interface EnvironmentsOptions {
  /** Folder that holds the built environments; made when missing. Other processes may use it at the same time. */
  readonly cacheFolder: string;
  /** Name or path of the interpreter. Default `python3`. */
  readonly python?: string;
  /** The environment of venv and pip: PATH, HOME, proxy, certificate and PIP_ variables, and nothing secret. */
  readonly baseEnv: Readonly<Record<string, string>>;
  readonly clock?: Clock;
  /** How often a build by another process is looked at, in milliseconds. Default 100. */
  readonly pollMs?: number;
}

export interface PythonEnvironment {
  /** Absolute path of the interpreter to run. */
  readonly python: string;
  /** The virtual environment's folder; null for the bare interpreter. */
  readonly folder: string | null;
}

export interface Environments {
  /**
   * The environment with exactly these requirements, built if it is not there; the bare interpreter when they are
   * empty. Who asks while it is built, here or in another process, waits for that one build. `onLine` gets pip's lines.
   * An abort leaves at once (`cancelled`); the build itself stops when nobody in this process waits for it any more.
   * Errors as `buildEnvironment` and `probeInterpreter` say; a failed build is tried anew by the next request.
   */
  ensure(requirements: readonly string[], onLine: LineSink, signal: AbortSignal): Promise<PythonEnvironment>;
}

interface Build {
  readonly done: Promise<void>;
  readonly listeners: Set<LineSink>;
  readonly stop: AbortController;
}

/** A cache of virtual environments in a folder, one for each interpreter and set of requirements. */
export function createEnvironments(options: EnvironmentsOptions): Environments {
  const cacheFolder = resolve(options.cacheFolder);
  const clock = options.clock ?? systemClock;
  const builds = new Map<string, Build>();
  let probed: Promise<Interpreter> | undefined;

  const interpreter = () => {
    probed ??= probeInterpreter(options.python ?? 'python3', options.baseEnv).catch((error) => {
      probed = undefined;
      throw error;
    });
    return probed;
  };

  const build = async (key: string, lines: readonly string[], onLine: LineSink, signal: AbortSignal) => {
    const folder = join(cacheFolder, key);
    const lock = `${folder}.lock`;
    await mkdir(cacheFolder, { recursive: true });
    for (let said = false; !(await tryLock(lock)); said = true) {
      if (!said) await onLine('waiting for another process that builds this environment');
      await clock.sleep(options.pollMs ?? 100, signal).catch(() => {
        throw cancelled();
      });
      if (await isReady(folder)) return;
    }
    try {
      if (await isReady(folder)) return;
      // what is there was left half-built by a process that ended
      await rm(folder, { recursive: true, force: true });
      const own = { interpreter: await interpreter(), path: folder, requirements: lines, env: options.baseEnv };
      await buildEnvironment({ ...own, onLine, signal });
      await writeFile(readyPath(folder), '');
    } catch (error) {
      await rm(folder, { recursive: true, force: true });
      throw error;
    } finally {
      await unlock(lock);
    }
  };

  const start = (key: string, lines: readonly string[]): Build => {
    const listeners = new Set<LineSink>();
    const stop = new AbortController();
    // a listener that fails is its own request's failure, see `join`
    const tell = async (line: string) => {
      await Promise.all([...listeners].map((listener) => listener(line)));
    };
    const done = build(key, lines, tell, stop.signal).finally(() => builds.delete(key));
    done.catch(() => {});
    const started = { done, listeners, stop };
    builds.set(key, started);
    return started;
  };

  const joinBuild = (key: string, lines: readonly string[], onLine: LineSink, signal: AbortSignal) =>
    new Promise<void>((settle, reject) => {
      const current = builds.get(key);
      // one that everybody left is stopping: it ends first, then a new one starts
      if (current?.stop.signal.aborted) {
        current.done.catch(() => {}).then(() => joinBuild(key, lines, onLine, signal).then(settle, reject));
        return;
      }
      if (signal.aborted) return reject(cancelled());
      const joined = current ?? start(key, lines);
      const leave = (error: unknown) => {
        joined.listeners.delete(listener);
        if (joined.listeners.size === 0) joined.stop.abort();
        // the last to leave waits until the build's processes have ended
        if (joined.listeners.size === 0) joined.done.catch(() => {}).then(() => reject(error));
        else reject(error);
      };
      const abort = () => leave(cancelled());
      const listener = (line: string) => onLine(line).catch(leave);
      joined.listeners.add(listener);
      signal.addEventListener('abort', abort, { once: true });
      joined.done.then(settle, reject).finally(() => signal.removeEventListener('abort', abort));
    });

  return {
    ensure: async (requirements, onLine, signal) => {
      const lines = normaliseRequirements(requirements);
      const bare = await interpreter();
      if (lines.length === 0) return { python: bare.executable, folder: null };
      const key = environmentKey(bare, lines);
      const folder = join(cacheFolder, key);
      if (!(await isReady(folder))) await joinBuild(key, lines, onLine, signal);
      // says when it was last used, for whoever tidies the cache up
      const now = new Date();
      await utimes(readyPath(folder), now, now).catch(() => {});
      return { python: join(folder, 'bin', 'python'), folder };
    },
  };
}

/** Names an environment by all that its content depends on. */
export function environmentKey(interpreter: Interpreter, normalised: readonly string[]): string {
  const all = [interpreter.version, interpreter.platform, interpreter.executable, ...normalised];
  return createHash('sha256').update(all.join('\n')).digest('hex').slice(0, 32);
}

function readyPath(folder: string): string {
  return join(folder, '.ready');
}

async function isReady(folder: string): Promise<boolean> {
  return access(readyPath(folder)).then(
    () => true,
    () => false,
  );
}

function cancelled(): AppError {
  return new AppError('cancelled', 'cancelled while the environment was prepared');
}
