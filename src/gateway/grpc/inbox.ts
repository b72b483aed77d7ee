/**
 * The messages of a call that do not come alone and in one piece: cut out of the stream, unpacked, handed over one after
 * the other, and held back while whoever takes them has enough. Bytes go back to the client's window as they are used.
 */
import { AppError } from '../../errors.js';
import { type Coding, unpack } from '../http/content-coding.js';
import type { Http2Stream } from '../http2/stream.js';
import { type Message, type MessageBounds, MessageReader } from './message-reader.js';

export interface InboxSink {
  /** Whether the client has one message to send, and owes it until it has ended its side. */
  owesAll(): boolean;
  message(bytes: Buffer): void;
  end(): void;
  /** The client broke the rules; nothing more comes. */
  refuse(error: unknown): void;
}

export class Inbox {
  private readonly reader: MessageReader;
  private readonly pieces: Buffer[] = [];
  private fedBytes = 0;
  private requestEnded = false;
  private heldBy = 0;
  private unpacking = false;
  private pumping = false;
  private closed = false;

  constructor(
    private readonly stream: Http2Stream,
    private readonly bounds: MessageBounds,
    private readonly sink: InboxSink,
    private readonly coding: Coding | undefined,
  ) {
    this.reader = new MessageReader(bounds);
  }

  push(piece: Buffer, end: boolean): void {
    if (piece.length > 0) this.pieces.push(piece);
    if (end) this.requestEnded = true;
    this.pump();
  }

  /** Hands nothing over until `release` was called as often. */
  hold(): void {
    this.heldBy++;
  }

  release(): void {
    this.heldBy--;
    this.pump();
  }

  close(): void {
    this.closed = true;
    this.reader.drop();
    this.pieces.length = 0;
  }

  private get held(): boolean {
    return this.heldBy > 0 || this.unpacking;
  }

  private pump(): void {
    // what takes a message may release or push
    if (this.pumping) return;
    this.pumping = true;
    try {
      this.handOver();
    } catch (error) {
      this.sink.refuse(error);
    }
    this.pumping = false;
  }

  private handOver(): void {
    let delivered = false;
    while (!this.closed && !this.held) {
      const message = this.reader.next();
      if (message) {
        delivered = true;
        this.deliver(message);
      } else if (!this.feed()) {
        if (this.requestEnded) this.end();
        else this.expect(delivered);
        return;
      }
    }
    this.stream.expecting(false);
  }

  /** Goes on with the next piece; false when there is none. */
  private feed(): boolean {
    this.stream.consumed(this.fedBytes);
    const piece = this.pieces.shift();
    this.fedBytes = piece?.length ?? 0;
    if (piece) this.reader.feed(piece);
    return piece !== undefined;
  }

  /** The client owes the rest of a message that it began; of a unary call it owes all. */
  private expect(delivered: boolean): void {
    const owes = this.reader.midway || this.sink.owesAll();
    if (delivered || owes !== (this.stream.expectingSince !== undefined)) this.stream.expecting(owes);
  }

  private end(): void {
    this.closed = true;
    if (this.reader.midway) throw new AppError('invalid', 'the call ends within a message');
    this.sink.end();
  }

  private deliver({ bytes, compressed }: Message): void {
    if (!compressed) {
      this.sink.message(bytes);
      return;
    }
    const { coding } = this;
    if (coding === undefined)
      throw new AppError('invalid', 'a message is compressed, but grpc-encoding names no compression');
    this.unpacking = true;
    const { maxMessageBytes: maxBytes } = this.bounds;
    unpack(bytes, { coding, maxBytes, what: 'message', header: 'grpc-encoding' })
      .then((plain) => {
        this.unpacking = false;
        if (this.closed) return;
        this.sink.message(plain);
        this.pump();
      })
      .catch((error: unknown) => this.sink.refuse(error));
  }
}
