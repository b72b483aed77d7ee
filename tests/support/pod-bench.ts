/** Pods without a cluster: the real program of a model server's pod, and a gateway's door for it that can be closed. */
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { getRequestListener } from '@hono/node-server';
import { AppError } from '../../src/errors.js';
import { program } from '../../src/main/paths.js';
import type { TestGateway } from './test-services.js';

export interface PodOptions {
  readonly podsUrl: string;
  readonly token: string;
  /** Default: a folder of its own. */
  readonly models?: string;
  readonly args?: readonly string[];
}

export interface TestProgram {
  readonly pid: number;
  /** Resolves when it listens. */
  readonly url: Promise<string>;
  /** What it logged, line by line. */
  readonly lines: readonly Readonly<Record<string, unknown>>[];
  /** The first line whose message begins so, logged before or from now on; rejects when it ends without. */
  said(message: string): Promise<Readonly<Record<string, unknown>>>;
  /** Resolves with its exit code or signal, and all that it wrote. */
  readonly ended: Promise<{ readonly how: number | string | null; readonly text: string }>;
  kill(signal: NodeJS.Signals): void;
}

export interface TestPod extends TestProgram {
  /** What Kubernetes would read of its end. */
  readonly terminationLog: string;
}

const cleanups: (() => Promise<void> | void)[] = [];

/** Ends what this file started; for `afterEach`. */
export async function endPods(): Promise<void> {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
}

export async function startPod({ podsUrl, token, models, args = [] }: PodOptions): Promise<TestPod> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-pod-'));
  const [tokenFile, terminationLog] = [join(folder, 'token'), join(folder, 'termination-log')];
  // the kubelet makes it before the container starts
  await Promise.all([writeFile(tokenFile, token), writeFile(terminationLog, '')]);
  const started = startProgram([
    program('pod'),
    ...['--pods-url', podsUrl, '--token-file', tokenFile, '--models', models ?? join(folder, 'models')],
    ...['--http', '127.0.0.1:0', '--termination-log', terminationLog, ...args],
  ]);
  cleanups.push(async () => {
    started.kill('SIGKILL');
    await started.ended;
    await rm(folder, { recursive: true, force: true });
  });
  return { ...started, terminationLog };
}

/** The real program of a node's cache. */
export async function startNodeCache(options: {
  readonly podsUrl: string;
  readonly folder: string;
}): Promise<TestProgram> {
  const { podsUrl, folder } = options;
  const argv = ['--pods-url', podsUrl, '--folder', folder, '--http', '127.0.0.1:0'];
  const started = startProgram([program('node-cache'), ...argv]);
  cleanups.push(async () => {
    started.kill('SIGKILL');
    await started.ended;
  });
  return started;
}

function startProgram(argv: readonly string[]): TestProgram {
  const child = spawn(process.execPath, argv, { stdio: ['ignore', 'ignore', 'pipe'] });
  const lines: Readonly<Record<string, unknown>>[] = [];
  const texts: string[] = [];
  const waiting = new Set<() => void>();
  createInterface({ input: child.stderr }).on('line', (text) => {
    texts.push(text);
    if (text.startsWith('{')) lines.push(JSON.parse(text) as Record<string, unknown>);
    for (const look of waiting) look();
  });
  let over = false;
  const ended = new Promise<{ how: number | string | null; text: string }>((resolve) => {
    child.once('close', (code, signal) => {
      over = true;
      resolve({ how: code ?? signal, text: texts.join('\n') });
      for (const look of waiting) look();
    });
  });
  const said = (message: string) =>
    new Promise<Readonly<Record<string, unknown>>>((resolve, reject) => {
      const look = () => {
        const found = lines.find((line) => String(line.message).startsWith(message));
        if (!found && !over) return;
        waiting.delete(look);
        if (found) resolve(found);
        else reject(new AppError('internal', `the program ended without saying "${message}": ${texts.join('\n')}`));
      };
      waiting.add(look);
      look();
    });
  const url = said('listening').then(({ http }) => `http://127.0.0.1:${http}`);
  url.catch(() => undefined);
  return { pid: child.pid ?? 0, url, lines, said, ended, kill: (signal) => void child.kill(signal) };
}

export interface PodsDoor {
  readonly url: string;
  /** Calls that came, such as `GET /pods/v1/model`. */
  readonly calls: string[];
  /** Does something else with the next call whose path contains this. */
  next(path: string, instead: (request: IncomingMessage, response: ServerResponse) => void): void;
  /** Closes the port and every connection. */
  close(): Promise<void>;
  /** Opens the same port again. */
  open(): Promise<void>;
}

/** The app of a test's gateway behind a port. */
export async function openPodsDoor({ app }: TestGateway): Promise<PodsDoor> {
  const answer = getRequestListener(app.fetch, { overrideGlobalObjects: false });
  const calls: string[] = [];
  const instead = new Map<string, (request: IncomingMessage, response: ServerResponse) => void>();
  let server: Server | undefined;
  let port = 0;
  const door: Omit<PodsDoor, 'url'> = {
    calls,
    next: (path, work) => void instead.set(path, work),
    async open() {
      const opened = createServer((request, response) => {
        calls.push(`${request.method} ${request.url}`);
        for (const [path, work] of instead) {
          if (!request.url?.includes(path)) continue;
          instead.delete(path);
          work(request, response);
          return;
        }
        void answer(request, response);
      });
      await new Promise<void>((resolve) => opened.listen(port, '127.0.0.1', resolve));
      ({ port } = opened.address() as AddressInfo);
      server = opened;
    },
    async close() {
      const closing = server;
      server = undefined;
      if (!closing) return;
      closing.closeAllConnections();
      await new Promise((resolve) => closing.close(resolve));
    },
  };
  await door.open();
  cleanups.push(() => door.close());
  return { ...door, url: `http://127.0.0.1:${port}` };
}
