/** The gateway's end of the framed hop to one replica: many requests in flight on one Unix-socket connection. */
import { connect } from 'node:net';
import type { Call, Exchange, Forward, Reply } from '../../core/inference/forward.js';
import { AppError, asAppError } from '../../errors.js';
import {
  asResponseMeta,
  encodeMeta,
  FRAME_CANCEL,
  FRAME_REQUEST,
  FRAME_RESPONSE,
  type Frame,
  FrameReader,
  FrameWriter,
} from '../../protocol/frames.js';

export interface ReplicaConnection {
  readonly forward: Forward;
  /** Resolves when the connection is gone, whoever ended it; before any reply is rejected because of that. */
  readonly closed: Promise<void>;
  close(): void;
}

interface Pending {
  resolve(reply: Reply): void;
  reject(error: AppError): void;
}

/** Room in a frame for its head and meta beside the body. */
const FRAME_OVERHEAD_BYTES = 128 * 1024;

export function connectReplica(path: string, maxBodyBytes: number): Promise<ReplicaConnection> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    const refuse = (error: Error) =>
      reject(new AppError('upstream_failed', `cannot connect to the model server: ${error.message}`, { cause: error }));
    socket.once('error', refuse);
    socket.once('connect', () => {
      socket.off('error', refuse);
      const pending = new Map<number, Pending>();
      // a request alone on its way gains nothing by waiting for others; among many, one write for a whole turn is cheaper
      const writer = new FrameWriter(socket, (flush) => {
        if (pending.size <= 1) process.nextTick(flush);
        else setImmediate(flush);
      });
      const settle = (frame: Frame) => {
        const waiting = pending.get(frame.id);
        if (!waiting) return;
        // one that is no answer ends the connection, and this request with it
        const meta = asResponseMeta(frame.meta);
        pending.delete(frame.id);
        waiting.resolve({ status: meta.status, headers: meta.headers, body: frame.body });
      };
      // an answer that is too large is the matter of its own request, not of all others on the connection
      const refuseOversize = (id: number, type: number, bytes: number) => {
        if (type !== FRAME_RESPONSE) throw new AppError('upstream_failed', 'the model server sent what is no answer');
        const limit = `over the limit of ${maxBodyBytes} bytes`;
        pending.get(id)?.reject(new AppError('too_large', `the model's answer of ${bytes} bytes is ${limit}`));
        pending.delete(id);
      };
      const reader = new FrameReader(maxBodyBytes + FRAME_OVERHEAD_BYTES, settle, refuseOversize);
      socket.on('data', (chunk: Buffer) => {
        try {
          reader.push(chunk);
        } catch (error) {
          socket.destroy(asAppError(error));
        }
      });
      // the close that follows fails what is in flight
      socket.on('error', () => {});
      const closed = new Promise<void>((done) => {
        socket.on('close', () => {
          // first: who chooses among replicas hears of it before those whose requests fail ask for another one
          done();
          for (const waiting of pending.values())
            waiting.reject(new AppError('upstream_failed', 'the model server went away before it answered'));
          pending.clear();
        });
      });

      let lastId = 0;
      const metas = new Map<string, Buffer>();
      const forward: Forward = (call: Call): Exchange => {
        const id = nextFreeId();
        let fail: (error: AppError) => void = () => {};
        const reply = new Promise<Reply>((resolveReply, rejectReply) => {
          fail = rejectReply;
          if (socket.destroyed) {
            return void closed.then(() => rejectReply(new AppError('upstream_failed', 'the model server is gone')));
          }
          const meta = metaOf(call);
          pending.set(id, { resolve: resolveReply, reject: rejectReply });
          writer.write(id, FRAME_REQUEST, meta, call.body);
        });
        return {
          reply,
          cancel() {
            if (!pending.delete(id)) return;
            writer.write(id, FRAME_CANCEL, undefined);
            fail(new AppError('cancelled', 'the request was cancelled'));
          },
        };
      };

      function nextFreeId(): number {
        do lastId = (lastId + 1) >>> 0;
        while (pending.has(lastId));
        return lastId;
      }

      /** Most calls carry the same few headers; their encoded form is kept. */
      function metaOf(call: Call): Buffer {
        let key = `${call.method} ${call.path}`;
        for (const name in call.headers) key += `\n${name}:${call.headers[name]}`;
        let bytes = metas.get(key);
        if (!bytes) {
          bytes = encodeMeta({ method: call.method, path: call.path, headers: call.headers });
          if (metas.size >= 256) metas.clear();
          metas.set(key, bytes);
        }
        return bytes;
      }

      resolve({ forward, closed, close: () => socket.destroy() });
    });
  });
}
