import { STATUS_CODES } from 'node:http';
import type { HeaderFields } from './exchange.js';

let date = '';
let dateSecond = 0;

/**
 * The head of an answer as text. `bodyBytes` undefined: the body is as long as the headers say, or comes in chunks.
 * `last`: the connection ends with it.
 */
export function responseHead(
  status: number,
  headers: HeaderFields,
  bodyBytes: number | undefined,
  last: boolean,
): string {
  let head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\ndate: ${now()}\r\n`;
  for (const name in headers) {
    const value = headers[name];
    // a line break would begin a header of somebody else's making
    if (typeof value === 'string' && /[\r\n]/.test(value)) continue;
    head += `${name}: ${value}\r\n`;
  }
  if (last) head += 'connection: close\r\n';
  if (bodyBytes !== undefined) return `${head}content-length: ${bodyBytes}\r\n\r\n`;
  return headers['content-length'] === undefined ? `${head}transfer-encoding: chunked\r\n\r\n` : `${head}\r\n`;
}

/** The Date header's value; made once a second. */
function now(): string {
  const ms = Date.now();
  const second = Math.floor(ms / 1000);
  if (second !== dateSecond) {
    dateSecond = second;
    date = new Date(ms).toUTCString();
  }
  return date;
}
