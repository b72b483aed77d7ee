import { type ChildProcess, fork } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { sendMessage } from '../../src/protocol/body-sender.js';
import { FrameReader } from '../../src/protocol/frame-reader.js';
import { FrameWriter } from '../../src/protocol/frame-writer.js';
import { asResponseMeta, FRAME_CANCEL, FRAME_REQUEST, type ResponseMeta } from '../../src/protocol/frames.js';

/** The built model server. */
export const RUNTIME_SCRIPT = fileURLToPath(new URL('../../dist/runtime.js', import.meta.url));

/** The path of a fixture model. */
export const modelPath = (name: string) => fileURLToPath(new URL(`../fixtures/models/${name}`, import.meta.url));

export interface TestRuntime {
  readonly child: ChildProcess;
  readonly url: string;
  readonly socket: string;
  /** Resolves with the exit code, or the signal's name. */
  readonly exited: Promise<number | string | null>;
  /** What it wrote to stderr so far. */
  stderr(): string;
}

const running = new Set<() => void>();

/** Ends every process and removes every folder that `startRuntime` made; for `afterEach`. */
export function stopRuntimes(): void {
  for (const stop of running) stop();
  running.clear();
}

/** Starts dist/runtime.js on a free port and a fresh socket and waits for the IPC message of this kind. */
export async function startRuntime(args: string[] = [], until: 'listening' | 'ready' = 'ready'): Promise<TestRuntime> {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-rt-'));
  const socket = join(folder, 's');
  const child = fork(RUNTIME_SCRIPT, ['--http', '127.0.0.1:0', '--socket', socket, ...args], {
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  running.add(() => {
    child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  });
  let stderr = '';
  child.stderr?.on('data', (chunk) => {
    stderr += chunk;
  });
  const exited = new Promise<number | string | null>((resolve) => {
    child.on('exit', (code, signal) => resolve(code ?? signal));
  });
  const port = await new Promise<number>((resolve, reject) => {
    let http = 0;
    child.on('message', (message: { kind: string; http: number; error: string }) => {
      if (message.kind === 'listening') http = message.http;
      if (message.kind === until) resolve(http);
      if (message.kind === 'failed') reject(new Error(message.error));
    });
    void exited.then((code) => reject(new Error(`the runtime ended with ${code}: ${stderr}`)));
  });
  return { child, url: `http://127.0.0.1:${port}`, socket, exited, stderr: () => stderr };
}

export interface FrameClient {
  /** Sends a request and resolves with its answer; rejects when the connection ends before. */
  send(method: string, path: string, body?: Buffer | string): Promise<ResponseMeta & { body: Buffer }>;
  /** Cancels the request sent last. */
  cancelLast(): void;
  readonly socket: Socket;
}

/** A client of the framed hop. */
export async function connectFrames(path: string): Promise<FrameClient> {
  const socket = connect(path);
  await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  const pending = new Map<number, { resolve(reply: ResponseMeta & { body: Buffer }): void; reject(e: Error): void }>();
  const reader = new FrameReader(({ id, meta, body }) => {
    pending.get(id)?.resolve({ ...asResponseMeta(meta), body });
    pending.delete(id);
  });
  socket.on('data', (chunk) => reader.push(chunk));
  socket.on('error', () => {});
  socket.on('close', () => {
    for (const waiting of pending.values()) waiting.reject(new Error('the connection ended'));
  });
  const writer = new FrameWriter(socket);
  let last = 0;
  return {
    socket,
    send: (method, path, body = '') =>
      new Promise((resolve, reject) => {
        pending.set(++last, { resolve, reject });
        sendMessage(writer, { id: last, type: FRAME_REQUEST, meta: { method, path } }, Buffer.from(body));
      }),
    cancelLast: () => writer.write({ id: last, type: FRAME_CANCEL }),
  };
}

/** An infer request with one input as JSON text. */
export function inferBody(name: string, datatype: string, shape: number[], data: unknown[], id?: string): string {
  return JSON.stringify({ ...(id === undefined ? {} : { id }), inputs: [{ name, datatype, shape, data }] });
}
