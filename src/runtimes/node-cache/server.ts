/** The door of a node's cache: what gateways answer on /pods/v1, with blobs from this machine once they are here. */
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { AppError, asAppError, WIRE } from '../../errors.js';
import type { Log } from '../../log.js';
import { BlobSource } from '../pod/blob-source.js';
import { get } from '../pod/http-get.js';
import type { BlobCache, Held } from './blob-cache.js';
import { relay } from './relay.js';

export interface NodeCacheOptions {
  /** Where gateways answer pods, without a slash at its end. */
  readonly podsUrl: string;
  readonly http: { readonly host: string; readonly port: number };
  readonly cache: BlobCache;
  readonly log: Log;
}

export interface NodeCache {
  readonly port: number;
  /** Takes no more connections; resolves with whether all requests ended within that time. */
  drain(ms: number): Promise<boolean>;
}

const HEADERS_TIMEOUT_MS = 15_000;
const KEEP_ALIVE_MS = 100_000;
const RETRY_AFTER_SEC = 1;

/** Answers on host and port; port 0 takes a free one. */
export async function openNodeCache(options: NodeCacheOptions): Promise<NodeCache> {
  const source = new BlobSource(options.podsUrl, options.log);
  let closing = false;
  // outputs and checkpoints are large, and may take as long as they do
  const limits = { headersTimeout: HEADERS_TIMEOUT_MS, requestTimeout: 0, keepAliveTimeout: KEEP_ALIVE_MS };
  const listener = http.createServer(limits, (request, response) => {
    if (closing) response.setHeader('connection', 'close');
    answer(options, source, request, response).catch((error: unknown) => fail(response, asAppError(error)));
  });
  await new Promise<void>((resolve, reject) => {
    listener.once('error', reject);
    listener.listen(options.http.port, options.http.host, resolve);
  });
  return {
    port: (listener.address() as AddressInfo).port,
    async drain(ms) {
      closing = true;
      const closed = new Promise<true>((resolve) => listener.close(() => resolve(true)));
      listener.closeIdleConnections();
      // connections that end their last request turn idle without being closed
      const sweep = setInterval(() => listener.closeIdleConnections(), 50);
      const over = new Promise<false>((resolve) => setTimeout(() => resolve(false), ms).unref());
      const drained = await Promise.race([closed, over]);
      clearInterval(sweep);
      if (!drained) listener.closeAllConnections();
      return drained;
    },
  };
}

async function answer(
  { podsUrl, cache }: NodeCacheOptions,
  source: BlobSource,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  // as the gateway will read it: nothing but the pods' API is reached through here
  const { pathname, search } = new URL(request.url ?? '/', 'http://cache');
  if (pathname === '/healthz') return void response.end('ok\n');
  if (!pathname.startsWith('/pods/v1/')) throw new AppError('not_found', `there is no ${pathname} here`);
  const url = `${podsUrl}${pathname}${search}`;
  const [, digest] = /^\/pods\/v1\/blobs\/(sha256:[0-9a-f]{64})$/.exec(pathname) ?? [];
  const { authorization } = request.headers;
  if (
    request.method !== 'GET' ||
    digest === undefined ||
    authorization === undefined ||
    !(await allows(url, authorization))
  )
    return relay(url, request, response);
  const held = await cache
    .hold(digest, (start) => source.open(authorization, digest, start))
    .catch((error) => {
      // the question of another pod failed, or was refused meanwhile: whoever asks again is told about himself
      const { code, message } = asAppError(error);
      throw code === 'invalid' ? error : new AppError('not_ready', message, { cause: error });
    });
  if (!held) return relay(url, request, response);
  await send(held, digest, request, response);
}

/** Whether the gateway lets the pod have this now. A HEAD has no body, nor has its refusal: that one is asked for again. */
async function allows(url: string, authorization: string): Promise<boolean> {
  const { statusCode } = (await get(url, { authorization }, 'HEAD')).resume();
  return statusCode === 200 || statusCode === 307;
}

async function send(held: Held, digest: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
  try {
    const { bytes } = held;
    const start = startOf(request.headers.range, bytes);
    response.writeHead(start > 0 ? 206 : 200, {
      'content-type': 'application/octet-stream',
      'content-length': bytes - start,
      'accept-ranges': 'bytes',
      etag: `"${digest}"`,
      ...(start > 0 ? { 'content-range': `bytes ${start}-${bytes - 1}/${bytes}` } : {}),
    });
    await pipeline(Readable.from(held.chunks(start), { objectMode: false }), response);
  } finally {
    await held.release();
  }
}

/** Of `bytes=N-`, as gateways understand it: of other ranges the whole is sent. */
function startOf(range: string | undefined, bytes: number): number {
  const [, start] = /^bytes=(\d{1,15})-$/.exec(range ?? '') ?? [];
  return start !== undefined && Number(start) < bytes ? Number(start) : 0;
}

/** What has begun breaks off: its client sees that it is not whole. */
function fail(response: ServerResponse, failure: AppError): void {
  if (response.headersSent || response.destroyed) return void response.destroy();
  // a gateway that is away is nothing that is wrong with the pod's request
  const code = failure.code === 'upstream_failed' || failure.code === 'internal' ? 'not_ready' : failure.code;
  const body = JSON.stringify({ error: { code, message: failure.message, requestId: '' } });
  if (WIRE[code].retry) response.setHeader('retry-after', RETRY_AFTER_SEC);
  response.writeHead(WIRE[code].http, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    // what the client still sends is not read any more
    connection: 'close',
  });
  response.end(body);
}
