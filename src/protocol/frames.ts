/**
 * The hop between the gateway and a replica: many requests in flight over one connection, without HTTP. One frame is
 *
 *     u32LE length of what follows | u32LE id | u8 type | u8 flags | u16LE meta length | meta, UTF-8 JSON
 *       | u32LE time-out, if flagged | trace parent, if flagged | body
 *
 * The side that asks chooses the ids; an answer carries the id of its request and may overtake others. A body beyond
 * CHUNK_BYTES goes on in body frames of the same id, of which WINDOW_BYTES may be on their way unread.
 */
import type { Writable } from 'node:stream';
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
const FLAG_MORE = 1;
/** The request says how long its answer is of use. */
const FLAG_TIMEOUT = 2;
/** The request belongs to a trace. */
const FLAG_TRACE = 4;

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
  /** How long from now the answer is of use, in milliseconds. */
  readonly timeoutMs?: number | undefined;
  /** A W3C `traceparent`: 55 characters. */
  readonly trace?: string | undefined;
}

/** A frame as read. `meta` may be shared between frames and is frozen; undefined where the frame had none. */
export interface Frame {
  readonly id: number;
  readonly type: FrameType;
  readonly meta: unknown;
  readonly more: boolean;
  readonly timeoutMs: number | undefined;
  readonly trace: string | undefined;
  /** A view into what was received: it stays valid, and keeps that chunk alive while it is held. */
  readonly body: Buffer;
}

/** Bytes of a frame before its meta. */
export const FRAME_HEAD_BYTES = 12;
/** Bytes of the length field itself, which the length does not count. */
const LENGTH_BYTES = 4;
const MAX_META_BYTES = 0xffff;
const TIMEOUT_BYTES = 4;
const TRACE_BYTES = 55;
/** No frame is larger. */
export const MAX_FRAME_BYTES = FRAME_HEAD_BYTES + MAX_META_BYTES + TIMEOUT_BYTES + TRACE_BYTES + CHUNK_BYTES;
const NOTHING = Buffer.alloc(0);

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

/**
 * Cuts a byte stream into frames. A frame within one chunk is a view of it; one that spans chunks is copied once into a
 * buffer of its own. Throws out of `push` on what is no frame: the connection must then be closed.
 */
export class FrameReader {
  private head = Buffer.allocUnsafe(FRAME_HEAD_BYTES);
  private headFilled = 0;
  private frame: Buffer | undefined;
  private frameFilled = 0;
  /** Recent metas by their text, and the last one by its bytes. */
  private readonly metas = new Map<string, unknown>();
  private lastMetaBytes: Buffer = NOTHING;
  private lastMeta: unknown;

  constructor(private readonly onFrame: (frame: Frame) => void) {}

  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.frame) {
        at += this.fillFrame(this.frame, chunk, at);
      } else if (this.headFilled === 0 && chunk.length - at >= FRAME_HEAD_BYTES) {
        const size = this.frameBytes(chunk, at);
        if (chunk.length - at >= size) {
          this.emit(chunk, at, at + size);
          at += size;
        } else {
          this.startFrame(size);
        }
      } else {
        const taken = chunk.copy(this.head, this.headFilled, at, at + FRAME_HEAD_BYTES - this.headFilled);
        this.headFilled += taken;
        at += taken;
        if (this.headFilled === FRAME_HEAD_BYTES) this.continueFromHead();
      }
    }
  }

  private continueFromHead(): void {
    const size = this.frameBytes(this.head, 0);
    this.headFilled = 0;
    const frame = this.startFrame(size);
    this.head.copy(frame);
    this.frameFilled = FRAME_HEAD_BYTES;
    if (size === FRAME_HEAD_BYTES) this.finishFrame(frame);
  }

  private startFrame(size: number): Buffer {
    this.frame = Buffer.allocUnsafeSlow(size);
    this.frameFilled = 0;
    return this.frame;
  }

  private fillFrame(frame: Buffer, chunk: Buffer, at: number): number {
    const taken = chunk.copy(frame, this.frameFilled, at);
    this.frameFilled += taken;
    if (this.frameFilled === frame.length) this.finishFrame(frame);
    return taken;
  }

  private finishFrame(frame: Buffer): void {
    this.frame = undefined;
    this.emit(frame, 0, frame.length);
  }

  /** The size of the whole frame that starts here, its length field included. */
  private frameBytes(bytes: Buffer, at: number): number {
    const size = bytes.readUInt32LE(at) + LENGTH_BYTES;
    const flags = bytes[at + 9] as number;
    let least = FRAME_HEAD_BYTES + bytes.readUInt16LE(at + 10);
    if ((flags & FLAG_TIMEOUT) !== 0) least += TIMEOUT_BYTES;
    if ((flags & FLAG_TRACE) !== 0) least += TRACE_BYTES;
    if (size < least) throw new AppError('invalid', `a frame of ${size} bytes is cut short`);
    if (size > MAX_FRAME_BYTES) throw new AppError('too_large', `a frame of ${size} bytes, at most ${MAX_FRAME_BYTES}`);
    return size;
  }

  private emit(bytes: Buffer, start: number, end: number): void {
    const type = bytes[start + 8] as FrameType;
    if (type < FRAME_REQUEST || type > FRAME_WINDOW) throw new AppError('invalid', `a frame of unknown type ${type}`);
    const flags = bytes[start + 9] as number;
    const metaAt = start + FRAME_HEAD_BYTES;
    let at = metaAt + bytes.readUInt16LE(start + 10);
    const meta = at === metaAt ? undefined : this.readMeta(bytes, metaAt, at);
    let timeoutMs: number | undefined;
    let trace: string | undefined;
    if ((flags & FLAG_TIMEOUT) !== 0) {
      timeoutMs = bytes.readUInt32LE(at);
      at += TIMEOUT_BYTES;
    }
    if ((flags & FLAG_TRACE) !== 0) {
      trace = bytes.toString('latin1', at, at + TRACE_BYTES);
      at += TRACE_BYTES;
    }
    const more = (flags & FLAG_MORE) !== 0;
    const body = bytes.subarray(at, end);
    this.onFrame({ id: bytes.readUInt32LE(start + 4), type, meta, more, timeoutMs, trace, body });
  }

  /** On one connection nearly all metas are equal, and to compare bytes is cheaper than to read them. */
  private readMeta(bytes: Buffer, start: number, end: number): unknown {
    const { lastMetaBytes } = this;
    if (lastMetaBytes.length === end - start) {
      let at = start;
      while (at < end && bytes[at] === lastMetaBytes[at - start]) at++;
      if (at === end) return this.lastMeta;
    }
    this.lastMeta = this.parseMeta(bytes, start, end);
    this.lastMetaBytes = Buffer.from(bytes.subarray(start, end));
    return this.lastMeta;
  }

  private parseMeta(bytes: Buffer, start: number, end: number): unknown {
    // latin1 keeps every byte apart, so it is a key without a decode
    const key = bytes.toString('latin1', start, end);
    const known = this.metas.get(key);
    if (known !== undefined) return known;
    let meta: unknown;
    try {
      meta = deepFrozen(JSON.parse(bytes.toString('utf8', start, end)));
    } catch {
      throw new AppError('invalid', 'the meta of a frame is not JSON');
    }
    if (this.metas.size >= KEPT_METAS) this.metas.clear();
    this.metas.set(key, meta);
    return meta;
  }
}

/** Metas are shared between frames; what is frozen may be kept by its identity. */
function deepFrozen(meta: unknown): unknown {
  if (typeof meta === 'object' && meta !== null) {
    for (const inner of Object.values(meta)) Object.freeze(inner);
  }
  return Object.freeze(meta);
}

const KEPT_METAS = 64;

/** Small frames of one turn are joined by copying them into blocks of this size; larger bodies leave as they are (writev). */
const BLOCK_BYTES = 64 * 1024;
/** Bodies up to this size are copied. */
const COPIED_BYTES = 16 * 1024;

/**
 * Writes frames; those that come together leave in one write. `when` says how long that is: by default to the end of the
 * event loop's turn. Errors are the socket's own, by its events.
 */
export class FrameWriter {
  private parts: Buffer[] = [];
  private partBytes = 0;
  private block = NOTHING;
  private from = 0;
  private at = 0;
  private scheduled = false;

  constructor(
    private readonly socket: Writable,
    private readonly when: (flush: () => void) => void = setImmediate,
  ) {}

  /** Queues a frame. A body beyond CHUNK_BYTES is for `BodySender` to cut. */
  write(frame: FrameHead, body: Buffer = NOTHING): void {
    const { meta, timeoutMs, trace } = frame;
    const metaBytes = meta === undefined ? NOTHING : Buffer.isBuffer(meta) ? meta : encodeMeta(meta);
    let size = FRAME_HEAD_BYTES + metaBytes.length;
    let flags = frame.more === true ? FLAG_MORE : 0;
    if (timeoutMs !== undefined) {
      flags |= FLAG_TIMEOUT;
      size += TIMEOUT_BYTES;
    }
    if (trace?.length === TRACE_BYTES) {
      flags |= FLAG_TRACE;
      size += TRACE_BYTES;
    }
    const copied = body.length <= COPIED_BYTES;
    this.room(copied ? size + body.length : size);
    const { block } = this;
    let at = block.writeUInt32LE(size - LENGTH_BYTES + body.length, this.at);
    at = block.writeUInt32LE(frame.id, at);
    block[at++] = frame.type;
    block[at++] = flags;
    at = block.writeUInt16LE(metaBytes.length, at);
    block.set(metaBytes, at);
    at += metaBytes.length;
    if (timeoutMs !== undefined) at = block.writeUInt32LE(Math.min(0xffffffff, Math.ceil(timeoutMs)), at);
    if ((flags & FLAG_TRACE) !== 0) at += block.write(trace as string, at, 'latin1');
    if (copied && body.length > 0) {
      block.set(body, at);
      at += body.length;
    }
    this.at = at;
    if (!copied) {
      this.cut();
      this.parts.push(body);
      this.partBytes += body.length;
    }
    if (this.scheduled) return;
    this.scheduled = true;
    this.when(this.flush);
  }

  /** Bytes accepted and not yet taken by the kernel: the measure for pausing what makes more of them. */
  get bufferedBytes(): number {
    return this.partBytes + this.at - this.from + this.socket.writableLength;
  }

  /** Hands everything queued to the socket now instead of at the end of the turn. */
  readonly flush = (): void => {
    this.scheduled = false;
    this.cut();
    if (this.parts.length === 0) return;
    const { parts, socket } = this;
    this.parts = [];
    this.partBytes = 0;
    if (socket.destroyed || socket.writableEnded) return;
    if (parts.length === 1) {
      socket.write(parts[0]);
      return;
    }
    socket.cork();
    for (const part of parts) socket.write(part);
    socket.uncork();
  };

  /** Resolves once less than `bytes` wait to be sent, or the socket is gone. */
  async drained(bytes: number): Promise<void> {
    while (this.bufferedBytes >= bytes && !this.socket.destroyed) {
      await new Promise<void>((resolve) => {
        const done = () => {
          this.socket.off('drain', done);
          this.socket.off('close', done);
          resolve();
        };
        this.flush();
        if (!this.socket.writableNeedDrain) return done();
        this.socket.on('drain', done);
        this.socket.on('close', done);
      });
      // the socket may have taken it all without ever being full
      if (!this.socket.writableNeedDrain) return;
    }
  }

  /** Makes room for so many bytes in one piece. */
  private room(bytes: number): void {
    if (this.block.length - this.at >= bytes) return;
    this.cut();
    // memory of its own: what was handed to the socket is not written over
    this.block = Buffer.allocUnsafeSlow(Math.max(BLOCK_BYTES, bytes));
    this.from = 0;
    this.at = 0;
  }

  /** What is in the block goes among the parts. */
  private cut(): void {
    if (this.at === this.from) return;
    this.parts.push(this.block.subarray(this.from, this.at));
    this.partBytes += this.at - this.from;
    this.from = this.at;
  }
}
