/**
 * A small client of Sluice's HTTP API over `fetch`. The command line talks through nothing else, and programs may use it:
 *
 *     const client = new SluiceClient({ url: 'http://127.0.0.1:8080', key });
 *     const { body } = await client.get<{ lastVersion: number }>('/api/v1/models/digits');
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { ApiError, UnreachableError } from './client-errors.js';
import { parseEvents, type ServerEvent } from './sse.js';

export { ApiError, UnreachableError } from './client-errors.js';
export type { ServerEvent } from './sse.js';

export interface ClientOptions {
  /** Where the gateway is, such as http://127.0.0.1:8080. */
  readonly url: string;
  readonly key?: string | undefined;
  /** Longest wait for a whole answer, in milliseconds. Default: 60 000. Streams and uploads have no limit. */
  readonly timeoutMs?: number;
  /** How often a call that is safe to repeat is made again after a broken connection. Default: 2. */
  readonly retries?: number;
  readonly fetch?: typeof fetch;
}

export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

/** A body that is made anew for each try, so that a broken upload can begin again. */
export interface StreamBody {
  readonly bytes: number;
  open(): AsyncIterable<Uint8Array>;
}

export interface CallOptions {
  readonly query?: Query;
  readonly json?: unknown;
  /** Sent as it is. */
  readonly text?: string;
  readonly stream?: StreamBody;
  readonly headers?: Readonly<Record<string, string>>;
  /** 0 for no limit. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal | undefined;
}

export interface Answer<T> {
  readonly status: number;
  readonly headers: Headers;
  /** The body exactly as it came. */
  readonly text: string;
  /** The body as JSON; undefined when it is empty or something else. */
  readonly body: T;
}

/** An answer that is read as it comes. */
export interface Download {
  /** How long it is, where that was said. */
  readonly bytes: number | undefined;
  readonly chunks: AsyncIterable<Uint8Array>;
}

export interface EventOptions {
  readonly query?: Query;
  readonly lastEventId?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Longest silence, heartbeats included, before the stream counts as broken. Default: 60 000. */
  readonly idleMs?: number;
  /** Longest time without a connection before giving up. Default: 60 000. */
  readonly giveUpMs?: number;
}

type Method = 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE';

/** Answers after which a stream may be asked for again: the gateway is starting, stopping or busy. */
const PASSING = new Set([429, 502, 503, 504]);

export class SluiceClient {
  readonly url: string;
  private readonly key: string | undefined;
  private readonly timeoutMs: number;
  private readonly retries: number;
  private readonly fetch: typeof fetch;

  constructor(options: ClientOptions) {
    this.url = options.url.replace(/\/+$/, '');
    this.key = options.key;
    this.timeoutMs = options.timeoutMs ?? 60_000;
    this.retries = options.retries ?? 2;
    this.fetch = options.fetch ?? fetch;
  }

  get<T>(path: string, options: CallOptions = {}): Promise<Answer<T>> {
    return this.call<T>('GET', path, options);
  }

  put<T>(path: string, options: CallOptions = {}): Promise<Answer<T>> {
    return this.call<T>('PUT', path, options);
  }

  post<T>(path: string, options: CallOptions = {}): Promise<Answer<T>> {
    return this.call<T>('POST', path, options);
  }

  delete<T>(path: string, options: CallOptions = {}): Promise<Answer<T>> {
    return this.call<T>('DELETE', path, options);
  }

  /** Whether it is there. */
  async exists(path: string, options: CallOptions = {}): Promise<boolean> {
    try {
      await this.call<undefined>('HEAD', path, options);
      return true;
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return false;
      throw error;
    }
  }

  /** Bytes of any length, as they come. Any status of 400 and above is thrown as an `ApiError`. */
  async download(path: string, options: CallOptions = {}): Promise<Download> {
    const broke = (error: unknown) => {
      options.signal?.throwIfAborted();
      throw UnreachableError.of(this.url, error);
    };
    const never = new AbortController().signal;
    const response = await this.send('GET', path, options, options.signal ?? never).catch(broke);
    if (response.status >= 400) throw ApiError.of(response, await response.text(), `GET ${path}`);
    const length = response.headers.get('content-length');
    return { bytes: length === null ? undefined : Number(length), chunks: caught(response.body ?? [], broke) };
  }

  /** One call with its whole answer. Any status of 400 and above is thrown as an `ApiError`. */
  async call<T>(method: Method, path: string, options: CallOptions = {}): Promise<Answer<T>> {
    const timeoutMs = options.timeoutMs ?? (options.stream ? 0 : this.timeoutMs);
    const signals = [options.signal, timeoutMs > 0 ? AbortSignal.timeout(timeoutMs) : undefined];
    const signal = AbortSignal.any(signals.filter((one) => one !== undefined));
    for (let tries = 0; ; tries++) {
      try {
        const response = await this.send(method, path, options, signal);
        const text = await response.text();
        if (response.status >= 400) throw ApiError.of(response, text, `${method} ${path}`);
        return { status: response.status, headers: response.headers, text, body: parseJson(text) as T };
      } catch (error) {
        if (error instanceof ApiError) throw error;
        options.signal?.throwIfAborted();
        if (signal.aborted) throw new UnreachableError(this.url, `no answer within ${timeoutMs / 1000} s`, error);
        const again = tries < this.retries && isRepeatable(method, options) && !UnreachableError.isRefusal(error);
        if (!again) throw UnreachableError.of(this.url, error);
        await sleep(200 * 2 ** tries, undefined, { signal });
      }
    }
  }

  /**
   * Server-sent events, for as long as the caller reads. A broken connection is made again with `Last-Event-ID`, so
   * nothing is lost or seen twice; what ends the stream (the caller stops, an error that will not pass) ends it for good.
   */
  async *events(path: string, options: EventOptions = {}): AsyncGenerator<ServerEvent> {
    const giveUpMs = options.giveUpMs ?? 60_000;
    let lastEventId = options.lastEventId;
    let aliveAt = Date.now();
    for (let tries = 0; ; tries++) {
      const connection = new AbortController();
      // no AbortSignal.any: in Node 20 what it makes may be collected while a stream still waits for it
      const leave = () => connection.abort(options.signal?.reason);
      options.signal?.addEventListener('abort', leave);
      if (options.signal?.aborted) leave();
      let watchdog: NodeJS.Timeout | undefined;
      const alive = () => {
        clearTimeout(watchdog);
        watchdog = setTimeout(() => connection.abort(), options.idleMs ?? 60_000);
      };
      try {
        alive();
        const headers = { accept: 'text/event-stream', ...(lastEventId ? { 'last-event-id': lastEventId } : {}) };
        const response = await this.send(
          'GET',
          path,
          { ...(options.query ? { query: options.query } : {}), headers },
          connection.signal,
        );
        if (response.status >= 400) throw ApiError.of(response, await response.text(), `GET ${path}`);
        const chunks = watched(response.body ?? [], () => {
          alive();
          tries = 0;
        });
        for await (const event of parseEvents(chunks)) {
          lastEventId = event.id ?? lastEventId;
          clearTimeout(watchdog);
          yield event;
          alive();
        }
        aliveAt = Date.now();
      } catch (error) {
        options.signal?.throwIfAborted();
        if (error instanceof ApiError && !PASSING.has(error.status)) throw error;
        if (tries === 0) aliveAt = Date.now();
        const hopeless = tries === 0 && lastEventId === undefined && UnreachableError.isRefusal(error);
        if (hopeless || Date.now() - aliveAt > giveUpMs) {
          throw error instanceof ApiError ? error : UnreachableError.of(this.url, error);
        }
      } finally {
        clearTimeout(watchdog);
        options.signal?.removeEventListener('abort', leave);
        connection.abort();
      }
      await sleep(
        Math.min(5000, 250 * 2 ** Math.min(tries, 5)),
        undefined,
        options.signal ? { signal: options.signal } : {},
      );
    }
  }

  private send(method: Method, path: string, options: CallOptions, signal: AbortSignal): Promise<Response> {
    const url = new URL(`${this.url}${path}`);
    for (const [name, value] of Object.entries(options.query ?? {})) {
      if (value !== undefined) url.searchParams.set(name, String(value));
    }
    const headers = new Headers(options.headers);
    if (this.key && !headers.has('authorization')) headers.set('authorization', `Bearer ${this.key}`);
    const init: RequestInit = { method, headers, signal, redirect: 'error' };
    if (options.json !== undefined || options.text !== undefined) {
      if (!headers.has('content-type')) headers.set('content-type', 'application/json');
      init.body = options.text ?? JSON.stringify(options.json);
    } else if (options.stream) {
      if (!headers.has('content-type')) headers.set('content-type', 'application/octet-stream');
      headers.set('content-length', String(options.stream.bytes));
      init.body = options.stream.open();
      init.duplex = 'half';
    }
    return this.fetch(url, init);
  }
}

/** Whether making the call twice is the same as making it once. */
function isRepeatable(method: Method, options: CallOptions): boolean {
  if (method === 'POST')
    return Object.keys(options.headers ?? {}).some((name) => name.toLowerCase() === 'idempotency-key');
  return method !== 'DELETE';
}

async function* watched(chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>, seen: () => void) {
  for await (const chunk of chunks) {
    seen();
    yield chunk;
  }
}

/** The same chunks; `broke` throws what a broken connection means. */
async function* caught(chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>, broke: (error: unknown) => never) {
  try {
    for await (const chunk of chunks) yield chunk;
  } catch (error) {
    broke(error);
  }
}

function parseJson(text: string): unknown {
  if (text === '') return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
