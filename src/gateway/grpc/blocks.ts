/** The header blocks of answers. Those that never differ are made once. */
import { AppError } from '../../errors.js';
import type { Coding } from '../http/content-coding.js';
import { encodeHeaders } from '../http2/hpack-encoder.js';
import { percentEncode } from './metadata.js';
import { type Outcome, STATUS } from './status.js';

/** Response metadata: names in lower case, values printable ASCII. */
export type Metadata = Readonly<Record<string, string>>;

const OK_HEAD = head(undefined);
const HEADS = { gzip: head('gzip'), deflate: head('deflate') };
const OK_TRAILERS = encodeHeaders([['grpc-status', '0']]);

/** What begins every answer that has a message; `coding` is that of its compressed messages. */
export function answerHead(metadata: Metadata | undefined, coding: Coding | undefined): Buffer {
  const fixed = coding === undefined ? OK_HEAD : HEADS[coding];
  if (metadata === undefined) return fixed;
  const before = coding === undefined ? kept.get(metadata) : undefined;
  if (before) return before;
  const block = Buffer.concat([fixed, encodeHeaders(checked(metadata))]);
  if (coding === undefined && Object.isFrozen(metadata)) kept.set(metadata, block);
  return block;
}

/** Blocks of metadata that is the same for many answers. */
const kept = new WeakMap<Metadata, Buffer>();

/** The trailers of an answer. */
export function answerTrailers(outcome: Outcome): Buffer {
  if (outcome.status === STATUS.OK && outcome.metadata === undefined) return OK_TRAILERS;
  return encodeHeaders(fieldsOf(outcome));
}

/** An answer without a message is one block: head and trailers in one. */
export function trailersOnly(metadata: Metadata | undefined, outcome: Outcome): Buffer {
  return Buffer.concat([answerHead(metadata, undefined), encodeHeaders(fieldsOf(outcome))]);
}

/** What a client is told that does not speak gRPC, or not as it should: a bare HTTP status. */
export function plainStatus(status: number): Buffer {
  return encodeHeaders([[':status', String(status)]]);
}

function head(coding: Coding | undefined): Buffer {
  const fields: [string, string][] = [
    [':status', '200'],
    ['content-type', 'application/grpc'],
  ];
  if (coding !== undefined) fields.push(['grpc-encoding', coding]);
  return encodeHeaders(fields);
}

function fieldsOf({ status, message, metadata }: Outcome): [string, string][] {
  const fields: [string, string][] = [['grpc-status', String(status)]];
  if (message !== undefined && message !== '') fields.push(['grpc-message', percentEncode(message)]);
  if (metadata !== undefined) fields.push(...checked(metadata));
  return fields;
}

function checked(metadata: Metadata): [string, string][] {
  const fields = Object.entries(metadata);
  for (const [name, value] of fields) {
    if (/^[0-9a-z_.-]+$/.test(name) && /^[\x20-\x7e]*$/.test(value)) continue;
    throw new AppError('internal', `the metadata "${name}" has a name or value that headers cannot carry`);
  }
  return fields;
}
