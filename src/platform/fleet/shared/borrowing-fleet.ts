/** The fleet of a process that borrows its slots from the one that holds the replicas. */
import { connect, type Socket } from 'node:net';
import type { Fleet, RevisionStatus } from '../../../core/fleet.js';
import { type Forward, unsent } from '../../../core/inference/forward.js';
import type { LeaseWaiter, LeaseWish, PooledReplica, Waiting } from '../../../core/inference/pool.js';
import type { RevisionRoute } from '../../../core/inference/route.js';
import { AppError, asAppError } from '../../../errors.js';
import { FrameIds } from '../../../protocol/frame-ids.js';
import { readFrames } from '../../../protocol/frame-reader.js';
import { FrameWriter } from '../../../protocol/frame-writer.js';
import { asResponseMeta, FRAME_CANCEL, FRAME_REQUEST, FRAME_RESPONSE, type Frame } from '../../../protocol/frames.js';
import { type Grant, leaseMeta, readAnswer } from './lease-frames.js';
import { ReplicaLines } from './replica-lines.js';

/** What the process that holds the replicas tells when it is asked. */
export interface LenderNews {
  status(): Promise<RevisionStatus[]>;
  replicas(key: string): Promise<readonly Pick<PooledReplica, 'id' | 'slots' | 'address'>[]>;
}

const KEPT_METAS = 1000;

export class BorrowingFleet implements Fleet {
  private readonly places = new Map<number, Place>();
  private readonly lines = new ReplicaLines();
  private readonly metas = new Map<string, Buffer>();
  private readonly copyMetas = new Map<string, Buffer>();
  private readonly writer: FrameWriter;
  private readonly ids = new FrameIds();
  private gone = false;

  private constructor(
    private readonly socket: Socket,
    private readonly news: LenderNews,
  ) {
    this.writer = new FrameWriter(socket);
    readFrames(socket, (frame) => this.take(frame));
    socket.on('error', () => {});
    socket.on('close', () => {
      this.gone = true;
      const left = [...this.places.values()];
      this.places.clear();
      for (const place of left) place.refused(lenderGone());
    });
  }

  /** Connects to the lender's socket. */
  static open(path: string, news: LenderNews): Promise<BorrowingFleet> {
    return new Promise((resolve, reject) => {
      const socket = connect(path);
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.off('error', reject);
        resolve(new BorrowingFleet(socket, news));
      });
    });
  }

  // the lender follows the routing itself
  sync(): void {}
  forget(): void {}

  lease(revision: RevisionRoute, waiter: LeaseWaiter, wish?: LeaseWish): Waiting {
    if (this.gone) throw lenderGone();
    const id = this.ids.next(this.places);
    const place = new Place(this, { id, key: revision.key }, waiter);
    this.places.set(id, place);
    const copy = waiter.copy === true;
    const meta = wish ? leaseMeta(revision.key, copy, wish) : this.metaOf(revision.key, copy);
    this.writer.write({ id, type: FRAME_REQUEST, meta });
    return place;
  }

  /** Counted when it is asked for, which is when something failed. */
  inFlight({ key }: RevisionRoute): number {
    let count = 0;
    for (const { asked } of this.places.values()) if (asked.key === key) count++;
    return count;
  }

  status(): Promise<RevisionStatus[]> {
    return this.news.status();
  }

  async replicas({ key }: RevisionRoute): Promise<readonly PooledReplica[]> {
    const replicas = await this.news.replicas(key);
    return Promise.all(
      replicas.map(async ({ id, slots, address }) => ({ id, slots, address, forward: await this.lines.to(address) })),
    );
  }

  async close(): Promise<void> {
    this.socket.destroy();
    this.lines.close();
  }

  /** The way to a replica that was granted. */
  lineTo({ address }: Grant): Promise<Forward> | Forward {
    return this.lines.to(address);
  }

  /** Gives a slot back, or a place in the queue up. */
  giveBack(id: number, queuedMs?: number, blame?: boolean): void {
    this.places.delete(id);
    if (!this.gone) this.writer.write({ id, type: FRAME_CANCEL, timeMs: queuedMs, more: blame === true });
  }

  private take({ id, type, meta }: Frame): void {
    if (type !== FRAME_RESPONSE) throw new AppError('internal', `a frame of type ${type} about a slot`);
    const answer = readAnswer(asResponseMeta(meta));
    const place = this.places.get(id);
    // one that was given up meanwhile was given back with that
    if (!place) return;
    if (answer instanceof AppError) {
      this.giveBack(id);
      place.refused(answer);
    } else place.answered(answer);
  }

  private metaOf(key: string, copy: boolean): Buffer {
    const metas = copy ? this.copyMetas : this.metas;
    let meta = metas.get(key);
    if (!meta) {
      meta = leaseMeta(key, copy);
      if (metas.size >= KEPT_METAS) metas.clear();
      metas.set(key, meta);
    }
    return meta;
  }
}

/** A place in the lender's queue, and then the slot. */
class Place implements Waiting {
  private granted = false;
  private over = false;

  constructor(
    private readonly fleet: BorrowingFleet,
    readonly asked: { readonly id: number; readonly key: string },
    private readonly waiter: LeaseWaiter,
  ) {}

  answered(grant: Grant): void {
    const line = this.fleet.lineTo(grant);
    if (typeof line === 'function') this.take(grant, line);
    else {
      line.then(
        (forward) => this.take(grant, forward),
        // it went away since it was granted: as when it does with the request
        (error) => this.take(grant, refusing(asAppError(error))),
      );
    }
  }

  refused(error: AppError): void {
    if (this.over) return;
    this.over = true;
    if (!this.granted) this.waiter.refused(error);
  }

  cancel(): void {
    this.giveBack();
  }

  private take({ id, address }: Grant, forward: Forward): void {
    if (this.over) return;
    this.granted = true;
    const replica = { id, address, slots: 1, forward };
    this.waiter.granted({ replica, release: (queuedMs, blame) => this.giveBack(queuedMs, blame) });
  }

  private giveBack(queuedMs?: number, blame?: boolean): void {
    if (this.over) return;
    this.over = true;
    this.fleet.giveBack(this.asked.id, queuedMs, blame);
  }
}

function refusing(error: AppError): Forward {
  return (_, handler) => {
    queueMicrotask(() => handler.onError(unsent(error)));
    return { cancel() {}, pause() {}, resume() {} };
  };
}

function lenderGone(): AppError {
  return new AppError('not_ready', 'the process that holds the replicas is away', { retryAfterSec: 1 });
}
