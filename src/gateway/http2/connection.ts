/**
 * The server's side of one HTTP/2 connection (RFC 9113), with what gRPC needs and no more: no push, no priorities, no
 * upgrade from HTTP/1.1. A client that breaks the protocol gets RST_STREAM or GOAWAY with the code that says how; one
 * that makes work for nothing gets ENHANCE_YOUR_CALM.
 */
import type { Socket } from 'node:net';
import { CODE, DEFAULT_WINDOW_BYTES, FLAG, FRAME, Http2Error, MAX_31_BITS } from './codes.js';
import { FrameReader, type FrameSink } from './frame-reader.js';
import { goawayFrame, pingFrame, settingsAckFrame, windowUpdateFrame } from './frame-writer.js';
import { blockWithin, checkDependency, checkLength, HeaderBlock } from './header-block.js';
import { HpackDecoder } from './hpack-decoder.js';
import { Sender } from './sender.js';
import { ourSettings, readSettings } from './settings.js';
import { Streams, type StreamsOptions } from './streams.js';

/** How often the connection is looked at for stalls, at most. */
const TICK_MS = 1000;
/** In how many looks a stall shows. */
const STALL_TICKS = 4;
/** How long a connection that was ended waits for the client to read the reason. */
const LINGER_MS = 1000;
/** The payload of the PING whose answer shows that the client has seen the first GOAWAY. */
const DRAIN_PING = Buffer.from('draining', 'latin1');

/** A payload within the bytes that it came in. */
interface Payload {
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
}

export class Http2Connection implements FrameSink {
  private readonly sender: Sender;
  private readonly streams: Streams;
  private readonly reader = new FrameReader(this);
  private readonly hpack: HpackDecoder;
  private readonly tickMs: number;
  private readonly stallTicks: number;
  private block: HeaderBlock | undefined;
  private greeted = false;
  private draining: 'no' | 'announced' | 'final' = 'no';
  private drainTicks = 0;
  private ended = false;
  private timer: NodeJS.Timeout | undefined;
  private linger: NodeJS.Timeout | undefined;
  private idle: NodeJS.Timeout | undefined;
  private unfinishedTicks = 0;
  private unsentTicks = 0;
  private sentBytes = 0;

  constructor(
    private readonly socket: Socket,
    private readonly options: StreamsOptions,
  ) {
    const { limits } = options;
    this.sender = new Sender(socket);
    this.streams = new Streams(this.sender, options, () => this.endWhenDrained());
    this.hpack = new HpackDecoder(limits.maxHeaderListBytes);
    this.tickMs = Math.min(TICK_MS, limits.stallMs / STALL_TICKS);
    this.stallTicks = Math.ceil(limits.stallMs / this.tickMs);
    socket.on('data', (chunk: Buffer) => this.read(chunk));
    socket.on('end', () => this.destroy());
    // the close that follows ends the streams
    socket.on('error', () => {});
    socket.on('close', () => this.close());
    this.sender.frame(ourSettings(limits));
    const more = limits.connectionWindowBytes - DEFAULT_WINDOW_BYTES;
    if (more > 0) this.sender.frame(windowUpdateFrame(0, more));
    this.watch();
    this.watchIdle();
    // whoever looked at its first bytes may have paused it
    socket.resume();
  }

  /** Requests that are not answered yet. */
  get openStreams(): number {
    return this.streams.size;
  }

  /** Takes bytes from the client. The socket's come by themselves; this is for what was read from it before. */
  read(chunk: Buffer): void {
    const { sender } = this;
    sender.held = true;
    try {
      this.reader.push(chunk);
    } catch (error) {
      this.fail(error);
    }
    sender.held = false;
    sender.flush();
    if (this.streams.size > 0 || this.reader.unfinished || this.block) this.watch();
  }

  /**
   * Tells the client to take its next calls elsewhere, finishes what is open, then closes. Streams that come before the
   * client can have heard of it are still served.
   */
  drain(): void {
    if (this.draining !== 'no' || this.ended) return;
    this.draining = 'announced';
    this.sender.frame(goawayFrame(MAX_31_BITS, CODE.NO_ERROR, 'the server is going away'));
    this.sender.frame(pingFrame(DRAIN_PING, false));
    this.watch();
  }

  /** Ends everything at once. */
  destroy(): void {
    this.socket.destroy();
    this.close();
  }

  frame(bytes: Buffer, start: number, end: number): void {
    const { type, streamId } = this.reader;
    if (this.block && (type !== FRAME.CONTINUATION || streamId !== this.block.streamId)) {
      throw new Http2Error(CODE.PROTOCOL_ERROR, `frame type ${type} of stream ${streamId} within a header block`);
    }
    if (!this.greeted && type !== FRAME.SETTINGS) {
      throw new Http2Error(CODE.PROTOCOL_ERROR, `frame type ${type} before SETTINGS`);
    }
    try {
      checkLength(type, end - start, streamId);
      if (type === FRAME.HEADERS) this.headers(bytes, start, end);
      else if (type === FRAME.WINDOW_UPDATE)
        this.streams.windowUpdate(streamId, bytes.readUInt32BE(start) & MAX_31_BITS);
      else if (type === FRAME.RST_STREAM) this.streams.rstStream(streamId);
      else if (type === FRAME.CONTINUATION) this.continuation(bytes, start, end);
      else this.rareFrame({ bytes, start, end });
    } catch (error) {
      this.failStream(error);
    }
  }

  data(piece: Buffer, counted: number, done: boolean): void {
    const { streamId, flags, padding } = this.reader;
    if (this.block || !this.greeted) throw new Http2Error(CODE.PROTOCOL_ERROR, 'DATA where none may be');
    const endStream = done && (flags & FLAG.END_STREAM) !== 0;
    try {
      this.streams.data(streamId, piece, { counted, padding: counted > 0 ? padding : 0, endStream });
    } catch (error) {
      this.failStream(error);
    }
  }

  private headers(bytes: Buffer, start: number, end: number): void {
    const { flags, streamId } = this.reader;
    if (streamId % 2 === 0) throw new Http2Error(CODE.PROTOCOL_ERROR, `HEADERS on stream ${streamId}`);
    const at = blockWithin({ bytes, start, end }, flags, streamId);
    const endStream = (flags & FLAG.END_STREAM) !== 0;
    if (flags & FLAG.END_HEADERS) {
      this.streams.headers(streamId, endStream, this.hpack.decode(bytes, at.start, at.end));
      return;
    }
    this.block = new HeaderBlock(streamId, endStream);
    this.block.add(bytes, at.start, at.end);
  }

  private continuation(bytes: Buffer, start: number, end: number): void {
    const { block } = this;
    if (!block) throw new Http2Error(CODE.PROTOCOL_ERROR, 'CONTINUATION without HEADERS');
    block.add(bytes, start, end);
    if (!(this.reader.flags & FLAG.END_HEADERS)) return;
    this.block = undefined;
    const whole = block.whole();
    this.streams.headers(block.streamId, block.endStream, this.hpack.decode(whole, 0, whole.length));
  }

  private rareFrame(payload: Payload): void {
    const { type, flags, streamId } = this.reader;
    this.streams.idleFrame();
    const ack = (flags & FLAG.ACK) !== 0;
    const ofConnection = type === FRAME.SETTINGS || type === FRAME.PING || type === FRAME.GOAWAY;
    if (ofConnection && streamId !== 0) {
      throw new Http2Error(CODE.PROTOCOL_ERROR, `frame type ${type} on stream ${streamId}`);
    }
    if (type === FRAME.SETTINGS) {
      this.settings(ack, payload);
    } else if (type === FRAME.PING) {
      this.ping(ack, payload);
    } else if (type === FRAME.PRIORITY) {
      if (streamId === 0) throw new Http2Error(CODE.PROTOCOL_ERROR, 'PRIORITY on stream 0');
      checkDependency(payload.bytes, payload.start, streamId);
    } else if (type === FRAME.PUSH_PROMISE) {
      throw new Http2Error(CODE.PROTOCOL_ERROR, 'PUSH_PROMISE from a client');
    }
    // a client's GOAWAY changes nothing for a server; types that are not known are extensions, and ignored
  }

  private settings(ack: boolean, { bytes, start, end }: Payload): void {
    if (ack) {
      if (end > start) throw new Http2Error(CODE.FRAME_SIZE_ERROR, 'an acknowledgement of SETTINGS with a payload');
      return;
    }
    this.greeted = true;
    const { initialWindowBytes, maxFrameBytes } = readSettings(bytes, start, end);
    // before anything that the new values let go
    this.sender.frame(settingsAckFrame());
    if (maxFrameBytes !== undefined) this.sender.maxFrameBytes = maxFrameBytes;
    if (initialWindowBytes !== undefined) this.streams.setInitialSendWindow(initialWindowBytes);
  }

  private ping(ack: boolean, { bytes, start, end }: Payload): void {
    const payload = bytes.subarray(start, end);
    if (!ack) this.sender.frame(pingFrame(payload, true));
    else if (this.draining === 'announced' && DRAIN_PING.equals(payload)) this.drainFinally();
  }

  /** The client has heard that we go, or had the time to: from here on no new stream. */
  private drainFinally(): void {
    this.draining = 'final';
    this.streams.refusing = true;
    this.sender.frame(goawayFrame(this.streams.lastId, CODE.NO_ERROR, 'the server is going away'));
    this.endWhenDrained();
  }

  private endWhenDrained(): void {
    if (this.draining === 'final' && this.streams.size === 0) this.end();
  }

  /** One stream's error resets it; any other ends the connection. */
  private failStream(error: unknown): void {
    if (!(error instanceof Http2Error) || error.streamId === undefined) throw error;
    this.streams.fail(error.streamId, error.code);
  }

  private fail(error: unknown): void {
    if (this.ended) return;
    const code = error instanceof Http2Error ? error.code : CODE.INTERNAL_ERROR;
    const message = error instanceof Http2Error ? error.message : 'internal error';
    this.sender.frame(goawayFrame(this.streams.lastId, code, message));
    this.end();
    this.streams.closeAll();
    if (!(error instanceof Http2Error)) this.options.onFault(error);
  }

  /** Sends what is left, and gives the client a moment to read it. */
  private end(): void {
    if (this.ended) return;
    this.ended = true;
    this.reader.stopped = true;
    this.sender.flush();
    this.socket.end();
    // unread bytes would make the kernel reset the connection before the client has read why: they go on being read
    this.linger = setTimeout(() => this.socket.destroy(), LINGER_MS);
    this.linger.unref();
  }

  private close(): void {
    this.ended = true;
    this.reader.stopped = true;
    clearInterval(this.timer);
    clearTimeout(this.linger);
    clearTimeout(this.idle);
    this.timer = undefined;
    this.streams.closeAll();
  }

  /** Looks at the connection now and then, for as long as anything is under way. */
  private watch(): void {
    if (this.timer !== undefined || this.ended) return;
    this.timer = setInterval(() => this.tick(), this.tickMs);
    this.timer.unref();
  }

  /** Drains the connection when between two looks, `idleMs` apart, there was no request. Costs the requests nothing. */
  private watchIdle(): void {
    const { lastId } = this.streams;
    this.idle = setTimeout(() => {
      if (this.streams.size === 0 && this.streams.lastId === lastId) this.drain();
      else this.watchIdle();
    }, this.options.limits.idleMs);
    this.idle.unref();
  }

  private tick(): void {
    const { sender, reader, streams, stallTicks } = this;
    streams.tick(stallTicks);
    const unfinished = reader.unfinished || this.block !== undefined || !this.greeted;
    this.unfinishedTicks = unfinished ? this.unfinishedTicks + 1 : 0;
    const { sentBytes, unsentBytes } = sender;
    this.unsentTicks = unsentBytes > 0 && sentBytes === this.sentBytes ? this.unsentTicks + 1 : 0;
    this.sentBytes = sentBytes;
    if (this.draining === 'announced' && ++this.drainTicks > 1) this.drainFinally();
    if (this.unsentTicks > stallTicks) this.destroy();
    else if (this.unfinishedTicks > stallTicks) this.destroy();
    if (streams.size > 0 || unfinished || unsentBytes > 0 || this.draining === 'announced') return;
    clearInterval(this.timer);
    this.timer = undefined;
  }
}
