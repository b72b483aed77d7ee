/**
 * The hop between the gateway and a replica: many requests in flight over one connection, without HTTP. One frame is
 *
 *     u32LE length of what follows | u32LE id | u8 type | u8 flags | u16LE meta length | meta, UTF-8 JSON
 *       | u32LE time, if flagged | trace parent, if flagged | body
 *
 * The side that asks chooses the ids; an answer carries the id of its request and may overtake others. A body beyond
 * CHUNK_BYTES goes on in body frames of the same id, of which WINDOW_BYTES may be on their way unread.
 */
import { AppError } from '../errors.js';

export const FRAME_REQUEST = 1;
export const FRAME_RESPONSE = 2;
/** Asks to drop the request of this id; its answer may still come and is to be ignored. */
export const FRAME_CANCEL = 3;
/** More of a request's or an answer's body. */
export const FRAME_BODY = 4;
/** The reader of a body took so many more bytes of it: u32LE in the body. */
export const FRAME_WINDOW = 5;

export type FrameType =
  | typeof FRAME_REQUEST
  | typeof FRAME_RESPONSE
  | typeof FRAME_CANCEL
  | typeof FRAME_BODY
  | typeof FRAME_WINDOW;

/** The body goes on in a body frame. */
export const FLAG_MORE = 1;
/** A time in milliseconds: how long a request's answer is of use, or how long it waited before it was worked on. */
export const FLAG_TIME = 2;
/** The request belongs to a trace. */
export const FLAG_TRACE = 4;

/** Most bytes of a body in one frame. */
export const CHUNK_BYTES = 128 * 1024;
/** Most bytes of one body that were sent and not yet read by the other side. */
export const WINDOW_BYTES = 512 * 1024;

/** Meta of a request frame. Header names in lower case. */
export interface RequestMeta {
  readonly method: string;
  /** Path with its query, as in an HTTP request line. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Meta of a response frame. */
export interface ResponseMeta {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
}

/** What a frame is, without its body. */
export interface FrameHead {
  readonly id: number;
  readonly type: FrameType;
  /** As given by `encodeMeta`, or an object, or undefined for none. */
  readonly meta?: RequestMeta | ResponseMeta | Buffer | undefined;
  /** Whether the body goes on in a body frame. */
  readonly more?: boolean;
  /** Of a request: how long from now its answer is of use. Of an answer: how long its request waited for its turn. */
  readonly timeMs?: number | undefined;
  /** A W3C `traceparent`: 55 characters. */
  readonly trace?: string | undefined;
}

/** A frame as read. `meta` may be shared between frames and is frozen; undefined where the frame had none. */
export interface Frame {
  readonly id: number;
  readonly type: FrameType;
  readonly meta: unknown;
  readonly more: boolean;
  readonly timeMs: number | undefined;
  readonly trace: string | undefined;
  /** A view into what was received: it stays valid, and keeps that chunk alive while it is held. */
  readonly body: Buffer;
}

/** Bytes of a frame before its meta. */
export const FRAME_HEAD_BYTES = 12;
/** Bytes of the length field itself, which the length does not count. */
export const LENGTH_BYTES = 4;
const MAX_META_BYTES = 0xffff;
export const TIME_BYTES = 4;
export const TRACE_BYTES = 55;
/** No frame is larger. */
export const MAX_FRAME_BYTES = FRAME_HEAD_BYTES + MAX_META_BYTES + TIME_BYTES + TRACE_BYTES + CHUNK_BYTES;

/** Reads `meta` of a request frame; a peer that sends another shape is refused. */
export function asRequestMeta(meta: unknown): RequestMeta {
  const { method, path } = (meta ?? {}) as Partial<RequestMeta>;
  if (typeof method === 'string' && typeof path === 'string') return meta as RequestMeta;
  throw new AppError('invalid', 'a request frame has no method and path');
}

/** Reads `meta` of a response frame; a peer that sends another shape is refused. */
export function asResponseMeta(meta: unknown): ResponseMeta {
  const { status, headers } = (meta ?? {}) as Partial<ResponseMeta>;
  if (typeof status === 'number' && typeof headers === 'object') return meta as ResponseMeta;
  throw new AppError('upstream_failed', 'a response frame has no status and headers');
}

/** A frame's meta ready to be sent; callers that send the same meta often keep this. At most 65535 bytes. */
export function encodeMeta(meta: RequestMeta | ResponseMeta): Buffer {
  const bytes = Buffer.from(JSON.stringify(meta), 'utf8');
  if (bytes.length > MAX_META_BYTES) {
    throw new AppError('too_large', `headers take ${bytes.length} bytes, at most ${MAX_META_BYTES} fit a frame`);
  }
  return bytes;
}
