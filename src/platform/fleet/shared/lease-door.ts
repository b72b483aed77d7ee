/** Shares a fleet's slots out to other processes of the gateway. */
import { chmod, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import type { Fleet } from '../../../core/fleet.js';
import type { Lease, LeaseWaiter, LeaseWish, PooledReplica, Waiting } from '../../../core/inference/pool.js';
import type { RevisionRoute } from '../../../core/inference/route.js';
import { AppError, asAppError, messageOf } from '../../../errors.js';
import type { Log } from '../../../log.js';
import { readFrames } from '../../../protocol/frame-reader.js';
import { FrameWriter } from '../../../protocol/frame-writer.js';
import { asRequestMeta, FRAME_CANCEL, FRAME_REQUEST, FRAME_RESPONSE, type Frame } from '../../../protocol/frames.js';
import { grantMeta, readLease, refusalMeta } from './lease-frames.js';

export interface LeaseDoorOptions {
  readonly fleet: Fleet;
  /** Finds a revision by its key; undefined where there is none. */
  find(key: string): RevisionRoute | undefined | Promise<RevisionRoute | undefined>;
  readonly log: Log;
}

export interface LeaseDoor {
  close(): Promise<void>;
}

/** Listens on a Unix socket that only this user may connect to. What a process held that is gone is given back. */
export async function openLeaseDoor(path: string, options: LeaseDoorOptions): Promise<LeaseDoor> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    new Borrower(socket, options).serve();
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  });
  await chmod(path, 0o600);
  return {
    async close() {
      server.close();
      for (const socket of sockets) socket.destroy();
      await rm(path, { force: true });
    },
  };
}

/** One process that borrows. */
class Borrower {
  private readonly borrowed = new Map<number, Borrowed>();
  readonly writer: FrameWriter;

  constructor(
    private readonly socket: Socket,
    private readonly options: LeaseDoorOptions,
  ) {
    this.writer = new FrameWriter(socket);
  }

  serve(): void {
    const { socket, options } = this;
    readFrames(
      socket,
      (frame) => this.take(frame),
      (error) => options.log.error('a process of the gateway asked for what is no slot', { error: messageOf(error) }),
    );
    socket.on('error', () => {});
    socket.on('close', () => {
      for (const one of this.borrowed.values()) one.giveBack();
      this.borrowed.clear();
    });
  }

  private take({ id, type, meta, timeMs, more }: Frame): void {
    if (type === FRAME_CANCEL) {
      this.borrowed.get(id)?.giveBack(timeMs, more);
      this.borrowed.delete(id);
      return;
    }
    if (type !== FRAME_REQUEST) throw new AppError('invalid', `a frame of type ${type}`);
    const { key, copy, wish } = readLease(asRequestMeta(meta));
    const one = new Borrowed(this.options.fleet, { id, wish }, this.writer, copy);
    this.borrowed.set(id, one);
    const found = this.options.find(key);
    if (found instanceof Promise)
      found.then((route) => one.ask(key, route)).catch((error) => one.refused(asAppError(error)));
    else one.ask(key, found);
  }
}

/** Frames of grants by replica: a replica grants many slots. */
const grants = new WeakMap<PooledReplica, Buffer>();

/** A slot that is lent, or a place in the queue for one. */
class Borrowed implements LeaseWaiter {
  private waiting: Waiting | undefined;
  private lease: Lease | undefined;
  private over = false;

  constructor(
    private readonly fleet: Fleet,
    private readonly asked: { readonly id: number; readonly wish: LeaseWish | undefined },
    private readonly writer: FrameWriter,
    readonly copy: boolean,
  ) {}

  ask(key: string, route: RevisionRoute | undefined): void {
    if (this.over) return;
    try {
      if (!route) throw new AppError('not_ready', `revision ${key} is not known yet`, { retryAfterSec: 1 });
      const got = this.fleet.lease(route, this, this.asked.wish);
      if ('replica' in got) this.granted(got);
      else this.waiting = got;
    } catch (error) {
      this.refused(asAppError(error));
    }
  }

  granted(lease: Lease): void {
    this.waiting = undefined;
    this.lease = lease;
    const { replica } = lease;
    let meta = grants.get(replica);
    if (!meta) {
      meta = grantMeta(replica);
      grants.set(replica, meta);
    }
    this.writer.write({ id: this.asked.id, type: FRAME_RESPONSE, meta });
  }

  refused(error: AppError): void {
    if (this.over) return;
    this.writer.write({ id: this.asked.id, type: FRAME_RESPONSE, meta: refusalMeta(error) });
  }

  giveBack(queuedMs?: number, blame?: boolean): void {
    if (this.over) return;
    this.over = true;
    this.waiting?.cancel();
    this.lease?.release(queuedMs, blame);
  }
}
