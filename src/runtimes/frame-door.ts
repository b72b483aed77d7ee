import { chmod, lstat, unlink } from 'node:fs/promises';
import net from 'node:net';
import { AppError, messageOf } from '../errors.js';
import type { Log } from '../log.js';
import { BodyCredit, type BodySender, creditOf, sendMessage } from '../protocol/body-sender.js';
import { JSON_HEADERS } from '../protocol/codecs/codec.js';
import { readFrames } from '../protocol/frame-reader.js';
import { FrameWriter } from '../protocol/frame-writer.js';
import {
  asRequestMeta,
  CHUNK_BYTES,
  encodeMeta,
  FRAME_BODY,
  FRAME_CANCEL,
  FRAME_REQUEST,
  FRAME_RESPONSE,
  FRAME_WINDOW,
  type Frame,
  type ResponseMeta,
} from '../protocol/frames.js';
import { failure, type RuntimeResponse } from './message.js';
import type { ModelServer } from './server.js';

/** Unsent answers beyond which a connection's requests are no longer read, and below which they are again. */
const PAUSE_BYTES = 8 * 1024 * 1024;
/** The longest path that a Unix socket's address holds on Linux; macOS has 103. */
const MAX_SOCKET_PATH = 107;

const JSON_OK = encodeMeta({ status: 200, headers: JSON_HEADERS });
const NO_HEADERS = Object.freeze({});

/** A listener that can be told to take no more. */
export interface Door {
  /** Stops listening; connections that exist go on. */
  close(): void;
  /** Ends every connection after what was written to it has left. */
  endConnections(): void;
}

/** Answers frames on a Unix socket that only this user may connect to. A socket left by a dead process is replaced. */
export async function openFrameDoor(server: ModelServer, path: string, maxBodyBytes: number, log: Log): Promise<Door> {
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH) {
    throw new AppError('invalid', `--socket is ${Buffer.byteLength(path)} bytes long, at most ${MAX_SOCKET_PATH} work`);
  }
  await removeStale(path);
  const sockets = new Map<net.Socket, FrameWriter>();
  const listener = net.createServer((socket) => {
    // the answers of one turn of inferences come in one go, and another look at the sockets would only delay them
    const writer = new FrameWriter(socket, process.nextTick);
    sockets.set(socket, writer);
    socket.on('close', () => sockets.delete(socket));
    new FrameConnection(server, socket, writer, maxBodyBytes).serve(log);
  });
  await new Promise<void>((resolve, reject) => {
    listener.once('error', reject);
    // from the moment it exists nobody else may connect; chmod alone would leave a gap
    const before = process.umask(0o177);
    listener.listen(path, resolve);
    process.umask(before);
  });
  await chmod(path, 0o600);
  return {
    close: () => void listener.close(),
    endConnections: () => {
      for (const [socket, writer] of sockets) {
        writer.flush();
        socket.end();
      }
    },
  };
}

/** A request on its way in, through the server, or out. */
interface Pending {
  readonly signal: { aborted: boolean };
  /** What came of a body in pieces; undefined once the request is the server's. */
  arriving:
    | { readonly first: Frame; readonly chunks: Buffer[]; bytes: number; readonly credit: BodyCredit }
    | undefined;
  /** The rest of an answer in pieces. */
  leaving: BodySender | undefined;
}

class FrameConnection {
  private readonly pending = new Map<number, Pending>();
  private paused = false;

  constructor(
    private readonly server: ModelServer,
    private readonly socket: net.Socket,
    private readonly writer: FrameWriter,
    private readonly maxBodyBytes: number,
  ) {}

  serve(log: Log): void {
    const { socket } = this;
    readFrames(
      socket,
      (frame) => this.take(frame),
      (error) => log.warn('a connection sent what is no frame', { error: messageOf(error) }),
    );
    socket.on('error', (error) => log.debug('a connection failed', { error: error.message }));
    const abandon = () => {
      for (const { signal } of this.pending.values()) signal.aborted = true;
      this.pending.clear();
    };
    // 'end' is known a phase of the event loop before 'close', just before an inference would start
    socket.on('end', abandon);
    socket.on('close', abandon);
  }

  private take(frame: Frame): void {
    const { id, type } = frame;
    if (type === FRAME_REQUEST) {
      if (this.pending.has(id)) throw new AppError('invalid', `a request of id ${id} is already in flight`);
      this.request(frame);
      return;
    }
    const pending = this.pending.get(id);
    // of a request that was answered or refused already
    if (!pending) return;
    if (type === FRAME_BODY) this.more(frame, pending);
    else if (type === FRAME_WINDOW) this.credit(frame, pending);
    else if (type === FRAME_CANCEL) {
      pending.signal.aborted = true;
      this.pending.delete(id);
    }
  }

  private request(frame: Frame): void {
    const { id, body, more } = frame;
    const pending: Pending = { signal: { aborted: false }, arriving: undefined, leaving: undefined };
    this.pending.set(id, pending);
    if (body.length > this.maxBodyBytes) this.respond(id, pending, failure(tooLarge(body.length, this.maxBodyBytes)));
    else if (!more) this.handle(frame, body, pending);
    else {
      const credit = new BodyCredit(this.writer, id);
      credit.took(body.length);
      pending.arriving = { first: frame, chunks: [body], bytes: body.length, credit };
    }
  }

  private more({ id, body, more }: Frame, pending: Pending): void {
    const { arriving } = pending;
    if (!arriving) return;
    arriving.bytes += body.length;
    if (arriving.bytes > this.maxBodyBytes) {
      // what still comes is passed over: the other side stops when it hears this
      this.respond(id, pending, failure(tooLarge(arriving.bytes, this.maxBodyBytes)));
      return;
    }
    arriving.chunks.push(body);
    arriving.credit.took(body.length);
    if (more) return;
    pending.arriving = undefined;
    this.handle(arriving.first, Buffer.concat(arriving.chunks, arriving.bytes), pending);
  }

  private handle({ id, meta, timeMs: timeoutMs }: Frame, body: Buffer, pending: Pending): void {
    const { method, path, headers = NO_HEADERS } = asRequestMeta(meta);
    const deadline = timeoutMs === undefined ? undefined : performance.now() + timeoutMs;
    this.server.handle({ method, path, headers, body, signal: pending.signal, deadline }, (response) =>
      this.respond(id, pending, response),
    );
  }

  private respond(id: number, pending: Pending, response: RuntimeResponse): void {
    if (pending.signal.aborted) return;
    const { body, queuedMs } = response;
    const meta = metaOf(response);
    // less than a millisecond is no queue
    const timeMs = queuedMs === undefined || queuedMs < 1 ? undefined : queuedMs;
    pending.leaving = sendMessage(this.writer, { id, type: FRAME_RESPONSE, meta, timeMs }, body);
    if (!pending.leaving || pending.leaving.done) this.pending.delete(id);
    if (this.paused || this.writer.bufferedBytes < PAUSE_BYTES) return;
    this.paused = true;
    this.socket.pause();
    void this.writer.drained(PAUSE_BYTES / 2).then(() => {
      this.paused = false;
      this.socket.resume();
    });
  }

  private credit({ id, body }: Frame, { leaving }: Pending): void {
    leaving?.credit(creditOf(body));
    if (leaving?.done) this.pending.delete(id);
  }
}

/** An answer in pieces says how long it will be, since its first frame does not. */
function metaOf({ status, headers, body }: RuntimeResponse): Buffer | ResponseMeta {
  if (body.length > CHUNK_BYTES) return { status, headers: { ...headers, 'content-length': String(body.length) } };
  return status === 200 && headers === JSON_HEADERS ? JSON_OK : { status, headers };
}

/** The error for a body beyond the limit. */
export function tooLarge(bytes: number, maxBodyBytes: number): AppError {
  return new AppError('too_large', `the body of ${bytes} bytes or more is over the limit of ${maxBodyBytes} bytes`, {
    details: { bytes, maxBodyBytes },
  });
}

async function removeStale(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (!found) return;
  if (!found.isSocket()) throw new AppError('conflict', `--socket ${path} exists and is not a socket`);
  const alive = await new Promise<boolean>((resolve) => {
    const probe = net.connect(path, () => {
      probe.destroy();
      resolve(true);
    });
    probe.on('error', () => resolve(false));
  });
  if (alive) throw new AppError('conflict', `--socket ${path} is in use by another process`);
  await unlink(path);
}
