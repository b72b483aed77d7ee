import { chmod, lstat, unlink } from 'node:fs/promises';
import net from 'node:net';
import { AppError, messageOf } from '../errors.js';
import type { Log } from '../log.js';
import {
  asRequestMeta,
  encodeMeta,
  FRAME_CANCEL,
  FRAME_REQUEST,
  FRAME_RESPONSE,
  type Frame,
  FrameReader,
  FrameWriter,
} from '../protocol/frames.js';
import { failure, JSON_HEADERS, type RuntimeResponse } from './message.js';
import type { ModelServer } from './server.js';

/** What a frame may hold besides its body. */
const FRAME_OVERHEAD_BYTES = 12 + 0xffff;
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
    serve(server, socket, writer, maxBodyBytes, log);
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

function serve(server: ModelServer, socket: net.Socket, writer: FrameWriter, maxBodyBytes: number, log: Log): void {
  const inFlight = new Map<number, { aborted: boolean }>();
  let paused = false;
  const respond = (id: number, response: RuntimeResponse) => {
    const { status, headers, body } = response;
    writer.write(id, FRAME_RESPONSE, status === 200 && headers === JSON_HEADERS ? JSON_OK : { status, headers }, body);
    if (paused || writer.bufferedBytes < PAUSE_BYTES) return;
    paused = true;
    socket.pause();
    void writer.drained(PAUSE_BYTES / 2).then(() => {
      paused = false;
      socket.resume();
    });
  };
  const request = ({ id, meta, body }: Frame) => {
    const signal = { aborted: false };
    try {
      const { method, path, headers = NO_HEADERS } = asRequestMeta(meta);
      if (inFlight.has(id)) throw new AppError('invalid', `a request of id ${id} is already in flight`);
      inFlight.set(id, signal);
      server.handle({ method, path, headers, body, signal }, (response) => {
        inFlight.delete(id);
        if (!signal.aborted) respond(id, response);
      });
    } catch (error) {
      respond(id, failure(error));
    }
  };
  const cancel = (id: number) => {
    const signal = inFlight.get(id);
    if (signal) signal.aborted = true;
  };
  const reader = new FrameReader(
    maxBodyBytes + FRAME_OVERHEAD_BYTES,
    (frame) => {
      if (frame.type === FRAME_REQUEST) request(frame);
      else if (frame.type === FRAME_CANCEL) cancel(frame.id);
    },
    (id, type, frameBytes) => {
      if (type === FRAME_REQUEST) respond(id, failure(tooLarge(frameBytes, maxBodyBytes)));
    },
  );
  socket.on('data', (chunk) => {
    try {
      reader.push(chunk);
    } catch (error) {
      log.warn('a connection sent what is no frame', { error: messageOf(error) });
      socket.destroy();
    }
  });
  socket.on('error', (error) => log.debug('a connection failed', { error: error.message }));
  const abandon = () => {
    for (const signal of inFlight.values()) signal.aborted = true;
  };
  // 'end' is known a phase of the event loop before 'close', just before an inference would start
  socket.on('end', abandon);
  socket.on('close', abandon);
}

/** The error for a body beyond the limit. */
export function tooLarge(bytes: number, maxBodyBytes: number): AppError {
  return new AppError('too_large', `the body of ${bytes} bytes is over the limit of ${maxBodyBytes} bytes`, {
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
