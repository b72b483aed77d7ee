/**
 * Compressed bodies and messages of predictions: gzip and deflate as HTTP and gRPC mean them (RFC 9110, deflate being the
 * zlib format). Model servers and the limits on bodies see plain bytes only.
 */
import { promisify } from 'node:util';
import { deflate, gzip, unzip } from 'node:zlib';
import { AppError, messageOf } from '../../errors.js';
import { tooLarge } from './body.js';

const CODERS = { gzip: promisify(gzip), deflate: promisify(deflate) };
const plain = promisify(unzip);

/** Answers below this are sent as they are: compressing them would cost more than it saves. */
export const MIN_PACKED_BYTES = 16 * 1024;
/** On a gateway time is dearer than the last few percent. */
const LEVEL = 1;

export type Coding = keyof typeof CODERS;

/** The coding that a request's body is in; undefined for none. Refuses those that are not known. */
export function requestCoding(contentEncoding: string | undefined): string | undefined {
  const coding = contentEncoding?.trim().toLowerCase() ?? '';
  if (coding === '' || coding === 'identity') return undefined;
  if (coding === 'gzip' || coding === 'x-gzip' || coding === 'deflate') return coding;
  throw new AppError('invalid', `content-encoding is "${coding.slice(0, 40)}", expected gzip, deflate or identity`);
}

/** The plain bytes of a request's body; refuses codings that are not known, and what grows beyond the bound. */
export async function decodeBody(body: Buffer, contentEncoding: string, maxBytes: number): Promise<Buffer> {
  const coding = requestCoding(contentEncoding);
  return coding === undefined ? body : unpack(body, { coding, maxBytes, what: 'body', header: 'content-encoding' });
}

/** Unpacks gzip and deflate, whichever it is; `what` and `header` are for the words of a refusal. */
export async function unpack(
  bytes: Buffer,
  { coding, maxBytes, what, header }: { coding: string; maxBytes: number; what: string; header: string },
): Promise<Buffer> {
  try {
    return await plain(bytes, { maxOutputLength: maxBytes });
  } catch (error) {
    if (error instanceof RangeError) throw tooLarge(maxBytes + 1, maxBytes, what);
    throw new AppError('invalid', `the ${what} is not ${coding}, as ${header} says: ${messageOf(error)}`);
  }
}

/** The coding in which an answer of this size goes to a client that accepts these; undefined: as it is. */
export function answerCoding(acceptEncoding: string | undefined, bytes: number): Coding | undefined {
  if (acceptEncoding === undefined || bytes < MIN_PACKED_BYTES) return undefined;
  const refused = /;\s*q\s*=\s*0(?:\.0*)?\s*$/i;
  const accepted = acceptEncoding
    .split(',')
    .filter((entry) => !refused.test(entry))
    .map((entry) => entry.split(';', 1)[0]?.trim().toLowerCase());
  return accepted.includes('gzip') ? 'gzip' : accepted.includes('deflate') ? 'deflate' : undefined;
}

export function encodeBody(body: Buffer, coding: Coding): Promise<Buffer> {
  return CODERS[coding](body, { level: LEVEL });
}
