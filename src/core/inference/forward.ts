/** One request as it travels to a replica, and its answer. Headers are lower-case. */
export interface Call {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** A call under way. `cancel` tells the replica that nobody waits any more; `reply` then rejects with `cancelled`. */
export interface Exchange {
  readonly reply: Promise<Reply>;
  cancel(): void;
}

/**
 * The gateway's way to a replica. The reply rejects with an AppError: `upstream_failed` when the replica went away
 * before it answered, `cancelled` after a cancel. An answer of any status is a reply, not an error.
 */
export type Forward = (call: Call) => Exchange;
