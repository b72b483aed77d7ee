import type { Forward } from '../../core/inference/forward.js';
import type { ReplicaAddress } from '../../core/inference/pool.js';

/** A model server that answers, whatever kind of program it is. */
export interface RunningServer {
  /** Null for one that is no process of ours. */
  readonly pid: number | null;
  readonly forward: Forward;
  readonly address: ReplicaAddress;
  /** Resolves as soon as nothing more comes from it, which is before its end is known. */
  readonly gone: Promise<void>;
  /** Says how it ended, in words. */
  readonly exited: Promise<string>;
  /** Lets requests in flight finish, then ends it; after the drain time it is killed. */
  stop(): Promise<void>;
  kill(): void;
}

/** What bringing a model server up took, in milliseconds; what did not happen took 0. */
export interface StartPhases {
  /** Laying out the model's files on this machine. */
  readonly fetch: number;
  /** Starting the process; with a spare, taking it. */
  readonly process: number;
  /** The engine's library. */
  readonly library: number;
  readonly load: number;
  readonly warmup: number;
}
