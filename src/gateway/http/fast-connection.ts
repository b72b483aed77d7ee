/**
 * HTTP/1.1 for the common prediction, on the socket itself: a whole head in one piece, a body of known and moderate length,
 * one request at a time. It costs about half of what Node's server does, which takes the connection over, for good, at the
 * first request that is anything else.
 */
import type { Socket } from 'node:net';
import type { BodyStream } from '../../core/inference/forward.js';
import { AppError } from '../../errors.js';
import { PREFACE, startsHttp2 } from '../http2/frame-reader.js';
import { type AnswerHead, type ExchangeOwner, type HttpExchange, nothing } from './exchange.js';
import { HEAD_END, MAX_HEAD_BYTES, type RequestHead, readHead } from './request-head.js';
import { responseHead } from './response-head.js';

export interface FastOptions {
  /** Whether a request of this path is for the data plane. */
  takes(url: string): boolean;
  /** Takes a request whose head is there, and its body. */
  onExchange(exchange: HttpExchange): void;
  /** Takes the socket over, with what was read of it put back. */
  handOver(socket: Socket): void;
  /** Takes the socket over, with what was read of it: it begins as HTTP/2 does. */
  speaksHttp2(socket: Socket, firstBytes: Buffer): void;
  /** Larger bodies are streamed, which is for the other server. */
  readonly maxBodyBytes: number;
  /** How long a body may take to come, in milliseconds. */
  readonly bodyTimeoutMs: number;
}

/** What a client may send ahead, while its last request is being answered, before it is not read any more. */
const MAX_AHEAD_BYTES = 64 * 1024;
/** Answers up to this size leave in one piece with their head. */
const JOIN_BYTES = 32 * 1024;
/** The second letter of HTTP/2's preface; no method of HTTP/1 that is in use has it after a P. */
const SECOND_OF_HTTP2 = PREFACE[1];
const NO_BYTES = Buffer.alloc(0);

/** A body that has not come whole. */
interface Arriving {
  readonly head: RequestHead;
  readonly chunks: Buffer[];
  bytes: number;
  readonly timer: NodeJS.Timeout;
}

export class FastConnection {
  private exchange: FastExchange | undefined;
  private arriving: Arriving | undefined;
  /** What came behind the request that is being answered. */
  private ahead: Buffer = NO_BYTES;
  /** So little that it may be HTTP/1 or HTTP/2. */
  private beginning: Buffer | undefined;
  private closing = false;

  constructor(
    private readonly socket: Socket,
    private readonly options: FastOptions,
  ) {
    socket.on('data', this.onData);
    socket.on('end', this.onEnd);
    socket.on('close', this.onClose);
    socket.on('error', nothing);
    socket.on('drain', this.onDrain);
  }

  /** The next answer, or the one under way, is the last, and says so. */
  part(): void {
    this.closing = true;
  }

  /** Ends the connection: at once when it is idle, else with the answer to what is under way or coming in. */
  close(): void {
    this.closing = true;
    if (!this.exchange && !this.arriving) this.socket.destroySoon();
  }

  /** Ends the connection at once. */
  cut(): void {
    this.socket.destroy();
  }

  /** The answer is written. */
  answered(): void {
    this.exchange = undefined;
    if (this.closing) this.socket.destroySoon();
    // not within the call that answered: it may be deep in another request's doing
    else if (this.ahead.length > 0) setImmediate(this.goOn);
    else if (this.socket.isPaused()) this.socket.resume();
  }

  /** Whether an answer must say that it is the last one. */
  get last(): boolean {
    return this.closing;
  }

  private readonly onData = (chunk: Buffer): void => {
    if (this.exchange || this.ahead.length > 0) {
      this.ahead = this.ahead.length === 0 ? chunk : Buffer.concat([this.ahead, chunk]);
      if (this.ahead.length > MAX_AHEAD_BYTES) this.socket.pause();
    } else if (this.arriving) this.continueBody(this.arriving, chunk);
    else if (this.beginning) {
      const first = Buffer.concat([this.beginning, chunk]);
      this.beginning = undefined;
      this.begin(first);
    } else this.begin(chunk);
  };

  private readonly goOn = (): void => {
    if (this.exchange || this.socket.destroyed) return;
    // who does not read answers is not given more of them
    if (this.socket.writableNeedDrain) return;
    const chunk = this.ahead;
    this.ahead = NO_BYTES;
    if (this.socket.isPaused()) this.socket.resume();
    if (chunk.length > 0) this.begin(chunk);
  };

  private begin(chunk: Buffer): void {
    if (chunk[1] === SECOND_OF_HTTP2 || chunk.length < 2) {
      const http2 = startsHttp2(chunk);
      if (http2 === undefined) {
        this.beginning = chunk;
        return;
      }
      if (http2) {
        this.release();
        this.options.speaksHttp2(this.socket, chunk);
        return;
      }
    }
    const end = chunk.indexOf(HEAD_END);
    if (end === -1 || end > MAX_HEAD_BYTES) {
      this.leave(chunk);
      return;
    }
    const head = readHead(chunk.toString('latin1', 0, end));
    if (!head || head.contentLength > this.options.maxBodyBytes || !this.options.takes(head.url)) {
      this.leave(chunk);
      return;
    }
    const bodyAt = end + HEAD_END.length;
    const whole = bodyAt + head.contentLength;
    if (chunk.length >= whole) {
      if (chunk.length > whole) this.ahead = chunk.subarray(whole);
      this.take(head, chunk.subarray(bodyAt, whole));
      return;
    }
    const first = chunk.subarray(bodyAt);
    const timer = setTimeout(() => this.late(head), this.options.bodyTimeoutMs);
    this.arriving = { head, chunks: [first], bytes: first.length, timer };
  }

  private continueBody(arriving: Arriving, chunk: Buffer): void {
    const missing = arriving.head.contentLength - arriving.bytes;
    arriving.chunks.push(chunk.length > missing ? chunk.subarray(0, missing) : chunk);
    arriving.bytes += Math.min(chunk.length, missing);
    if (chunk.length < missing) return;
    if (chunk.length > missing) this.ahead = chunk.subarray(missing);
    clearTimeout(arriving.timer);
    this.arriving = undefined;
    this.take(arriving.head, Buffer.concat(arriving.chunks, arriving.bytes));
  }

  private take(head: RequestHead, body: Buffer): void {
    const exchange = new FastExchange(this, this.socket, head, body);
    this.exchange = exchange;
    this.options.onExchange(exchange);
  }

  /** The body did not come in time: the request is answered without it, and the connection ends. */
  private late(head: RequestHead): void {
    this.arriving = undefined;
    this.closing = true;
    const exchange = new FastExchange(this, this.socket, head, undefined);
    this.exchange = exchange;
    this.options.onExchange(exchange);
  }

  /** Leaves the connection to the server that knows all of HTTP. */
  private leave(chunk: Buffer): void {
    const { socket } = this;
    this.release();
    socket.pause();
    socket.unshift(chunk);
    this.options.handOver(socket);
  }

  /** The connection is somebody else's from now on. */
  private release(): void {
    const { socket } = this;
    socket.off('data', this.onData);
    socket.off('end', this.onEnd);
    socket.off('close', this.onClose);
    socket.off('error', nothing);
    socket.off('drain', this.onDrain);
  }

  private readonly onEnd = (): void => {
    // who sends no more waits for no answer
    this.gone();
    this.socket.destroySoon();
  };

  private readonly onClose = (): void => this.gone();

  private gone(): void {
    if (this.arriving) clearTimeout(this.arriving.timer);
    this.arriving = undefined;
    const { exchange } = this;
    this.exchange = undefined;
    exchange?.gone();
  }

  private readonly onDrain = (): void => {
    if (this.exchange) this.exchange.owner?.drained();
    else this.goOn();
  };
}

class FastExchange implements HttpExchange {
  owner: ExchangeOwner | undefined;
  private over = false;
  private chunked = true;

  constructor(
    private readonly connection: FastConnection,
    private readonly socket: Socket,
    private readonly head: RequestHead,
    readonly body: Buffer | undefined,
  ) {}

  get method(): string {
    return this.head.method;
  }

  get url(): string {
    return this.head.url;
  }

  get bodyBytes(): number {
    return this.head.contentLength;
  }

  header(name: string): string | undefined {
    const at = this.head.names.indexOf(name);
    return at === -1 ? undefined : this.head.values[at];
  }

  /** A body that is not there did not come in time. */
  readBody(): BodyStream {
    const read: BodyStream['read'] = (sink) =>
      sink.failed(new AppError('timeout', `the body of ${this.bodyBytes} bytes did not come in time`));
    return { read, pause: nothing, resume: nothing };
  }

  reply(answer: AnswerHead, body: Buffer): void {
    if (this.over) return;
    this.over = true;
    const head = responseHead(answer, { bodyBytes: body.length, last: this.connection.last });
    if (body.length <= JOIN_BYTES) {
      const bytes = Buffer.allocUnsafe(head.length + body.length);
      bytes.write(head, 0, 'latin1');
      bytes.set(body, head.length);
      this.socket.write(bytes);
    } else {
      this.socket.cork();
      this.socket.write(head, 'latin1');
      this.socket.write(body);
      this.socket.uncork();
    }
    this.connection.answered();
  }

  begin(answer: AnswerHead): void {
    if (this.over) return;
    this.chunked = answer.headers['content-length'] === undefined;
    const head = responseHead(answer, { bodyBytes: undefined, last: this.connection.last });
    this.socket.write(head, 'latin1');
  }

  send(chunk: Buffer): boolean {
    if (this.over || chunk.length === 0) return true;
    if (!this.chunked) return this.socket.write(chunk);
    this.socket.cork();
    this.socket.write(`${chunk.length.toString(16)}\r\n`, 'latin1');
    this.socket.write(chunk);
    const more = this.socket.write('\r\n', 'latin1');
    this.socket.uncork();
    return more;
  }

  finish(): void {
    if (this.over) return;
    this.over = true;
    if (this.chunked) this.socket.write('0\r\n\r\n', 'latin1');
    this.connection.answered();
  }

  abort(): void {
    this.over = true;
    this.socket.destroy();
  }

  /** The client is gone. */
  gone(): void {
    if (this.over) return;
    this.over = true;
    this.owner?.gone();
  }
}
