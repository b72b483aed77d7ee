/**
 * The replicas of one revision and the requests that want them: exact concurrency slots, least-loaded choice, and a
 * bounded queue that hands a slot over the moment one is free. A request is counted from its arrival to its release,
 * waiting included; that count is what the autoscaler sees.
 */
import { AppError } from '../../errors.js';
import type { Answered } from './admission.js';
import type { Forward } from './forward.js';
import { type Conduct, failed, newConduct } from './outliers.js';
import type { OutlierSettings } from './resilience.js';

/** Where a replica takes requests: frames on a Unix socket, or HTTP. */
export type ReplicaAddress =
  | { readonly kind: 'socket'; readonly path: string }
  | {
      readonly kind: 'http';
      readonly url: string;
      /** The name to ask for, where `url` is an ingress that many share. */
      readonly host?: string | undefined;
      readonly maxConnections: number;
      /** Of an address behind a cluster's ingress: whether our own model server is there, or somebody else's. */
      readonly ingress?: 'runtime' | 'server' | undefined;
    };

export interface PooledReplica {
  readonly id: string;
  /** Requests it takes at once. */
  readonly slots: number;
  readonly address: ReplicaAddress;
  readonly forward: Forward;
}

/** A slot on a ready replica. Release it exactly once. */
export interface Lease {
  readonly replica: PooledReplica;
  /**
   * `queuedMs`: of an answered request, how long it waited in the replica. Undefined where there was no answer. `blame`:
   * the replica failed, by its answer or by giving none.
   */
  release(queuedMs?: number, blame?: boolean): void;
}

/** Which replica is asked for. Without one, it is the next that is free. */
export interface LeaseWish {
  /** Another one than this, where there is another one. */
  readonly avoid: string;
  /** Another one for sure, and at once: refused where none has a slot now. */
  readonly atOnce: boolean;
}

/** Who asks for a slot. Hears of one it had to wait for, or why there is none; one of the two, once. */
export interface LeaseWaiter {
  /** It is a copy of a request: whoever waits for an answer comes first, and is not refused because of it. */
  readonly copy?: boolean | undefined;
  granted(lease: Lease): void;
  refused(error: AppError): void;
}

/** A place in the queue. */
export interface Waiting {
  /** Gives the place up; the waiter hears nothing more. */
  cancel(): void;
}

export interface PoolOptions {
  /** Most requests that wait; one more is refused at once. */
  readonly queueLimit: number;
  readonly queueTimeoutMs: number;
  /** Told of every arrival (+1) and departure (-1). */
  onDemand(change: 1 | -1): void;
  /** Told of every answer: when its request came, how long it waited, here and in the replica, and how long it took then. */
  onAnswer?(answered: Answered): void;
  /** What to say when the wait was too long: why there is no replica, if that is known. */
  explain(): string;
  /** When replicas that only fail are left out; absent: never. */
  outliers?(): OutlierSettings;
  /** Told when one is left out (`forMs`), and when it takes requests again. */
  onEjection?(id: string, forMs: number | undefined): void;
}

interface Member {
  readonly replica: PooledReplica;
  busy: number;
  draining: { readonly done: Promise<void>; end(): void } | undefined;
  readonly conduct: Conduct;
  /** While it is left out: when it comes back. */
  ejected: NodeJS.Timeout | undefined;
}

interface Place {
  readonly waiter: LeaseWaiter;
  /** The queue that it stands in. */
  readonly queue: Set<Place>;
  readonly since: number;
  readonly timer: NodeJS.Timeout;
  readonly avoid: string | undefined;
}

export class ReplicaPool {
  private readonly members = new Map<string, Member>();
  /** In order of arrival; a Set, so that one who leaves from the middle costs nothing. */
  private readonly places = new Set<Place>();
  /** Copies that wait: for what nobody else waits for. */
  private readonly copies = new Set<Place>();
  private demand = 0;
  private copied = 0;

  constructor(private readonly options: PoolOptions) {}

  /** Requests that are being answered or wait, without copies. */
  get inFlight(): number {
    return this.demand - this.copied;
  }

  get waiting(): number {
    return this.places.size + this.copies.size;
  }

  get busy(): number {
    let sum = 0;
    for (const member of this.members.values()) sum += member.busy;
    return sum;
  }

  /** Replicas that take requests now. */
  get ready(): number {
    let count = 0;
    for (const member of this.members.values()) if (!member.draining) count++;
    return count;
  }

  /** Replicas that take requests now. */
  replicas(): PooledReplica[] {
    return [...this.members.values()].flatMap((member) => (member.draining ? [] : [member.replica]));
  }

  /** Replicas that run and get nothing new, because they only failed. */
  get ejected(): string[] {
    return [...this.members.values()].flatMap(({ replica, ejected }) => (ejected ? [replica.id] : []));
  }

  add(replica: PooledReplica): void {
    this.members.set(replica.id, {
      replica,
      busy: 0,
      draining: undefined,
      conduct: newConduct(),
      ejected: undefined,
    });
    this.serveWaiters();
  }

  /** Takes a replica out at once, because it is gone. Its requests fail where they are; nothing new comes to it. */
  drop(id: string): void {
    const member = this.members.get(id);
    if (!member) return;
    this.members.delete(id);
    clearTimeout(member.ejected);
    member.draining?.end();
    this.readmitLast();
  }

  /** Sends nothing new to a replica; resolves when its last request is done. */
  drain(id: string): Promise<void> {
    const member = this.members.get(id);
    if (!member) return Promise.resolve();
    if (!member.draining) {
      let end = () => {};
      const done = new Promise<void>((resolve) => {
        end = resolve;
      });
      member.draining = { done, end };
      if (member.busy === 0) this.drop(id);
      else this.readmitLast();
    }
    return member.draining.done;
  }

  /** The replica that is missed least, for a scale-down: one that is left out, or has the least to do. */
  idlest(): string | undefined {
    let best: Member | undefined;
    for (const member of this.members.values()) {
      if (member.draining) continue;
      if (member.ejected) return member.replica.id;
      if (!best || member.busy < best.busy) best = member;
    }
    return best?.replica.id;
  }

  /** A slot now, or a place in the queue, of whose end `waiter` hears; `overloaded` when the queue is full. */
  lease(waiter: LeaseWaiter, wish?: LeaseWish): Lease | Waiting {
    const copy = waiter.copy === true;
    const queue = copy ? this.copies : this.places;
    const free = queue.size === 0 && this.places.size === 0;
    const member = free ? this.leastLoaded(wish?.avoid, wish?.atOnce) : undefined;
    if (!member && wish?.atOnce === true)
      throw new AppError('overloaded', 'no other replica is free now', { retryAfterSec: 1 });
    if (!member && queue.size >= this.options.queueLimit) {
      throw new AppError('overloaded', `${queue.size} requests wait for a replica already, which is the bound`, {
        retryAfterSec: 1,
      });
    }
    this.demand++;
    if (copy) this.copied++;
    this.options.onDemand(1);
    const now = performance.now();
    return member ? this.take(member, now, now, copy) : this.wait(waiter, queue, now, wish?.avoid);
  }

  /** Fails everybody who waits; for an endpoint that is gone. */
  rejectWaiters(error: AppError): void {
    for (const place of [...this.places, ...this.copies]) if (this.leave(place)) place.waiter.refused(error);
  }

  private wait(waiter: LeaseWaiter, queue: Set<Place>, since: number, avoid: string | undefined): Waiting {
    const timer = setTimeout(() => {
      if (this.leave(place)) waiter.refused(new AppError('not_ready', this.options.explain(), { retryAfterSec: 1 }));
    }, this.options.queueTimeoutMs);
    const place: Place = { waiter, queue, timer, since, avoid };
    queue.add(place);
    return { cancel: () => void this.leave(place) };
  }

  /** Whether the place was still held. */
  private leave(place: Place): boolean {
    if (!place.queue.delete(place)) return false;
    clearTimeout(place.timer);
    this.left(place.waiter.copy === true);
    return true;
  }

  private left(copy: boolean): void {
    this.demand--;
    if (copy) this.copied--;
    this.options.onDemand(-1);
  }

  /** Of those with a slot; one other than `avoid`, which is taken where there is no other at all, unless `strictly`. */
  private leastLoaded(avoid?: string, strictly?: boolean): Member | undefined {
    let best: Member | undefined;
    const shunned = avoid !== undefined && (strictly === true || this.hasOther(avoid)) ? avoid : undefined;
    for (const member of this.members.values()) {
      if (member.draining || member.ejected || member.busy >= member.replica.slots) continue;
      if (shunned !== undefined && member.replica.id === shunned) continue;
      if (!best || member.busy < best.busy) best = member;
    }
    return best;
  }

  private hasOther(id: string): boolean {
    for (const member of this.members.values())
      if (member.replica.id !== id && !member.draining && !member.ejected) return true;
    return false;
  }

  private blame(member: Member): void {
    const settings = this.options.outliers?.();
    const { id } = member.replica;
    if (!settings || member.draining || member.ejected || this.members.get(id) !== member) return;
    const peers = { total: this.ready, ejected: this.ejected.length };
    const forMs = failed(member.conduct, peers, settings, performance.now());
    if (forMs === undefined) return;
    member.ejected = setTimeout(() => this.readmit(member), forMs);
    member.ejected.unref?.();
    this.options.onEjection?.(id, forMs);
    this.serveWaiters();
  }

  private readmit(member: Member): void {
    clearTimeout(member.ejected);
    member.ejected = undefined;
    member.conduct.backAtMs = Math.min(member.conduct.backAtMs, performance.now());
    this.options.onEjection?.(member.replica.id, undefined);
    this.serveWaiters();
  }

  /** Where only replicas are left that were left out, any of them is better than none. */
  private readmitLast(): void {
    const members = [...this.members.values()].filter((member) => !member.draining);
    // who waits for another replica than one may be without another now
    if (members.some((member) => !member.ejected)) this.serveWaiters();
    else for (const member of members) this.readmit(member);
  }

  private take(member: Member, arrivedMs: number, takenMs: number, copy: boolean): Lease {
    member.busy++;
    let held = true;
    return {
      replica: member.replica,
      release: (queuedMs, blame) => {
        if (!held) return;
        held = false;
        member.busy--;
        this.left(copy);
        if (blame === true) this.blame(member);
        else if (queuedMs !== undefined) member.conduct.failures = 0;
        if (queuedMs !== undefined && !copy) {
          const delayMs = takenMs - arrivedMs + queuedMs;
          const serviceMs = Math.max(0, performance.now() - takenMs - queuedMs);
          this.options.onAnswer?.({ arrivedMs, delayMs, serviceMs });
        }
        // a replica that is gone meanwhile has no slot to hand over, and its id may be another's by now
        if (this.members.get(member.replica.id) !== member) return;
        if (member.draining && member.busy === 0) this.drop(member.replica.id);
        else this.serveWaiters();
      },
    };
  }

  private serveWaiters(): void {
    this.serve(this.places);
    if (this.copies.size > 0) this.serve(this.copies);
  }

  private serve(queue: Set<Place>): void {
    for (const place of queue) {
      const member = this.leastLoaded(place.avoid);
      // what this one shuns may be free for the next
      if (!member && place.avoid !== undefined) continue;
      if (!member) return;
      queue.delete(place);
      clearTimeout(place.timer);
      const copy = place.waiter.copy === true;
      place.waiter.granted(this.take(member, place.since, performance.now(), copy));
    }
  }
}
