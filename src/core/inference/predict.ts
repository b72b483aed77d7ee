/**
 * A prediction's way: get a slot of the revision, forward, and once more on another replica when the first went away
 * before it answered. The body stays bytes; the database is not asked.
 */
import { AppError, asAppError } from '../../errors.js';
import type { Fleet } from '../fleet.js';
import type { Call, Exchange, ReplyHandler, ReplyHead } from './forward.js';
import type { Lease, LeaseWaiter, Waiting } from './pool.js';
import type { RevisionRoute } from './route.js';

export interface PredictOptions {
  /** From now to the beginning of the answer, waiting included. */
  readonly timeoutMs: number;
  /** Whether the request may run twice when the first replica dies with it. */
  readonly idempotent: boolean;
  /** Whether it is a copy of a request, which takes nothing from one that somebody waits for. */
  readonly copy?: boolean | undefined;
}

const MAX_ATTEMPTS = 3;

/**
 * Sends a request to a revision. The handler hears of the answer as from a replica, or of the error that is the answer:
 * `timeout`, `overloaded`, `not_ready`, `upstream_failed`, `too_large`. A cancel gives the place or the slot up.
 */
export function predict(
  fleet: Fleet,
  request: { readonly revision: RevisionRoute; readonly call: Call },
  options: PredictOptions,
  handler: ReplyHandler,
): Exchange {
  const prediction = new Prediction(fleet, request, options, handler);
  prediction.attempt();
  return prediction;
}

/** One object for all roles that a prediction plays, because there is one for every request. */
class Prediction implements Exchange, LeaseWaiter, ReplyHandler {
  readonly copy: boolean;
  private readonly began = performance.now();
  private readonly timer: NodeJS.Timeout;
  private waiting: Waiting | undefined;
  private lease: Lease | undefined;
  private exchange: Exchange | undefined;
  private attempts = 0;
  private replied = false;
  private over = false;

  constructor(
    private readonly fleet: Fleet,
    private readonly request: { readonly revision: RevisionRoute; readonly call: Call },
    private readonly options: PredictOptions,
    private readonly handler: ReplyHandler,
  ) {
    this.copy = options.copy === true;
    this.timer = setTimeout(this.late, options.timeoutMs);
  }

  attempt(): void {
    this.attempts++;
    try {
      const got = this.fleet.lease(this.request.revision, this);
      if ('replica' in got) this.granted(got);
      else this.waiting = got;
    } catch (error) {
      this.fail(asAppError(error));
    }
  }

  granted(lease: Lease): void {
    this.waiting = undefined;
    this.lease = lease;
    try {
      const exchange = lease.replica.forward(this.timedCall(), this);
      // an answer may have come at once
      if (this.lease === lease || this.replied) this.exchange = exchange;
    } catch (error) {
      this.fail(asAppError(error));
    }
  }

  private timedCall(): Call {
    const timeoutMs = Math.max(1, this.options.timeoutMs - (performance.now() - this.began));
    const { method, path, headers, body, rest, trace } = this.request.call;
    return { method, path, headers, body, rest, timeoutMs, trace };
  }

  refused(error: AppError): void {
    this.waiting = undefined;
    this.fail(error);
  }

  onReply(head: ReplyHead, body: Buffer): void {
    this.replied = true;
    clearTimeout(this.timer);
    if (head.worked || !head.more) this.release(head.queuedMs ?? 0);
    if (!head.more) this.over = true;
    this.handler.onReply(head, body);
  }

  onData(chunk: Buffer): void {
    this.handler.onData(chunk);
  }

  onEnd(): void {
    this.over = true;
    this.release(0);
    this.handler.onEnd();
  }

  onError(error: AppError): void {
    this.exchange = undefined;
    this.release();
    // only a replica that went away is worth another try; what it answered is the answer. A body that was sent piece by
    // piece is not there to be sent again
    const again = error.code === 'upstream_failed' && this.options.idempotent && !this.request.call.rest;
    if (again && !this.replied && this.attempts < MAX_ATTEMPTS) this.attempt();
    else this.fail(error);
  }

  cancel(): void {
    if (this.over) return;
    this.over = true;
    clearTimeout(this.timer);
    this.waiting?.cancel();
    this.exchange?.cancel();
    this.release();
  }

  pause(): void {
    this.exchange?.pause();
  }

  resume(): void {
    this.exchange?.resume();
  }

  private readonly late = (): void => {
    const error = new AppError('timeout', `no answer within ${this.options.timeoutMs} ms`);
    if (this.over) return;
    this.cancel();
    this.handler.onError(error);
  };

  private fail(error: AppError): void {
    this.over = true;
    clearTimeout(this.timer);
    this.release();
    this.handler.onError(error);
  }

  /** `queuedMs`: of an answer. */
  private release(queuedMs?: number): void {
    const { lease } = this;
    this.lease = undefined;
    lease?.release(queuedMs);
  }
}
