/** The way to model servers that speak HTTP: kept connections, bounded in number, bodies passed on as they come. */
import { Readable } from 'node:stream';
import { type Dispatcher, Pool } from 'undici';
import {
  type BodyStream,
  type Call,
  type Exchange,
  type Forward,
  type ReplyHandler,
  unsent,
} from '../../core/inference/forward.js';
import { AppError, messageOf } from '../../errors.js';
import { CHUNK_BYTES } from '../../protocol/frames.js';
import { HOP_BY_HOP } from '../../protocol/hop-by-hop.js';
import { QUEUED_HEADER } from '../../protocol/queued-header.js';
import { TIMEOUT_HEADER } from '../../protocol/timeout-header.js';

export interface HttpUpstreamOptions {
  /** Scheme, host and port; a path in front of the calls' own is kept. */
  readonly url: string;
  /** The Host header; undefined: that of the URL. */
  readonly host?: string | undefined;
  /** Most requests at once; more wait for a connection. */
  readonly maxConnections: number;
}

export interface HttpUpstream {
  readonly forward: Forward;
  close(): Promise<void>;
}

const CONNECT_TIMEOUT_MS = 10_000;
/** Shorter than servers' usual 5 s, so that we and not they close an idle connection. */
const KEEP_ALIVE_MS = 4_000;

export function openHttpUpstream({ url, host, maxConnections }: HttpUpstreamOptions): HttpUpstream {
  const { origin, pathname } = new URL(url);
  const prefix = pathname.replace(/\/$/, '');
  const pool = new Pool(origin, {
    connections: maxConnections,
    pipelining: 1,
    // the prediction has time limits of its own, and a stream may pause for long
    headersTimeout: 0,
    bodyTimeout: 0,
    keepAliveTimeout: KEEP_ALIVE_MS,
    connect: { timeout: CONNECT_TIMEOUT_MS, keepAlive: true },
  });
  const forward: Forward = (call, handler) => {
    const exchange = new HttpExchange(handler);
    pool.dispatch(
      {
        path: prefix + call.path,
        method: call.method as Dispatcher.HttpMethod,
        headers: host === undefined ? headersOf(call) : { ...headersOf(call), host },
        body: bodyOf(call),
      },
      exchange,
    );
    return exchange;
  };
  return { forward, close: () => pool.destroy() };
}

function headersOf({ headers, trace, timeoutMs }: Call): Record<string, string> {
  const all: Record<string, string> = { ...headers };
  if (trace !== undefined) all.traceparent = trace;
  if (timeoutMs !== undefined) all[TIMEOUT_HEADER] = String(Math.ceil(timeoutMs));
  return all;
}

function bodyOf({ body, rest }: Call): Buffer | Readable | null {
  if (rest) return readable(body, rest);
  return body.length > 0 ? body : null;
}

/** A body as Node's own kind of stream. */
function readable(first: Buffer, rest: BodyStream): Readable {
  let begun = false;
  const stream: Readable = new Readable({
    read() {
      if (begun) rest.resume();
      else {
        begun = true;
        if (first.length > 0) stream.push(first);
        rest.read({
          chunk: (bytes) => {
            if (!stream.push(bytes)) rest.pause();
          },
          end: () => void stream.push(null),
          failed: (error) => void stream.destroy(error),
        });
      }
    },
  });
  return stream;
}

class HttpExchange implements Exchange, Dispatcher.DispatchHandler {
  private controller: Dispatcher.DispatchController | undefined;
  private status = 0;
  private headers: Record<string, string> = {};
  /** As the server said; undefined for one that says nothing of it. */
  private queuedMs: number | undefined;
  /** Of an answer short enough to be handed over in one piece. */
  private chunks: Buffer[] | undefined;
  private replied = false;
  private over = false;
  private paused = false;

  constructor(private readonly handler: ReplyHandler) {}

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.controller = controller;
    if (this.over) controller.abort(new AppError('cancelled', 'the request was cancelled'));
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: Record<string, unknown>): void {
    if (status < 200) return;
    this.status = status;
    for (const [name, value] of Object.entries(headers)) {
      if (!HOP_BY_HOP.has(name)) this.headers[name] = Array.isArray(value) ? value.join(', ') : String(value);
    }
    this.queuedMs = readQueued(this.headers[QUEUED_HEADER]);
    delete this.headers[QUEUED_HEADER];
    const length = Number(headers['content-length'] ?? Number.NaN);
    if (length <= CHUNK_BYTES) {
      delete this.headers['content-length'];
      this.chunks = [];
    } else this.begin();
  }

  onResponseData(_: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.over) return;
    if (this.chunks) this.chunks.push(chunk);
    else this.handler.onData(chunk);
  }

  onResponseEnd(): void {
    if (this.over) return;
    this.over = true;
    const { chunks, status, headers, queuedMs } = this;
    if (!chunks) {
      this.handler.onEnd();
      return;
    }
    const body = chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks);
    this.handler.onReply({ status, headers, more: false, worked: true, queuedMs }, body);
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    if (this.over) return;
    this.over = true;
    if (error instanceof AppError) {
      this.handler.onError(error);
      return;
    }
    const what = this.replied ? 'broke its answer off' : 'did not answer';
    const failure = new AppError('upstream_failed', `the model server ${what}: ${messageOf(error)}`, { cause: error });
    // without a connection nothing was written
    this.handler.onError(this.controller ? failure : unsent(failure));
  }

  cancel(): void {
    if (this.over) return;
    this.over = true;
    this.controller?.abort(new AppError('cancelled', 'the request was cancelled'));
  }

  pause(): void {
    if (this.paused) return;
    this.paused = true;
    this.controller?.pause();
  }

  resume(): void {
    if (!this.paused) return;
    this.paused = false;
    this.controller?.resume();
  }

  private begin(): void {
    this.replied = true;
    const { status, headers, queuedMs } = this;
    const worked = queuedMs !== undefined;
    this.handler.onReply({ status, headers, more: true, worked, queuedMs }, Buffer.alloc(0));
  }
}

function readQueued(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}
