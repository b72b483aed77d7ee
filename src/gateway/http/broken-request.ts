/** What is said of bytes that are no HTTP request, in the form that errors of predictions have. */
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { ERROR_CODE_HEADER, type ErrorCode, WIRE } from '../../errors.js';

/** Of Node's reader, by the code of its error: https://nodejs.org/api/http.html#event-clienterror. Others are 400. */
const SAID: Readonly<Record<string, readonly [status: number, code: ErrorCode, why: string]>> = {
  HPE_HEADER_OVERFLOW: [431, 'too_large', 'the head of the request is larger than 16 KiB'],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: [413, 'too_large', "the extensions of the body's chunks are larger than 16 KiB"],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'timeout', 'the head of the request did not come in time'],
};

/** An error of Node's reader, or of the socket. */
interface ReadError extends Error {
  readonly code?: string;
  /** In words. */
  readonly reason?: string;
}

/** Says what is wrong and ends the connection; one on which an answer has begun can only be cut. */
export function refuseBroken(error: Error, socket: Duplex): void {
  const { code: cause = '', reason = error.message } = error as ReadError;
  if (!socket.writable || cause === 'ECONNRESET' || hasBegun(socket)) {
    socket.destroy();
    return;
  }
  const [status, code, why] = SAID[cause] ?? [
    WIRE.invalid.http,
    'invalid',
    `what was sent is no HTTP request: ${reason}`,
  ];
  const { headers, body } = refusal(code, why);
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  socket.end([`HTTP/1.1 ${status} ${STATUS_CODES[status]}`, ...lines, '', body].join('\r\n'));
}

/** HTTP/1.1 wants to be told the host (RFC 9112, 3.2). True when a request was refused because it does not say. */
export function refuseHostless({ headers, httpVersion }: IncomingMessage, response: ServerResponse): boolean {
  if (headers.host !== undefined || httpVersion !== '1.1') return false;
  const refused = refusal('invalid', 'the request has no Host header');
  response.writeHead(WIRE.invalid.http, refused.headers).end(refused.body);
  return true;
}

function refusal(code: ErrorCode, why: string) {
  const body = JSON.stringify({ error: why });
  const headers = {
    'content-type': 'application/json',
    'content-length': String(Buffer.byteLength(body)),
    [ERROR_CODE_HEADER]: code,
    connection: 'close',
  };
  return { headers, body };
}

/** Node keeps the answer that a socket is at, as its own handling of this event needs it. */
function hasBegun(socket: Duplex): boolean {
  const { _httpMessage: answer } = socket as Duplex & { readonly _httpMessage?: ServerResponse | null };
  return answer?.headersSent === true;
}
