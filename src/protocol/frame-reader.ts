import type { Socket } from 'node:net';
import { AppError } from '../errors.js';
import {
  FLAG_MORE,
  FLAG_TIME,
  FLAG_TRACE,
  FRAME_HEAD_BYTES,
  FRAME_REQUEST,
  FRAME_WINDOW,
  type Frame,
  type FrameType,
  LENGTH_BYTES,
  MAX_FRAME_BYTES,
  TIME_BYTES,
  TRACE_BYTES,
} from './frames.js';

const NOTHING = Buffer.alloc(0);

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
    if ((flags & FLAG_TIME) !== 0) least += TIME_BYTES;
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
    let timeMs: number | undefined;
    let trace: string | undefined;
    if ((flags & FLAG_TIME) !== 0) {
      timeMs = bytes.readUInt32LE(at);
      at += TIME_BYTES;
    }
    if ((flags & FLAG_TRACE) !== 0) {
      trace = bytes.toString('latin1', at, at + TRACE_BYTES);
      at += TRACE_BYTES;
    }
    const more = (flags & FLAG_MORE) !== 0;
    const body = bytes.subarray(at, end);
    this.onFrame({ id: bytes.readUInt32LE(start + 4), type, meta, more, timeMs, trace, body });
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

/**
 * Hands the frames that come on a socket to `take`. Bytes that are no frames, and a frame that `take` throws at, end the
 * connection; `onBroken` hears of it first.
 */
export function readFrames(socket: Socket, take: (frame: Frame) => void, onBroken?: (error: unknown) => void): void {
  const reader = new FrameReader(take);
  socket.on('data', (chunk: Buffer) => {
    try {
      reader.push(chunk);
    } catch (error) {
      onBroken?.(error);
      socket.destroy();
    }
  });
}
