import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { QUEUED_HEADER } from '../protocol/queued-header.js';
import { readTimeoutHeader, TIMEOUT_HEADER } from '../protocol/timeout-header.js';
import { type Door, tooLarge } from './frame-door.js';
import { failure, type RuntimeResponse } from './message.js';
import type { ModelServer } from './server.js';

/** A client must have sent its headers, and then its whole request, within these. */
const HEADERS_TIMEOUT_MS = 15_000;
const REQUEST_TIMEOUT_MS = 120_000;
/** Longer than the idle time-outs of usual load balancers (60 s) and of Go's proxies (90 s), so that they and not we close an idle connection. */
const KEEP_ALIVE_MS = 100_000;

/** Answers HTTP on host and port; port 0 takes a free one, which the answer names. */
export async function openHttpDoor(
  server: ModelServer,
  host: string,
  port: number,
  maxBodyBytes: number,
): Promise<Door & { readonly port: number }> {
  let closing = false;
  const listener = http.createServer(
    { headersTimeout: HEADERS_TIMEOUT_MS, requestTimeout: REQUEST_TIMEOUT_MS, keepAliveTimeout: KEEP_ALIVE_MS },
    (request, response) => {
      const signal = { aborted: false };
      response.on('close', () => {
        signal.aborted = true;
      });
      const reply = (answer: RuntimeResponse, keep: boolean) => {
        if (signal.aborted) return;
        const headers: Record<string, string | number> = { ...answer.headers, 'content-length': answer.body.length };
        if (answer.queuedMs !== undefined) headers[QUEUED_HEADER] = Math.round(answer.queuedMs);
        if (!keep || closing) headers.connection = 'close';
        response.writeHead(answer.status, headers);
        response.end(request.method === 'HEAD' ? undefined : answer.body);
      };
      readBody(request, maxBodyBytes, (body) => {
        if (typeof body === 'number') return reply(failure(tooLarge(body, maxBodyBytes)), false);
        const { url = '/', headers } = request;
        // a HEAD is answered with the head of what a GET is
        const method = request.method === 'HEAD' ? 'GET' : (request.method ?? 'GET');
        const timeout = headers[TIMEOUT_HEADER];
        const leftMs = typeof timeout === 'string' ? readTimeoutHeader(timeout) : undefined;
        const deadline = leftMs === undefined ? undefined : performance.now() + leftMs;
        server.handle({ method, path: url, headers, body, signal, deadline }, (answer) => reply(answer, true));
      });
    },
  );
  await new Promise<void>((resolve, reject) => {
    listener.once('error', reject);
    listener.listen(port, host, resolve);
  });
  return {
    port: (listener.address() as AddressInfo).port,
    close: () => {
      closing = true;
      listener.close();
      listener.closeIdleConnections();
    },
    endConnections: () => listener.closeIdleConnections(),
  };
}

const NO_BODY = Buffer.alloc(0);

/** Hands over the whole body, or its size as far as known once that is over the limit. Not called when it is cut off. */
function readBody(request: http.IncomingMessage, maxBytes: number, done: (body: Buffer | number) => void): void {
  const declared = Number(request.headers['content-length'] ?? 0);
  if (declared > maxBytes) {
    done(declared);
    return;
  }
  let chunks: Buffer[] = [];
  let bytes = 0;
  let over = false;
  request.on('data', (chunk: Buffer) => {
    if (over) return;
    bytes += chunk.length;
    if (bytes <= maxBytes) {
      chunks.push(chunk);
      return;
    }
    over = true;
    chunks = [];
    done(bytes);
  });
  request.on('end', () => {
    if (over) return;
    const [only = NO_BODY] = chunks;
    done(chunks.length > 1 ? Buffer.concat(chunks, bytes) : only);
  });
}
