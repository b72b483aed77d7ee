/** The framed hop's asking side: many calls in flight on one Unix-socket connection to a model server. */
import { connect, type Socket } from 'node:net';
import { type Call, type Exchange, type Forward, type ReplyHandler, unsent } from '../../core/inference/forward.js';
import { AppError } from '../../errors.js';
import { BodyCredit, type BodySender, creditOf, sendMessage } from '../../protocol/body-sender.js';
import { FrameIds } from '../../protocol/frame-ids.js';
import { readFrames } from '../../protocol/frame-reader.js';
import { FrameWriter } from '../../protocol/frame-writer.js';
import {
  asResponseMeta,
  encodeMeta,
  FRAME_BODY,
  FRAME_CANCEL,
  FRAME_REQUEST,
  FRAME_RESPONSE,
  FRAME_WINDOW,
  type Frame,
} from '../../protocol/frames.js';

export interface ReplicaConnection {
  readonly forward: Forward;
  /** Resolves when the connection is gone, whoever ended it; before any call is failed because of that. */
  readonly closed: Promise<void>;
  close(): void;
}

export function connectReplica(path: string): Promise<ReplicaConnection> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    const refuse = (error: Error) =>
      reject(new AppError('upstream_failed', `cannot connect to the model server: ${error.message}`, { cause: error }));
    socket.once('error', refuse);
    socket.once('connect', () => {
      socket.off('error', refuse);
      const hop = new Hop(socket);
      resolve({ forward: hop.forward, closed: hop.closed, close: () => socket.destroy() });
    });
  });
}

/** Encoded metas that are kept: most calls carry the same few headers. */
const KEPT_METAS = 256;

class Hop {
  readonly calls = new Map<number, HopCall>();
  readonly writer: FrameWriter;
  readonly closed: Promise<void>;
  private readonly ids = new FrameIds();
  private readonly metas = new Map<string, Buffer>();
  /** By headers that many calls share, then by path. */
  private readonly shared = new WeakMap<Call['headers'], Map<string, Buffer>>();

  constructor(private readonly socket: Socket) {
    this.writer = new FrameWriter(socket);
    readFrames(socket, (frame) => this.take(frame));
    // the close that follows fails what is in flight
    socket.on('error', () => {});
    this.closed = new Promise((done) => {
      socket.on('close', () => {
        // first: who chooses among replicas hears of it before those whose requests fail ask for another one
        done();
        void this.closed.then(() => {
          const left = [...this.calls.values()];
          this.calls.clear();
          for (const call of left) call.lost();
        });
      });
    });
  }

  readonly forward: Forward = (call, handler) => {
    const id = this.ids.next(this.calls);
    const exchange = new HopCall(this, id, handler);
    const meta = this.metaOf(call);
    this.calls.set(id, exchange);
    if (this.socket.destroyed) void this.closed.then(() => this.calls.delete(id) && exchange.lost(false));
    else exchange.send(call, meta);
    return exchange;
  };

  private take(frame: Frame): void {
    const call = this.calls.get(frame.id);
    // an answer to what was cancelled
    if (!call) return;
    if (frame.type === FRAME_RESPONSE) call.reply(frame);
    else if (frame.type === FRAME_BODY) call.data(frame);
    else if (frame.type === FRAME_WINDOW) call.sender?.credit(creditOf(frame.body));
    else throw new AppError('upstream_failed', 'the model server sent what is no answer');
  }

  private metaOf(call: Call): Buffer {
    if (!Object.isFrozen(call.headers)) return this.keptMeta(call);
    let byPath = this.shared.get(call.headers);
    if (!byPath) {
      byPath = new Map();
      this.shared.set(call.headers, byPath);
    }
    let bytes = byPath.get(call.path);
    if (!bytes) {
      bytes = this.keptMeta(call);
      if (byPath.size >= KEPT_METAS) byPath.clear();
      byPath.set(call.path, bytes);
    }
    return bytes;
  }

  private keptMeta(call: Call): Buffer {
    let key = `${call.method} ${call.path}`;
    for (const name in call.headers) key += `\n${name}:${call.headers[name]}`;
    let bytes = this.metas.get(key);
    if (!bytes) {
      bytes = encodeMeta({ method: call.method, path: call.path, headers: call.headers });
      if (this.metas.size >= KEPT_METAS) this.metas.clear();
      this.metas.set(key, bytes);
    }
    return bytes;
  }
}

/** One call on the hop. */
class HopCall implements Exchange {
  sender: BodySender | undefined;
  private credit: BodyCredit | undefined;
  private replied = false;
  private paused = false;
  /** Bytes that came while the reader was paused, and are credited when it goes on. */
  private heldBytes = 0;

  constructor(
    private readonly hop: Hop,
    private readonly id: number,
    private readonly handler: ReplyHandler,
  ) {}

  send({ body, rest, timeoutMs, trace }: Call, meta: Buffer): void {
    const head = { id: this.id, type: FRAME_REQUEST, meta, timeMs: timeoutMs, trace } as const;
    const sender = sendMessage(this.hop.writer, head, body, rest === undefined);
    this.sender = sender;
    if (!rest || !sender) return;
    sender.onDrain = () => rest.resume();
    rest.read({
      chunk: (bytes) => {
        if (!this.open) return;
        sender.push(bytes);
        if (sender.full) rest.pause();
      },
      end: () => {
        if (this.open) sender.end();
      },
      failed: (error) => {
        if (!this.open) return;
        this.drop();
        this.handler.onError(error);
      },
    });
  }

  reply({ meta, body, more, timeMs: queuedMs }: Frame): void {
    // one that is no answer ends the connection, and this call with it
    const { status, headers } = asResponseMeta(meta);
    if (this.replied) throw new AppError('upstream_failed', 'the model server answered twice');
    this.replied = true;
    if (more) {
      this.credit = new BodyCredit(this.hop.writer, this.id);
      this.credit.took(body.length);
    } else this.finish();
    this.handler.onReply({ status, headers, more, worked: true, queuedMs }, body);
  }

  data({ body, more }: Frame): void {
    if (!this.replied) throw new AppError('upstream_failed', 'the model server sent a body before its answer');
    if (this.paused) this.heldBytes += body.length;
    else this.credit?.took(body.length);
    if (!more) this.finish();
    if (body.length > 0) this.handler.onData(body);
    if (!more) this.handler.onEnd();
  }

  /** The connection is gone. */
  lost(sent = true): void {
    const error = new AppError('upstream_failed', 'the model server went away before it answered');
    this.handler.onError(sent ? error : unsent(error));
  }

  cancel(): void {
    if (this.open) this.drop();
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
    this.credit?.took(this.heldBytes);
    this.heldBytes = 0;
  }

  private get open(): boolean {
    return this.hop.calls.get(this.id) === this;
  }

  private drop(): void {
    this.hop.calls.delete(this.id);
    this.hop.writer.write({ id: this.id, type: FRAME_CANCEL });
  }

  /** The answer is whole; a body that is still being sent is of no use any more. */
  private finish(): void {
    if (this.sender && !this.sender.done) this.drop();
    else this.hop.calls.delete(this.id);
  }
}
