/** One gRPC call on an HTTP/2 stream, as the server sees it: messages in, messages and a status out. */
import { AppError, asAppError } from '../../errors.js';
import { encodeBody, MIN_PACKED_BYTES } from '../http/content-coding.js';
import type { Http2Limits } from '../http2/limits.js';
import type { Http2Stream, StreamReceiver } from '../http2/stream.js';
import { answerHead, answerTrailers, type Metadata, plainStatus, trailersOnly } from './blocks.js';
import { type CallHead, PLAIN_HEAD, readCallHead } from './call-head.js';
import { Inbox } from './inbox.js';
import { type MessageBounds, messagePrefix, PREFIX_BYTES } from './message-reader.js';
import { binaryValue } from './metadata.js';
import { type Outcome, outcomeOf, STATUS } from './status.js';

/**
 * Who serves a call. What a method throws ends the call with the error's status. Nothing is called any more once the call
 * was ended or `cancel` was called.
 */
export interface CallReceiver {
  /** The client has one message to send and then to end its side; it hears when that takes too long. */
  readonly unary?: boolean;
  /** One whole message, unpacked. It may be a view: holding it keeps the chunk alive that it came in. */
  message(bytes: Buffer): void;
  /** The client has sent all its messages. */
  end(): void;
  /** The client gave up, is gone, or broke the rules, or a method of this threw: what is under way is of no use. */
  cancel(): void;
  /** After `send` said false: more may be sent. */
  writable?(): void;
}

export interface CallContext {
  readonly bounds: MessageBounds;
  readonly limits: Http2Limits;
  /** An error that is nobody's but ours, for the log. */
  onFault(error: unknown, requestId?: string): void;
}

const ACCEPTED_CODINGS = { 'grpc-accept-encoding': 'identity,deflate,gzip' };
const WELL: Outcome = { status: STATUS.OK };

export class GrpcCall implements StreamReceiver {
  /** Sent with the answer's head; to be set before the first message is sent. A frozen object's bytes are kept. */
  headMetadata: Metadata | undefined;
  /** Goes out with a failure, and to the log. */
  requestId: string | undefined;
  private head: CallHead = PLAIN_HEAD;
  private receiver: CallReceiver | undefined;
  private inbox: Inbox | undefined;
  private ended = false;
  private headSent = false;
  private paused = false;
  /** Answers wait for the client to take them: until then no more messages are taken from it. */
  private full = false;
  /** Settles when all that is being compressed was sent; undefined while messages may be sent as they come. */
  private packing: Promise<void> | undefined;

  constructor(
    private readonly stream: Http2Stream,
    private readonly context: CallContext,
  ) {}

  /** `/package.Service/Method`. */
  get path(): string {
    return this.stream.head.path;
  }

  /** Milliseconds from the call's beginning within which the client wants its answer; whoever serves it keeps to that. */
  get deadlineMs(): number | undefined {
    return this.head.deadlineMs;
  }

  /** Whether the call was ended, or the client is gone. */
  get over(): boolean {
    return this.ended;
  }

  /** A value of the client's metadata by its name in lower case. Where the name ends in `-bin`, it is base64. */
  header(name: string): string | undefined {
    return this.stream.head.get(name);
  }

  /** The bytes of a value of the metadata whose name ends in `-bin`. */
  binaryMetadata(name: string): Buffer | undefined {
    const value = this.header(name);
    return value === undefined ? undefined : binaryValue(value);
  }

  /** Takes no more messages from the client, which has to wait when its window is full, until `resume`. */
  pause(): void {
    if (!this.paused) this.inboxOf().hold();
    this.paused = true;
  }

  resume(): void {
    if (!this.paused) return;
    this.paused = false;
    this.inboxOf().release();
  }

  /** Sends a message; its parts must not change any more. False: wait for `writable` before the next one. */
  send(parts: readonly Buffer[]): boolean {
    if (this.ended) return true;
    const bytes = sizeOf(parts);
    if (this.packing === undefined && !this.packs(bytes)) {
      if (!this.sendNow(parts, bytes, false)) this.fill();
      return !this.full;
    }
    this.sendInTurn(parts, bytes);
    return false;
  }

  /** Ends the call; without arguments, it went well. */
  end(outcome: Outcome = WELL): void {
    if (this.ended) return;
    const trailers = answerTrailers(outcome);
    this.stop();
    const finish = () => this.stream.finish(this.headSent ? trailers : trailersOnly(this.headMetadata, outcome));
    if (this.packing === undefined) finish();
    else void this.packing.then(finish);
  }

  /** The whole answer of a call that has one message: cheaper than `send` and `end`. */
  reply(parts: readonly Buffer[], trailing?: Metadata): void {
    if (this.ended) return;
    const bytes = sizeOf(parts);
    const outcome = trailing === undefined ? WELL : { status: STATUS.OK, metadata: trailing };
    if (this.headSent || this.packing !== undefined || this.packs(bytes)) {
      this.send(parts);
      this.end(outcome);
      return;
    }
    const head = answerHead(this.headMetadata, undefined);
    const trailers = answerTrailers(outcome);
    this.stop();
    this.stream.answer(head, [messagePrefix(bytes, false), ...parts], trailers);
  }

  /** Begins the one message of an answer, of so many bytes, which follow in pieces; then comes `end`. */
  beginReply(bytes: number): void {
    if (this.ended) return;
    this.headSent = true;
    this.stream.sendHead(answerHead(this.headMetadata, undefined));
    this.stream.send([messagePrefix(bytes, false)]);
  }

  /** A piece of that message. False: wait for `writable` before the next one. */
  sendPiece(piece: Buffer): boolean {
    if (this.ended || this.stream.send([piece])) return true;
    this.fill();
    return false;
  }

  /** Ends the call with an error's status; unexpected ones go to the log, and out as INTERNAL without their words. */
  fail(error: unknown): void {
    if (this.ended) return;
    const failure = asAppError(error);
    // gRPC wants a client that compresses in an unknown way to hear what is known
    if (failure.code === 'unsupported' && !this.headSent) this.headMetadata ??= ACCEPTED_CODINGS;
    if (failure.code === 'internal') this.context.onFault(error, this.requestId);
    this.end(outcomeOf(failure, this.requestId));
  }

  /** The head is there: `onCall` says who serves the call. */
  begin(onCall: (call: GrpcCall) => CallReceiver): void {
    try {
      this.head = readCallHead(this.stream.head, this.context.limits.maxHeaderListBytes);
      this.receiver = onCall(this);
      if (this.receiver.unary && !this.ended) this.stream.expecting(true);
    } catch (error) {
      this.fail(error);
    }
  }

  /** Answers what is no gRPC call with an HTTP status. */
  refusePlainly(status: number): void {
    this.stop();
    this.stream.finish(plainStatus(status));
  }

  // of the stream

  data(piece: Buffer, end: boolean): void {
    if (this.ended) {
      this.stream.consumed(piece.length);
      return;
    }
    if (this.inbox !== undefined || !end || !this.isOneMessage(piece)) {
      this.inboxOf().push(piece, end);
      return;
    }
    // the usual call: nothing was kept of it, and nothing has to be copied
    this.stream.expecting(false);
    this.stream.consumed(piece.length);
    try {
      this.receiver?.message(piece.subarray(PREFIX_BYTES));
      if (!this.ended) this.receiver?.end();
    } catch (error) {
      this.refuse(error);
    }
  }

  writable(): void {
    if (!this.full || this.packing !== undefined) return;
    this.full = false;
    try {
      if (!this.ended) this.receiver?.writable?.();
    } catch (error) {
      this.refuse(error);
    }
    if (!this.ended) this.inbox?.release();
  }

  overdue(): void {
    const bound = `within ${this.context.limits.stallMs / 1000} s`;
    this.refuse(new AppError('timeout', `a message of the call was not there ${bound}`));
  }

  closed(): void {
    if (this.ended) return;
    this.stop();
    this.cancel();
  }

  /** Ends a call that cannot go on, and whatever is done for it. */
  private refuse(error: unknown): void {
    if (this.ended) return;
    this.cancel();
    this.fail(error);
  }

  private cancel(): void {
    try {
      this.receiver?.cancel();
    } catch (error) {
      this.context.onFault(error);
    }
  }

  private stop(): void {
    this.ended = true;
    this.stream.expecting(false);
    this.inbox?.close();
  }

  private isOneMessage(piece: Buffer): boolean {
    const bytes = piece.length - PREFIX_BYTES;
    return (
      bytes >= 0 && bytes <= this.context.bounds.maxMessageBytes && piece[0] === 0 && piece.readUInt32BE(1) === bytes
    );
  }

  private inboxOf(): Inbox {
    this.inbox ??= new Inbox(
      this.stream,
      this.context.bounds,
      {
        owesAll: () => this.receiver?.unary ?? false,
        message: (bytes) => this.receiver?.message(bytes),
        end: () => this.receiver?.end(),
        refuse: (error) => this.refuse(error),
      },
      this.head.coding,
    );
    return this.inbox;
  }

  /** Large answers go in the compression that the client itself uses. */
  private packs(bytes: number): boolean {
    return this.head.takesCoding && bytes >= MIN_PACKED_BYTES;
  }

  private sendNow(parts: readonly Buffer[], bytes: number, packed: boolean): boolean {
    if (!this.headSent) {
      this.headSent = true;
      this.stream.sendHead(answerHead(this.headMetadata, this.head.takesCoding ? this.head.coding : undefined));
    }
    return this.stream.send([messagePrefix(bytes, packed), ...parts]);
  }

  /** Sends after all that is being compressed, so that messages keep their order. */
  private sendInTurn(parts: readonly Buffer[], bytes: number): void {
    const { coding } = this.head;
    this.fill();
    const turn = (this.packing ?? Promise.resolve())
      .then(async () => {
        if (coding === undefined || !this.packs(bytes)) return this.sendNow(parts, bytes, false);
        const packed = await encodeBody(Buffer.concat(parts, bytes), coding);
        return this.sendNow([packed], packed.length, true);
      })
      .catch((error: unknown) => {
        this.refuse(error);
        return true;
      })
      .then((room) => {
        if (this.packing !== turn) return;
        this.packing = undefined;
        if (room) this.writable();
      });
    this.packing = turn;
  }

  private fill(): void {
    if (this.full) return;
    this.full = true;
    this.inboxOf().hold();
  }
}

function sizeOf(parts: readonly Buffer[]): number {
  let bytes = 0;
  for (let at = 0; at < parts.length; at++) bytes += (parts[at] as Buffer).length;
  return bytes;
}
