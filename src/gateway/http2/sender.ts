/**
 * What leaves a connection. Frames written in one turn of the event loop leave in one write. DATA is made only when the
 * windows of its stream and of the connection, and the socket, have room for it; until then its bytes wait where they are.
 */
import type { Socket } from 'node:net';
import { DEFAULT_FRAME_BYTES, DEFAULT_WINDOW_BYTES, FLAG, FRAME, FRAME_HEAD_BYTES, MAX_31_BITS } from './codes.js';
import { frameHead, headersFrames, writeFrameHead } from './frame-writer.js';
import type { Http2Stream } from './stream.js';

/** Answers up to this size are joined into one buffer with their frames; parts of larger ones are never copied. */
const JOIN_BYTES = 8 * 1024;
/** What is made into frames ahead of the socket; more than a socket's own high-water mark, so that it tells when it has room. */
const AHEAD_BYTES = 256 * 1024;
/** A stream with more than this waiting asks its sender to pause. */
const ENOUGH_BYTES = 256 * 1024;
/** The largest DATA frame we make, whatever the client allows: streams take turns frame by frame. */
const MAX_FRAME_BYTES = 64 * 1024;

export class Sender {
  /** While true somebody will call `flush` soon; otherwise the end of the turn does. */
  held = false;
  /** A stream's end is on its way. */
  onFinished: (stream: Http2Stream) => void = () => {};
  /** A DATA frame is on its way. */
  onData: () => void = () => {};
  private window = DEFAULT_WINDOW_BYTES;
  private frameBytes = DEFAULT_FRAME_BYTES;
  private parts: Buffer[] = [];
  private partBytes = 0;
  private scheduled = false;
  private handedBytes = 0;
  private queuedBytes = 0;
  /** Streams with bytes waiting and a window for them, in turn. */
  private readonly ready = new Set<Http2Stream>();

  constructor(private readonly socket: Socket) {
    socket.on('drain', () => this.pump());
  }

  /** All that waits for the client to take it. */
  get unsentBytes(): number {
    return this.queuedBytes + this.partBytes + this.socket.writableLength;
  }

  /** All that the kernel has taken so far; it stands still while the client takes nothing. */
  get sentBytes(): number {
    return this.handedBytes - this.socket.writableLength;
  }

  /** A frame as it is, outside of flow control. */
  frame(bytes: Buffer): void {
    this.parts.push(bytes);
    this.partBytes += bytes.length;
    this.schedule();
  }

  head(stream: Http2Stream, block: Buffer): void {
    this.frame(headersFrames(stream.id, block, false));
  }

  data(stream: Http2Stream, parts: readonly Buffer[]): boolean {
    for (const part of parts) {
      if (part.length === 0) continue;
      stream.queue.push(part);
      stream.queuedBytes += part.length;
      this.queuedBytes += part.length;
    }
    this.offer(stream);
    return stream.queuedBytes < ENOUGH_BYTES;
  }

  finish(stream: Http2Stream, block: Buffer): void {
    if (stream.queuedBytes > 0) stream.trailers = block;
    else this.end(stream, block);
  }

  answer(stream: Http2Stream, head: Buffer, rest: { parts: readonly Buffer[]; trailers: Buffer }): void {
    const { parts, trailers } = rest;
    let bytes = 0;
    for (let i = 0; i < parts.length; i++) bytes += (parts[i] as Buffer).length;
    const small = head.length + bytes + trailers.length <= JOIN_BYTES;
    if (!small || bytes > this.window || bytes > stream.sendWindow || !this.hasRoom()) {
      this.head(stream, head);
      this.data(stream, parts);
      this.finish(stream, trailers);
      return;
    }
    const out = Buffer.allocUnsafe(3 * FRAME_HEAD_BYTES + head.length + bytes + trailers.length);
    const streamId = stream.id;
    let at = writeFrameHead(out, 0, { length: head.length, type: FRAME.HEADERS, flags: FLAG.END_HEADERS, streamId });
    out.set(head, at);
    at = writeFrameHead(out, at + head.length, { length: bytes, type: FRAME.DATA, flags: 0, streamId });
    for (let i = 0; i < parts.length; i++) {
      const part = parts[i] as Buffer;
      out.set(part, at);
      at += part.length;
    }
    const flags = FLAG.END_HEADERS | FLAG.END_STREAM;
    at = writeFrameHead(out, at, { length: trailers.length, type: FRAME.HEADERS, flags, streamId });
    out.set(trailers, at);
    this.window -= bytes;
    this.onData();
    this.frame(out);
    this.onFinished(stream);
  }

  /** The client's WINDOW_UPDATE for the connection; false when the window would be larger than any may be. */
  grow(bytes: number): boolean {
    this.window += bytes;
    if (this.window > MAX_31_BITS) return false;
    this.pump();
    return true;
  }

  /** The same for a stream, and what a change of the initial window does to it. */
  growStream(stream: Http2Stream, bytes: number): boolean {
    stream.sendWindow += bytes;
    if (stream.sendWindow > MAX_31_BITS) return false;
    this.offer(stream);
    return true;
  }

  set maxFrameBytes(bytes: number) {
    this.frameBytes = Math.min(bytes, MAX_FRAME_BYTES);
  }

  /** Forgets what waits for a stream. */
  drop(stream: Http2Stream): void {
    this.ready.delete(stream);
    this.queuedBytes -= stream.queuedBytes;
    stream.queuedBytes = 0;
    stream.queue = [];
  }

  /** Hands all frames to the socket now. */
  readonly flush = (): void => {
    this.scheduled = false;
    if (this.parts.length === 0) return;
    const { parts, partBytes, socket } = this;
    this.parts = [];
    this.partBytes = 0;
    if (socket.destroyed || socket.writableEnded) return;
    this.handedBytes += partBytes;
    if (parts.length === 1) {
      socket.write(parts[0] as Buffer);
    } else if (partBytes <= 4 * JOIN_BYTES) {
      socket.write(Buffer.concat(parts, partBytes));
    } else {
      socket.cork();
      for (const part of parts) socket.write(part);
      socket.uncork();
    }
    if (this.ready.size > 0 && !socket.writableNeedDrain) this.pump();
  };

  private schedule(): void {
    if (this.held || this.scheduled) return;
    this.scheduled = true;
    process.nextTick(this.flush);
  }

  private hasRoom(): boolean {
    return this.partBytes + this.socket.writableLength < AHEAD_BYTES;
  }

  private offer(stream: Http2Stream): void {
    if (stream.queuedBytes === 0 || stream.sendWindow <= 0) return;
    this.ready.add(stream);
    this.pump();
  }

  /** Makes frames, one of each stream in turn, as long as there is room. */
  private pump(): void {
    while (this.ready.size > 0) {
      for (const stream of this.ready) {
        if (this.window <= 0 || !this.hasRoom()) return;
        this.nextFrame(stream);
        if (stream.queuedBytes > 0 && stream.sendWindow > 0) continue;
        this.ready.delete(stream);
        if (stream.queuedBytes > 0) continue;
        if (stream.trailers) this.end(stream, stream.trailers);
        else stream.receiver?.writable();
      }
    }
  }

  private nextFrame(stream: Http2Stream): void {
    const bytes = Math.min(this.frameBytes, this.window, stream.sendWindow, stream.queuedBytes);
    this.frame(frameHead(bytes, FRAME.DATA, 0, stream.id));
    this.window -= bytes;
    this.queuedBytes -= bytes;
    stream.sendWindow -= bytes;
    stream.queuedBytes -= bytes;
    for (let left = bytes; left > 0; ) {
      const part = stream.queue[stream.queueAt] as Buffer;
      const from = stream.queueOffset;
      const piece = part.subarray(from, from + left);
      left -= piece.length;
      stream.queueOffset += piece.length;
      if (stream.queueOffset === part.length) {
        stream.queueOffset = 0;
        stream.queueAt++;
      }
      this.frame(piece);
    }
    if (stream.queuedBytes === 0 || stream.queueAt >= 64) {
      stream.queue.splice(0, stream.queueAt);
      stream.queueAt = 0;
    }
    this.onData();
  }

  private end(stream: Http2Stream, block: Buffer): void {
    this.frame(headersFrames(stream.id, block, true));
    this.onFinished(stream);
  }
}
