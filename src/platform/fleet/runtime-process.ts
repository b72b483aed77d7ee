/** One model server process on this machine: started empty, told what to load, reached over its Unix socket. */
import { spawn } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { ask } from '../../core/inference/forward.js';
import { AppError } from '../../errors.js';
import type { Log } from '../../log.js';
import type { RuntimeMessage } from '../../protocol/runtime-message.js';
import { connectReplica } from '../upstream/replica-connection.js';
import type { RunningServer } from './running-server.js';

export interface RuntimeLaunch {
  /** Path of the model server's program. */
  readonly script: string;
  /** Path of the Unix socket that it shall listen on; at most about 100 bytes. */
  readonly socket: string;
  readonly maxBodyBytes: number;
  readonly drainMs: number;
  readonly startTimeoutMs: number;
  readonly env: Readonly<Record<string, string>>;
  /** Further arguments, above all where the libraries of its engines are. */
  readonly engineArgs?: readonly string[];
  readonly log: Log;
}

export interface LoadRequest {
  /** Name and version under which the model answers. */
  readonly name: string;
  readonly version: string;
  /** The model's file or folder on this machine. */
  readonly path: string;
  /** Which engine runs it. */
  readonly framework: string;
  /** What the engine and the server around it are told: see docs/runtime-contract.md. */
  readonly options: Readonly<Record<string, unknown>>;
}

/** What a load found out, and what it took, in milliseconds. */
export interface LoadReport {
  /** Where the model computes. */
  readonly device: string;
  /** What its engine has to say. */
  readonly notes: readonly string[];
  /** Of the engine's library, where it was not there yet. */
  readonly libraryMs: number;
  readonly loadMs: number;
  readonly warmUpMs: number;
}

export interface RuntimeProcess extends RunningServer {
  readonly pid: number;
  /** Resolves when its library is warm too: from then on a load costs no more than the model. */
  readonly warm: Promise<void>;
  /** Loads a model; an AppError with the engine's own words when it cannot. */
  load(request: LoadRequest): Promise<LoadReport>;
}

/** Models of many gigabytes load in minutes; nothing loads for this long. */
const LOAD_TIMEOUT_MS = 15 * 60_000;

/** Threads for what leaves a model server's main thread, at least libuv's own number: known to libuv by the environment. */
const POOL_THREADS = String(Math.max(4, availableParallelism()));

/** Starts a model server and waits until it listens. It ends by itself when this process does (IPC channel). */
export async function launchRuntime(launch: RuntimeLaunch): Promise<RuntimeProcess> {
  const env = { UV_THREADPOOL_SIZE: POOL_THREADS, ...launch.env };
  const argv = [
    launch.script,
    '--pool-threads',
    env.UV_THREADPOOL_SIZE,
    '--socket',
    launch.socket,
    '--drain-ms',
    String(launch.drainMs),
    '--max-body-bytes',
    String(launch.maxBodyBytes),
    ...(launch.engineArgs ?? []),
  ];
  const child = spawn(process.execPath, argv, { stdio: ['ignore', 'inherit', 'pipe', 'ipc'], env });
  const stderr = lastLines(child.stderr, launch.log);
  const exited = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(`it could not be started: ${error.message}`));
    child.once('exit', (code, signal) => {
      void rm(launch.socket, { force: true }).catch(() => {});
      resolve(signal ? `it was ended by ${signal}` : `it ended with code ${code}${stderr() ? `: ${stderr()}` : ''}`);
    });
  });
  const heard = (kind: RuntimeMessage['kind']) =>
    new Promise<void>((resolve) =>
      child.on('message', (message: RuntimeMessage) => message.kind === kind && resolve()),
    );
  const started = heard('listening');
  const warm = heard('ready');
  const timer = new AbortController();
  const late = new Promise<string>((resolve) => {
    const timeout = setTimeout(
      () => resolve(`it did not listen within ${launch.startTimeoutMs} ms`),
      launch.startTimeoutMs,
    );
    timer.signal.addEventListener('abort', () => clearTimeout(timeout));
  });
  const problem = await Promise.race([started, exited, late]);
  timer.abort();
  const { pid } = child;
  if (problem !== undefined || pid === undefined) {
    child.kill('SIGKILL');
    throw new AppError('upstream_failed', `the model server did not start: ${problem}`);
  }
  const connection = await connectReplica(launch.socket).catch((error) => {
    child.kill('SIGKILL');
    throw error;
  });
  // one without a connection is of no use, whatever its process still does
  void connection.closed.then(() => child.kill('SIGKILL'));

  return {
    pid,
    forward: connection.forward,
    address: { kind: 'socket', path: launch.socket },
    warm,
    gone: connection.closed,
    exited,
    async load(request) {
      const { path, version, framework, options } = request;
      const body = { parameters: { path, version, framework, options } };
      // a load that hangs is ended with its process; the reply then fails
      const hung = setTimeout(() => child.kill('SIGKILL'), LOAD_TIMEOUT_MS);
      const exchange = ask(connection.forward, {
        method: 'POST',
        path: `/v2/repository/models/${encodeURIComponent(request.name)}/load`,
        headers: { 'content-type': 'application/json' },
        body: Buffer.from(JSON.stringify(body)),
      });
      const reply = await exchange.reply.finally(() => clearTimeout(hung));
      if (reply.status === 200) return readReport(reply.body);
      // the model is to blame, and loading it again gives the same; anything else is the server's
      const code = reply.status === 400 || reply.status === 501 ? 'invalid' : 'upstream_failed';
      throw new AppError(code, errorText(reply.body));
    },
    async stop() {
      child.kill('SIGTERM');
      const timeout = setTimeout(() => child.kill('SIGKILL'), launch.drainMs + 2000);
      await exited;
      clearTimeout(timeout);
    },
    kill() {
      child.kill('SIGKILL');
    },
  };
}

function readReport(body: Buffer): LoadReport {
  const { library_ms, load_ms, warm_up_ms, device, notes } = JSON.parse(body.toString('utf8')) as Readonly<{
    [name in 'library_ms' | 'load_ms' | 'warm_up_ms']: number;
  }> & { readonly device: string; readonly notes: readonly string[] };
  return { libraryMs: library_ms, loadMs: load_ms, warmUpMs: warm_up_ms, device, notes };
}

/** The message of an Open Inference Protocol error body. */
export function errorText(body: Buffer): string {
  try {
    const parsed: unknown = JSON.parse(body.toString('utf8'));
    const { error } = parsed as { error?: unknown };
    if (typeof error === 'string') return error;
  } catch {
    // not JSON: the text itself is the best there is
  }
  return body.toString('utf8').slice(0, 1000);
}

/** Passes a process's stderr on to the log and remembers its end, for the message when it dies. */
function lastLines(stream: NodeJS.ReadableStream | null, log: Log): () => string {
  let tail = '';
  stream?.on('data', (chunk: Buffer) => {
    const text = chunk.toString('utf8');
    tail = (tail + text).slice(-2000);
    for (const line of text.split('\n')) if (line.trim()) log.debug('model server', { line });
  });
  return () => tail.trim().split('\n').slice(-3).join(' | ');
}
