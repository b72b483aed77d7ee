/**
 * Cuts a client's byte stream into frames (RFC 9113, sections 3.4 and 4.1). The payload of DATA is handed on in the
 * pieces in which it comes, as views; all other frames are small and come whole.
 */
import { CODE, DEFAULT_FRAME_BYTES, FLAG, FRAME, FRAME_HEAD_BYTES, Http2Error } from './codes.js';

/** What every client sends first. */
export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

/** Whether what a client sent first is HTTP/2; undefined: there is not enough of it to tell. */
export function startsHttp2(first: Buffer): boolean | undefined {
  const bytes = Math.min(first.length, PREFACE.length);
  if (PREFACE.compare(first, 0, bytes, 0, bytes) !== 0) return false;
  return bytes === PREFACE.length ? true : undefined;
}

/** Takes frames; type, flags and stream are the reader's fields of these names. May throw Http2Error. */
export interface FrameSink {
  /** A whole frame other than DATA; its payload lies in `bytes` from `start` to `end`. */
  frame(bytes: Buffer, start: number, end: number): void;
  /**
   * A piece of a DATA frame's content, its padding left out. `counted` is by how much the windows shrink: the whole
   * frame's payload with its first piece, then 0. `done`: the frame ends here.
   */
  data(piece: Buffer, counted: number, done: boolean): void;
}

const NOTHING = Buffer.alloc(0);

export class FrameReader {
  /** The frame that the sink is being given. */
  type = 0;
  flags = 0;
  streamId = 0;
  /** Bytes of a DATA frame that are padding; known with its first piece. */
  padding = 0;
  /** Set to hear of nothing more. */
  stopped = false;

  private readonly head = Buffer.allocUnsafe(PREFACE.length);
  /** What is being collected because a chunk ended within it. */
  private held: Buffer = this.head;
  private heldFilled = 0;
  private heldBytes = PREFACE.length;
  private holding: 'nothing' | 'preface' | 'head' | 'payload' = 'preface';

  private length = 0;
  private dataLeft = 0;
  private contentLeft = 0;
  private counted = 0;
  private paddingUnread = false;

  constructor(private readonly sink: FrameSink) {}

  /** Whether something was begun that the peer still has to finish. */
  get unfinished(): boolean {
    return this.holding !== 'nothing' || this.dataLeft > 0;
  }

  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length && !this.stopped) {
      if (this.dataLeft > 0) {
        at = this.takeData(chunk, at);
      } else if (this.holding !== 'nothing') {
        at = this.fillHeld(chunk, at);
      } else if (chunk.length - at < FRAME_HEAD_BYTES) {
        this.hold('head', this.head, FRAME_HEAD_BYTES);
      } else {
        this.readHead(chunk, at);
        at += FRAME_HEAD_BYTES;
        if (this.type === FRAME.DATA) continue;
        if (chunk.length - at < this.length) {
          this.hold('payload', Buffer.allocUnsafe(this.length), this.length);
          continue;
        }
        const start = at;
        at += this.length;
        this.sink.frame(chunk, start, at);
      }
    }
  }

  private hold(what: 'head' | 'payload', into: Buffer, bytes: number): void {
    this.holding = what;
    this.held = into;
    this.heldBytes = bytes;
    this.heldFilled = 0;
  }

  private fillHeld(chunk: Buffer, at: number): number {
    const { held, heldBytes, holding } = this;
    const taken = Math.min(heldBytes - this.heldFilled, chunk.length - at);
    chunk.copy(held, this.heldFilled, at, at + taken);
    this.heldFilled += taken;
    if (this.heldFilled < heldBytes) return at + taken;
    this.holding = 'nothing';
    if (holding === 'payload') {
      this.sink.frame(held, 0, heldBytes);
    } else if (holding === 'preface') {
      if (!held.equals(PREFACE)) throw new Http2Error(CODE.PROTOCOL_ERROR, 'the connection does not begin as HTTP/2');
    } else {
      this.readHead(held, 0);
      if (this.type !== FRAME.DATA && this.length > 0) {
        this.hold('payload', Buffer.allocUnsafe(this.length), this.length);
      } else if (this.type !== FRAME.DATA) {
        this.sink.frame(held, 0, 0);
      }
    }
    return at + taken;
  }

  private readHead(bytes: Buffer, at: number): void {
    const length = ((bytes[at] as number) << 16) | ((bytes[at + 1] as number) << 8) | (bytes[at + 2] as number);
    this.length = length;
    this.type = bytes[at + 3] as number;
    this.flags = bytes[at + 4] as number;
    this.streamId =
      (((bytes[at + 5] as number) & 0x7f) << 24) |
      ((bytes[at + 6] as number) << 16) |
      ((bytes[at + 7] as number) << 8) |
      (bytes[at + 8] as number);
    if (length > DEFAULT_FRAME_BYTES) {
      const problem = `a frame of ${length} bytes, at most ${DEFAULT_FRAME_BYTES} are allowed`;
      throw new Http2Error(CODE.FRAME_SIZE_ERROR, problem);
    }
    if (this.type !== FRAME.DATA) return;
    if (this.streamId === 0) throw new Http2Error(CODE.PROTOCOL_ERROR, 'DATA on stream 0');
    this.paddingUnread = (this.flags & FLAG.PADDED) !== 0;
    if (length === 0 && this.paddingUnread) throw new Http2Error(CODE.FRAME_SIZE_ERROR, 'padded DATA without a byte');
    this.dataLeft = length;
    this.contentLeft = length;
    this.counted = length;
    this.padding = 0;
    if (length === 0) this.sink.data(NOTHING, 0, true);
  }

  private takeData(chunk: Buffer, start: number): number {
    let at = start;
    if (this.paddingUnread) {
      const padding = chunk[at++] as number;
      this.paddingUnread = false;
      if (padding >= this.length) throw new Http2Error(CODE.PROTOCOL_ERROR, 'DATA with more padding than bytes');
      this.padding = padding + 1;
      this.dataLeft--;
      this.contentLeft = this.dataLeft - padding;
    }
    const bytes = Math.min(this.dataLeft, chunk.length - at);
    const content = Math.min(this.contentLeft, bytes);
    this.dataLeft -= bytes;
    this.contentLeft -= content;
    const { counted } = this;
    this.counted = 0;
    this.sink.data(content === 0 ? NOTHING : chunk.subarray(at, at + content), counted, this.dataLeft === 0);
    return at + bytes;
  }
}
