import type { Writable } from 'node:stream';
import {
  encodeMeta,
  FLAG_MORE,
  FLAG_TIME,
  FLAG_TRACE,
  FRAME_HEAD_BYTES,
  type FrameHead,
  LENGTH_BYTES,
  TIME_BYTES,
  TRACE_BYTES,
} from './frames.js';

const NOTHING = Buffer.alloc(0);

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
    const { meta, timeMs, trace } = frame;
    const metaBytes = meta === undefined ? NOTHING : Buffer.isBuffer(meta) ? meta : encodeMeta(meta);
    let size = FRAME_HEAD_BYTES + metaBytes.length;
    let flags = frame.more === true ? FLAG_MORE : 0;
    if (timeMs !== undefined) {
      flags |= FLAG_TIME;
      size += TIME_BYTES;
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
    if (timeMs !== undefined) at = block.writeUInt32LE(Math.min(0xffffffff, Math.ceil(timeMs)), at);
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
