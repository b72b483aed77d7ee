/** Reads the answers of HTTP/1.1 off the bytes that a connection gave. */
import type { HttpAnswer } from './answers.js';

export interface Http1Answers {
  readonly answers: readonly HttpAnswer[];
  /** Bytes behind the last whole answer. */
  readonly rest: Buffer;
  /** What cannot be an answer at all. */
  readonly fault?: string;
}

export function readAnswers(bytes: Buffer): Http1Answers {
  const answers: HttpAnswer[] = [];
  let rest = bytes;
  while (rest.length > 0) {
    if (!'HTTP/1.1 '.startsWith(rest.toString('latin1', 0, Math.min(9, rest.length)))) {
      return { answers, rest, fault: `no status line: ${JSON.stringify(rest.toString('latin1', 0, 60))}` };
    }
    const end = rest.indexOf('\r\n\r\n');
    if (end === -1) break;
    const [line = '', ...fields] = rest.toString('latin1', 0, end).split('\r\n');
    const headers = Object.fromEntries(
      fields.map((field) => [
        field.slice(0, field.indexOf(':')).toLowerCase(),
        field.slice(field.indexOf(':') + 1).trim(),
      ]),
    );
    const status = Number(line.split(' ')[1]);
    const body = bodyOf(rest.subarray(end + 4), status, headers);
    if (!body) break;
    if (status >= 200) answers.push({ status, headers, body: body.bytes });
    rest = rest.subarray(end + 4 + body.length);
  }
  return { answers, rest };
}

function bodyOf(bytes: Buffer, status: number, headers: Record<string, string>) {
  if (status < 200 || status === 204 || status === 304) return { bytes: Buffer.alloc(0), length: 0 };
  if (headers['transfer-encoding'] === 'chunked') return unchunked(bytes);
  const length = Number(headers['content-length'] ?? 0);
  return bytes.length < length ? undefined : { bytes: bytes.subarray(0, length), length };
}

function unchunked(bytes: Buffer): { bytes: Buffer; length: number } | undefined {
  const chunks: Buffer[] = [];
  for (let at = 0; ; ) {
    const end = bytes.indexOf('\r\n', at);
    if (end === -1) return undefined;
    const size = Number.parseInt(bytes.toString('latin1', at, end), 16);
    const next = end + 2 + size + 2;
    if (next > bytes.length) return undefined;
    if (size === 0) return { bytes: Buffer.concat(chunks), length: next };
    chunks.push(bytes.subarray(end + 2, end + 2 + size));
    at = next;
  }
}
