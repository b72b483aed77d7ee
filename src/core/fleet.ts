/** What runs replicas. Local processes ship now; a cluster's own machinery implements the same port. */
import type { Signature } from '../protocol/signature.js';
import type { Forward } from './inference/forward.js';
import type { Lease, LeaseWaiter, LeaseWish, PooledReplica, Waiting } from './inference/pool.js';
import type { EndpointRoute, RevisionRoute } from './inference/route.js';
import type { Servable } from './models/model.js';

export interface RevisionStatus {
  readonly endpointId: string;
  readonly endpoint: string;
  readonly revision: number;
  readonly ready: number;
  readonly starting: number;
  /** Requests being answered and requests waiting for a slot. */
  readonly busy: number;
  readonly waiting: number;
  /** Why there are that many replicas, or why one does not start. */
  readonly message: string;
  /** True when the revision cannot start. */
  readonly failing: boolean;
  readonly replicas: readonly {
    readonly id: string;
    readonly pid: number | null;
    /** `ejected`: it runs, and gets nothing new for a while because it only failed. */
    readonly state: 'starting' | 'ready' | 'ejected' | 'draining';
    /** Where it computes and what its engine has to say of that; undefined while it is not known. */
    readonly device?: string | undefined;
    readonly notes?: readonly string[] | undefined;
  }[];
}

export interface Fleet {
  /** Takes an endpoint's present revisions and traffic over; what is gone from it is drained. */
  sync(endpoint: EndpointRoute): void;
  /** The endpoint is gone: waiting requests are refused, replicas drained. */
  forget(endpointId: string): void;
  /**
   * A slot on a ready replica of the revision, starting one if there is none; or a place in the queue, of whose end the
   * waiter hears. Throws `overloaded` when too many wait.
   */
  lease(revision: RevisionRoute, waiter: LeaseWaiter, wish?: LeaseWish): Lease | Waiting;
  /** Requests of a revision that this process has under way or waiting. */
  inFlight(revision: RevisionRoute): number;
  /** The replicas of a revision that answer now; none of them is given a request because of that. */
  replicas(revision: RevisionRoute): readonly PooledReplica[] | Promise<readonly PooledReplica[]>;
  /** Every revision that has replicas or requests. */
  status(): RevisionStatus[] | Promise<RevisionStatus[]>;
  /** Drains and ends everything. */
  close(): Promise<void>;
}

/** A model in a throw-away model server, the same program that will serve it. */
export interface LoadedModel {
  /** Read from the model itself; empty for a server that does not tell. */
  readonly signature: Signature;
  readonly forward: Forward;
  /** How long the load took, in milliseconds. */
  readonly loadMs: number;
  /** What its server's processes hold in memory now; undefined where they are none of ours or the system does not tell. */
  memoryBytes(): Promise<number | undefined>;
}

/** Loads models away from all traffic: to read their signature, to score them, to try golden requests. */
export interface Sandbox {
  /** Rejects with `invalid` and the engine's words when the model does not load. The server is gone when this settles. */
  withModel<T>(model: Servable, use: (model: LoadedModel) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}
