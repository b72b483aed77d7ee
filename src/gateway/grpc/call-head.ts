/** What the headers of a call say about how it is spoken. */
import { AppError } from '../../errors.js';
import type { Coding } from '../http/content-coding.js';
import type { HeaderField } from '../http2/header-field.js';
import type { RequestHead } from '../http2/request-head.js';
import { timeoutMs } from './metadata.js';

export interface CallHead {
  /** From the call's beginning; undefined: the client waits for as long as it takes. */
  readonly deadlineMs: number | undefined;
  /** The compression of the client's messages. */
  readonly coding: Coding | undefined;
  /** Whether the client takes answers in that compression. */
  readonly takesCoding: boolean;
}

/** Of a plain call. */
export const PLAIN_HEAD: CallHead = { deadlineMs: undefined, coding: undefined, takesCoding: false };

/** The HTTP status for a request that is no gRPC call at all; undefined: it is one. */
export function httpRefusal(head: RequestHead): number | undefined {
  // of a head that was cut, the content type may be missing: the call is refused in gRPC's own terms
  if (!head.complete) return undefined;
  if (!/^application\/grpc(\+proto)?(;|$)/.test(head.get('content-type') ?? '')) return 415;
  return head.method === 'POST' ? undefined : 405;
}

/** Refuses a head that was cut, a time-out that is none, and compressions that we do not have. */
export function readCallHead(head: RequestHead, maxHeaderListBytes: number): CallHead {
  if (!head.complete) {
    throw new AppError(
      'too_large',
      `the metadata of the call has more than ${maxHeaderListBytes} bytes, which is the bound`,
    );
  }
  let deadlineMs: number | undefined;
  let coding: Coding | undefined;
  let accepted: string | undefined;
  const { fields } = head;
  for (let at = 0; at < fields.length; at++) {
    const { name, value } = fields[at] as HeaderField;
    if (!name.startsWith('grpc-')) continue;
    if (name === 'grpc-timeout') deadlineMs = timeoutMs(value);
    else if (name === 'grpc-encoding') coding = codingOf(value);
    else if (name === 'grpc-accept-encoding') accepted = value;
  }
  return { deadlineMs, coding, takesCoding: coding !== undefined && (accepted ?? '').includes(coding) };
}

function codingOf(value: string): Coding | undefined {
  if (value === 'identity') return undefined;
  if (value === 'gzip' || value === 'deflate') return value;
  throw new AppError('unsupported', `grpc-encoding is "${value.slice(0, 40)}", expected identity, deflate or gzip`);
}
