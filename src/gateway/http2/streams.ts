/** The streams of one connection: how they open and end, and the windows of what clients send on them. */
import { Allowance } from './allowance.js';
import { CODE, DEFAULT_WINDOW_BYTES, Http2Error } from './codes.js';
import { rstStreamFrame, windowUpdateFrame } from './frame-writer.js';
import type { HeaderList } from './hpack-decoder.js';
import type { Http2Limits } from './limits.js';
import { checkTrailers, RequestHead } from './request-head.js';
import type { Sender } from './sender.js';
import { Http2Stream, type StreamHost, type StreamReceiver } from './stream.js';

export interface StreamsOptions {
  readonly limits: Http2Limits;
  /** A request's head is there; says who takes the rest. It may answer at once. */
  onStream(stream: Http2Stream): StreamReceiver;
  /** Something of ours went wrong: the connection ends, and this is what the log should hear. */
  onFault(error: unknown): void;
}

const NOTHING = Buffer.alloc(0);
/** Streams that we reset; what the client had sent until it heard of that is no error. */
const REMEMBERED_RESETS = 256;

export class Streams implements StreamHost {
  ticks = 0;
  lastId = 0;
  /** Set to take no new streams. */
  refusing = false;
  private readonly open = new Map<number, Http2Stream>();
  private readonly resets: Allowance;
  private readonly idleFrames: Allowance;
  private readonly resetByUs = new Set<number>();
  private initialSendWindow = DEFAULT_WINDOW_BYTES;
  private receiveWindow: number;
  private uncredited = 0;

  constructor(
    readonly sender: Sender,
    private readonly options: StreamsOptions,
    private readonly onEmpty: () => void,
  ) {
    const { limits } = options;
    this.resets = new Allowance(limits.resets.burst, limits.resets.perSecond);
    this.idleFrames = new Allowance(limits.idleFrames.burst, limits.idleFrames.perSecond);
    this.receiveWindow = limits.connectionWindowBytes;
    sender.onFinished = (stream) => this.finished(stream);
    sender.onData = () => this.idleFrames.earn(2);
  }

  get size(): number {
    return this.open.size;
  }

  /** A frame that asks for nothing: so many are allowed. */
  idleFrame(): void {
    if (!this.idleFrames.spend())
      throw new Http2Error(CODE.ENHANCE_YOUR_CALM, 'more frames without use than are allowed');
  }

  /** A whole header block: a new request, or trailers. */
  headers(streamId: number, endStream: boolean, list: HeaderList): void {
    if (streamId > this.lastId) {
      this.lastId = streamId;
      this.request(streamId, endStream, list);
      return;
    }
    const stream = this.open.get(streamId);
    if (!stream) {
      this.idleFrame();
      if (this.resetByUs.has(streamId)) return;
      throw new Http2Error(CODE.STREAM_CLOSED, `HEADERS on stream ${streamId}, which is closed`);
    }
    if (stream.remoteEnded) throw new Http2Error(CODE.STREAM_CLOSED, 'HEADERS after the end', streamId);
    if (!endStream) throw new Http2Error(CODE.PROTOCOL_ERROR, 'trailers that do not end the stream', streamId);
    checkTrailers(list, streamId);
    endRemote(stream);
    stream.receiver?.data(NOTHING, true);
  }

  /** A piece of DATA; `frame` says of the frame as a whole what this piece's windows and state need. */
  data(streamId: number, piece: Buffer, frame: { counted: number; padding: number; endStream: boolean }): void {
    const { counted, padding, endStream } = frame;
    this.receiveWindow -= counted;
    if (this.receiveWindow < 0) throw new Http2Error(CODE.FLOW_CONTROL_ERROR, "more DATA than the connection's window");
    const stream = this.open.get(streamId);
    if (!stream || stream.remoteEnded) {
      this.credit(counted);
      // once a frame is enough
      if (counted > 0 || piece.length === 0) this.strayData(streamId);
      return;
    }
    if (piece.length === 0 && !endStream) this.idleFrame();
    stream.receiveWindow -= counted;
    stream.unconsumed += counted;
    stream.bodyBytes += piece.length;
    if (stream.receiveWindow < 0) throw new Http2Error(CODE.FLOW_CONTROL_ERROR, 'more DATA than its window', streamId);
    if (endStream) endRemote(stream);
    if (padding > 0) this.consumed(stream, padding);
    stream.receiver?.data(piece, endStream);
  }

  rstStream(streamId: number): void {
    this.checkNotIdle(streamId, 'RST_STREAM');
    const stream = this.open.get(streamId);
    if (!stream) {
      this.idleFrame();
      return;
    }
    this.forget(stream);
    stream.receiver?.closed();
    if (!this.resets.spend()) throw new Http2Error(CODE.ENHANCE_YOUR_CALM, 'more resets of streams than are allowed');
  }

  /** The client takes more of a stream, or, on stream 0, of all. */
  windowUpdate(streamId: number, bytes: number): void {
    this.idleFrame();
    const only = streamId === 0 ? undefined : streamId;
    if (only !== undefined) this.checkNotIdle(only, 'WINDOW_UPDATE');
    if (bytes === 0) throw new Http2Error(CODE.PROTOCOL_ERROR, 'WINDOW_UPDATE of 0', only);
    const stream = this.open.get(streamId);
    const holds = only === undefined ? this.sender.grow(bytes) : !stream || this.sender.growStream(stream, bytes);
    if (!holds) throw new Http2Error(CODE.FLOW_CONTROL_ERROR, 'a window of more than 2^31 - 1', only);
  }

  /** The client's setting: it changes the windows of open streams, too, and may make them negative. */
  setInitialSendWindow(bytes: number): void {
    const difference = bytes - this.initialSendWindow;
    this.initialSendWindow = bytes;
    for (const stream of this.open.values()) {
      if (this.sender.growStream(stream, difference)) continue;
      throw new Http2Error(CODE.FLOW_CONTROL_ERROR, 'a window of more than 2^31 - 1');
    }
  }

  consumed(stream: Http2Stream, bytes: number): void {
    stream.unconsumed -= bytes;
    this.credit(bytes);
    if (stream.remoteEnded) return;
    stream.uncredited += bytes;
    if (stream.uncredited * 2 < this.options.limits.streamWindowBytes) return;
    this.sender.frame(windowUpdateFrame(stream.id, stream.uncredited));
    stream.receiveWindow += stream.uncredited;
    stream.uncredited = 0;
  }

  reset(stream: Http2Stream, code: number): void {
    this.resetId(stream.id, code);
    this.forget(stream);
  }

  /** A stream's client broke the protocol. */
  fail(streamId: number, code: number): void {
    const stream = this.open.get(streamId);
    this.resetId(streamId, code);
    if (!stream) return;
    this.forget(stream);
    stream.receiver?.closed();
  }

  /** Time has passed: the streams whose client owes something for longer than this hear of it. */
  tick(stallTicks: number): void {
    this.ticks++;
    for (const stream of this.open.values()) {
      if (stream.expectingSince === undefined || this.ticks - stream.expectingSince <= stallTicks) continue;
      stream.expecting(false);
      stream.receiver?.overdue();
    }
  }

  /** The connection is gone. */
  closeAll(): void {
    for (const stream of [...this.open.values()]) {
      this.forget(stream);
      stream.receiver?.closed();
    }
  }

  private request(streamId: number, endStream: boolean, list: HeaderList): void {
    const { limits, onStream } = this.options;
    if (this.refusing || this.open.size >= limits.maxStreams || this.sender.unsentBytes > limits.maxUnsentBytes) {
      this.idleFrame();
      this.resetId(streamId, CODE.REFUSED_STREAM);
      return;
    }
    const stream = new Http2Stream(this, streamId, RequestHead.of(list, streamId));
    stream.sendWindow = this.initialSendWindow;
    stream.receiveWindow = limits.streamWindowBytes;
    if (endStream) endRemote(stream);
    this.idleFrames.earn(4);
    this.open.set(streamId, stream);
    stream.receiver = onStream(stream);
    if (endStream && !stream.closed) stream.receiver.data(NOTHING, true);
  }

  private strayData(streamId: number): void {
    this.checkNotIdle(streamId, 'DATA');
    this.idleFrame();
    if (this.resetByUs.has(streamId)) return;
    throw new Http2Error(CODE.STREAM_CLOSED, 'DATA after the end', streamId);
  }

  private checkNotIdle(streamId: number, what: string): void {
    if (streamId !== 0 && streamId % 2 === 1 && streamId <= this.lastId) return;
    throw new Http2Error(CODE.PROTOCOL_ERROR, `${what} on stream ${streamId}, which is idle`);
  }

  /** The answer is complete: what the client may still want to send is of no use. */
  private finished(stream: Http2Stream): void {
    this.resets.earn(1);
    if (stream.remoteEnded) this.forget(stream);
    else this.reset(stream, CODE.NO_ERROR);
  }

  private resetId(streamId: number, code: number): void {
    this.sender.frame(rstStreamFrame(streamId, code));
    if (this.resetByUs.size >= REMEMBERED_RESETS) {
      for (const oldest of this.resetByUs) {
        this.resetByUs.delete(oldest);
        break;
      }
    }
    this.resetByUs.add(streamId);
  }

  private forget(stream: Http2Stream): void {
    if (stream.closed) return;
    stream.closed = true;
    this.open.delete(stream.id);
    this.sender.drop(stream);
    this.credit(stream.unconsumed);
    if (this.open.size === 0) this.onEmpty();
  }

  /** The connection's window may grow by as much as was dealt with. */
  private credit(bytes: number): void {
    this.uncredited += bytes;
    if (this.uncredited * 2 < this.options.limits.connectionWindowBytes) return;
    this.sender.frame(windowUpdateFrame(0, this.uncredited));
    this.receiveWindow += this.uncredited;
    this.uncredited = 0;
  }
}

/** The client has sent all, and as much as it said it would (RFC 9113, section 8.1.1). */
function endRemote(stream: Http2Stream): void {
  stream.remoteEnded = true;
  const { contentLength } = stream.head;
  if (contentLength === undefined || contentLength === stream.bodyBytes) return;
  const problem = `${stream.bodyBytes} bytes of body, content-length says ${contentLength}`;
  throw new Http2Error(CODE.PROTOCOL_ERROR, problem, stream.id);
}
