/** Model servers of somebody else's making: a command that is started here, or an address where one runs already. */
import { once } from 'node:events';
import type { Forward } from '../../core/inference/forward.js';
import { ask } from '../../core/inference/forward.js';
import type { ServerSpec } from '../../core/models/server.js';
import { AppError } from '../../errors.js';
import type { Log } from '../../log.js';
import { freePort } from '../free-port.js';
import { signalGroup, spawnGuarded } from '../guard.js';
import { openHttpUpstream } from '../upstream/http-upstream.js';
import type { RunningServer } from './running-server.js';

export interface ExternalOptions {
  readonly server: ServerSpec;
  /** Name of the endpoint, for {name}. */
  readonly name: string;
  /** Folder of the version's files, for {model}; also where the command runs. */
  readonly folder: string;
  /** The environment that it inherits. */
  readonly env: Readonly<Record<string, string>>;
  readonly drainMs: number;
  readonly log: Log;
}

/** Most requests at once to one server. */
const MAX_CONNECTIONS = 256;
/** Between two looks whether it is ready. */
const LOOK_MS = 50;
const ANSWER_MS = 5000;
/** Between two looks whether a server that is not ours still answers. */
const WATCH_MS = 2000;
const STDERR_TAIL = 2000;

/** Starts a server, or finds one, and waits until it is ready. Rejects with its last words when it ends before. */
export function startExternalServer(options: ExternalOptions): Promise<RunningServer> {
  const { server } = options;
  if (server.command) return startCommand(options, server.command);
  if (server.url !== undefined) return findServer(server.url, options);
  throw new AppError('unsupported', 'a container image cannot be run on this machine: give a command or a url');
}

async function startCommand(options: ExternalOptions, command: readonly string[]): Promise<RunningServer> {
  const { server, name, folder, env, drainMs, log } = options;
  const port = await freePort();
  const fill = (text: string) =>
    text
      .replaceAll('{port}', String(port))
      .replaceAll('{model}', folder)
      .replaceAll('{name}', server.modelName ?? name);
  const [program = '', ...args] = command.map(fill);
  const ownEnv = Object.fromEntries(Object.entries(server.env).map(([key, value]) => [key, fill(value)]));
  const child = spawnGuarded(program, args, {
    stopSignal: 'SIGTERM',
    graceMs: drainMs,
    cwd: folder,
    env: { ...env, PORT: String(port), ...ownEnv },
    stdio: ['pipe', 'pipe'],
  });
  const lastWords = keepLastWords(child.stdout, child.stderr, log);
  const exited = once(child, 'exit').then(([code, signal]) => {
    const how = signal ? `it was ended by ${signal}` : `it ended with code ${code}`;
    return `${how}${lastWords() ? `: ${lastWords()}` : ''}`;
  });
  const kill = () => void signalGroup(child, 'SIGKILL');
  const address = { kind: 'http', url: `http://127.0.0.1:${port}`, maxConnections: MAX_CONNECTIONS } as const;
  const upstream = openHttpUpstream(address);
  void exited.then(() => upstream.close());
  const late = `it was not ready within ${server.startTimeoutSec} s (GET ${server.readyPath})`;
  const problem = await untilReady(upstream.forward, server, exited);
  if (problem !== undefined) {
    kill();
    throw new AppError('upstream_failed', `the server did not start: ${problem === 'late' ? late : problem}`);
  }
  return {
    pid: child.pid ?? null,
    forward: upstream.forward,
    address,
    gone: exited.then(() => {}),
    exited,
    async stop() {
      signalGroup(child, 'SIGTERM');
      await exited;
    },
    kill,
  };
}

async function findServer(url: string, { server }: ExternalOptions): Promise<RunningServer> {
  const address = { kind: 'http', url, maxConnections: MAX_CONNECTIONS } as const;
  const upstream = openHttpUpstream(address);
  let left: (how: string) => void = () => {};
  const exited = new Promise<string>((resolve) => {
    left = resolve;
  });
  const problem = await untilReady(upstream.forward, server, exited);
  if (problem !== undefined) {
    await upstream.close();
    throw new AppError('upstream_failed', `the server at ${url} is not ready (GET ${server.readyPath})`);
  }
  // it cannot be told when it goes: it is asked
  const watching = setInterval(async () => {
    if (!(await isReady(upstream.forward, server.readyPath)) && !(await isReady(upstream.forward, server.readyPath)))
      leave(`the server at ${url} is not ready any more`);
  }, WATCH_MS);
  const leave = (how: string) => {
    clearInterval(watching);
    left(how);
    void upstream.close();
  };
  return {
    pid: null,
    forward: upstream.forward,
    address,
    gone: exited.then(() => {}),
    exited,
    stop: async () => leave('it was let go'),
    kill: () => leave('it was let go'),
  };
}

/** Undefined once it is ready; `late`, or how it ended, when it never is. */
async function untilReady(forward: Forward, server: ServerSpec, exited: Promise<string>): Promise<string | undefined> {
  const until = performance.now() + server.startTimeoutSec * 1000;
  let ended: string | undefined;
  void exited.then((how) => {
    ended = how;
  });
  while (performance.now() < until) {
    if (await isReady(forward, server.readyPath)) return undefined;
    if (ended !== undefined) return ended;
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  return 'late';
}

async function isReady(forward: Forward, path: string): Promise<boolean> {
  const { reply, cancel } = ask(forward, { method: 'GET', path, headers: {}, body: Buffer.alloc(0) });
  const timer = setTimeout(cancel, ANSWER_MS);
  try {
    const { status } = await reply;
    return status >= 200 && status < 300;
  } catch {
    return false;
  } finally {
    clearTimeout(timer);
  }
}

/** Passes a server's output on to the log and remembers its end, for the message when it dies. */
function keepLastWords(
  stdout: NodeJS.ReadableStream | null,
  stderr: NodeJS.ReadableStream | null,
  log: Log,
): () => string {
  let tail = '';
  for (const stream of [stdout, stderr]) {
    stream?.on('data', (chunk: Buffer) => {
      const text = chunk.toString('utf8');
      if (stream === stderr) tail = (tail + text).slice(-STDERR_TAIL);
      for (const line of text.split('\n')) if (line.trim()) log.debug('external model server', { line });
    });
  }
  return () => tail.trim().split('\n').slice(-3).join(' | ');
}
