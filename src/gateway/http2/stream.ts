import { DEFAULT_WINDOW_BYTES } from './codes.js';
import type { RequestHead } from './request-head.js';
import type { Sender } from './sender.js';

/** Who takes what a client sends on a stream. Nothing of it is called after the answer's end or `closed`. */
export interface StreamReceiver {
  /**
   * A piece of the request's body, possibly empty; `end`: nothing more comes. The bytes are the receiver's to give back
   * to the window with `stream.consumed`, when it wants more.
   */
  data(piece: Buffer, end: boolean): void;
  /** All that `send` took is on its way to the socket: more may be sent. */
  writable(): void;
  /** What `stream.expecting` announced did not come within the connection's `stallMs`. */
  overdue(): void;
  /** The client reset the stream, or the connection is gone: nothing can be sent any more. */
  closed(): void;
}

/** What a stream needs of its connection. */
export interface StreamHost {
  readonly sender: Sender;
  /** Counts checks of `overdue`; streams measure their age by it. */
  readonly ticks: number;
  consumed(stream: Http2Stream, bytes: number): void;
  reset(stream: Http2Stream, code: number): void;
}

/** One request and its answer. Methods do nothing on a stream that is closed. */
export class Http2Stream {
  receiver: StreamReceiver | undefined;
  /** The client has sent all. */
  remoteEnded = false;
  closed = false;
  /** The host's ticks when the client began what it has to finish; undefined while nothing is expected of it. */
  expectingSince: number | undefined;
  /** Of the request, as far as it came. */
  bodyBytes = 0;

  // what we may still receive, and what of it was not given back
  receiveWindow = 0;
  unconsumed = 0;
  uncredited = 0;

  // what we may still send, and what waits for that
  sendWindow = DEFAULT_WINDOW_BYTES;
  queue: Buffer[] = [];
  queueAt = 0;
  queueOffset = 0;
  queuedBytes = 0;
  trailers: Buffer | undefined;

  constructor(
    private readonly host: StreamHost,
    readonly id: number,
    readonly head: RequestHead,
  ) {}

  /** The client must send something, or go on with it, within the connection's `stallMs`; false: no more. */
  expecting(something: boolean): void {
    this.expectingSince = something ? this.host.ticks : undefined;
  }

  /** Gives bytes of the body back to the windows, so that the client may send as many more. */
  consumed(bytes: number): void {
    if (!this.closed) this.host.consumed(this, bytes);
  }

  /** The answer's head; `send` and `finish` follow. */
  sendHead(block: Buffer): void {
    if (!this.closed) this.host.sender.head(this, block);
  }

  /** Bytes of the answer's body, queued while the windows are full. False: there is more than enough, wait for `writable`. */
  send(parts: readonly Buffer[]): boolean {
    return this.closed || this.host.sender.data(this, parts);
  }

  /** The end: a block of trailers after all that was sent, or the one block of an answer without a body. */
  finish(block: Buffer): void {
    if (!this.closed) this.host.sender.finish(this, block);
  }

  /** A whole answer. */
  answer(head: Buffer, parts: readonly Buffer[], trailers: Buffer): void {
    if (!this.closed) this.host.sender.answer(this, head, { parts, trailers });
  }

  reset(code: number): void {
    if (!this.closed) this.host.reset(this, code);
  }
}
