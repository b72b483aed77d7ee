/** GET over node:http, which costs a start less than fetch does, with an end to silence. */
import http, { type IncomingMessage } from 'node:http';
import { AppError, type ErrorCode, messageOf, WIRE } from '../../errors.js';

/** Silence after which a connection counts as dead. */
const SILENCE_MS = 20_000;

/** Resolves with the head of the answer, whatever its status; its body is the caller's to read or to destroy. */
export async function get(
  url: string,
  headers: Readonly<Record<string, string>>,
  method: 'GET' | 'HEAD' = 'GET',
): Promise<IncomingMessage> {
  const { request } = url.startsWith('https:') ? (await import('node:https')).default : http;
  return new Promise((resolve, reject) => {
    const asking = request(url, { method, headers: { ...headers }, timeout: SILENCE_MS }, resolve);
    asking.on('timeout', () => asking.destroy(new Error(`nothing came for ${SILENCE_MS} ms`)));
    asking.on('error', (error) => reject(away(new URL(url).origin, error)));
    asking.end();
  });
}

/** Something that passes: whoever asked asks again. */
export function away(origin: string, error: unknown): AppError {
  return new AppError('upstream_failed', `${origin} does not answer: ${messageOf(error)}`, { cause: error });
}

/** What an answer that is no success says. */
export async function refusal(what: string, answer: IncomingMessage): Promise<AppError> {
  const text = (await readAll(answer, 64 * 1024)).toString('utf8');
  const status = answer.statusCode ?? 0;
  const retryAfter = Number(answer.headers['retry-after']);
  const options = Number.isFinite(retryAfter) ? { retryAfterSec: retryAfter } : {};
  const codes = Object.keys(WIRE) as ErrorCode[];
  const code = codes.find((one) => WIRE[one].http === status) ?? 'upstream_failed';
  return new AppError(code, `${what} was refused with ${status}: ${messageIn(text)}`, options);
}

function messageIn(text: string): string {
  try {
    const { error } = JSON.parse(text) as { error?: { message?: unknown } };
    if (typeof error?.message === 'string') return error.message;
  } catch {
    // a proxy in between answers as it likes
  }
  return text.slice(0, 300);
}

/** A whole body; fails beyond so many bytes. */
export async function readAll(answer: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of answer) {
    chunks.push(chunk as Buffer);
    bytes += (chunk as Buffer).length;
    if (bytes > maxBytes) throw new AppError('upstream_failed', `the answer is larger than ${maxBytes} bytes`);
  }
  return Buffer.concat(chunks);
}
