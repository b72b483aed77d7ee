import { STATUS_CODES } from 'node:http';
import type { AnswerHead, HeaderFields } from './exchange.js';

/** What an answer's head says beside its headers. */
export interface HeadOptions {
  /** Undefined: the body is as long as the headers say, or comes in chunks. */
  readonly bodyBytes: number | undefined;
  /** The connection ends with this answer. */
  readonly last: boolean;
}

/** The head of an answer as text. */
export function responseHead({ status, headers, requestId }: AnswerHead, { bodyBytes, last }: HeadOptions): string {
  let head = `${dateLine()}${textOf(headers)}x-request-id: ${requestId}\r\n`;
  if (last) head += 'connection: close\r\n';
  if (bodyBytes !== undefined) head += `content-length: ${bodyBytes}\r\n`;
  else if (headers['content-length'] === undefined) head += 'transfer-encoding: chunked\r\n';
  return `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n${head}\r\n`;
}

/** Texts of headers that many answers share. */
const texts = new WeakMap<HeaderFields, string>();

function textOf(headers: HeaderFields): string {
  const known = texts.get(headers);
  if (known !== undefined) return known;
  let text = '';
  for (const [name, value] of Object.entries(headers)) {
    // a line break would begin a header of somebody else's making
    if (typeof value === 'string' && /[\r\n]/.test(value)) continue;
    text += `${name}: ${value}\r\n`;
  }
  if (Object.isFrozen(headers)) texts.set(headers, text);
  return text;
}

let date = '';
let dateSecond = 0;

/** The Date header; made once a second. */
function dateLine(): string {
  const ms = Date.now();
  const second = Math.floor(ms / 1000);
  if (second !== dateSecond) {
    dateSecond = second;
    date = `date: ${new Date(ms).toUTCString()}\r\n`;
  }
  return date;
}
