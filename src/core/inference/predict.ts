/**
 * A prediction's way: get a slot of the revision, forward, and once more on another replica when the first went away
 * before it answered. The body stays bytes; the database is not asked.
 */
import { AppError, asAppError } from '../../errors.js';
import { type Call, type Exchange, mayHaveBegun, type ReplyHandler, type ReplyHead } from './forward.js';
import { Hedge, type Hedged } from './hedge.js';
import type { Lease, LeaseWaiter, LeaseWish, Waiting } from './pool.js';
import { RESILIENCE_DEFAULTS, type Resilience } from './resilience.js';
import type { Token } from './retry-budget.js';
import type { RevisionRoute } from './route.js';
import type { HedgeOutcome, Sending } from './sending.js';

export interface PredictOptions {
  /** From now to the beginning of the answer, waiting included. */
  readonly timeoutMs: number;
  /** Whether the request may run twice when the first replica dies with it. */
  readonly idempotent: boolean;
  /** Whether it is a copy of a request, which takes nothing from one that somebody waits for. */
  readonly copy?: boolean | undefined;
  /** The time limit is one that the client set: that it ran out says nothing of the replica. */
  readonly clientsTime?: boolean;
  /** There is another revision to go to: better than to wait for a replica after one failed. */
  readonly elsewhere?: boolean;
}

export interface PredictionRequest {
  readonly revision: RevisionRoute;
  readonly call: Call;
}

/**
 * Sends a request to a revision. The handler hears of the answer as from a replica, or of the error that is the answer:
 * `timeout`, `overloaded`, `not_ready`, `upstream_failed`, `too_large`. A cancel gives the place or the slot up.
 */
export function predict(
  sending: Sending,
  request: PredictionRequest,
  options: PredictOptions,
  handler: ReplyHandler,
): Exchange {
  const prediction = new Prediction(sending, request, options, handler);
  prediction.attempt();
  return prediction;
}

/** One object for all roles that a prediction plays, because there is one for every request. */
class Prediction implements Exchange, LeaseWaiter, Hedged {
  readonly copy: boolean;
  private readonly began = performance.now();
  private readonly timer: NodeJS.Timeout;
  private waiting: Waiting | undefined;
  private lease: Lease | undefined;
  private exchange: Exchange | undefined;
  private attempts = 0;
  private replied = false;
  private over = false;
  /** Of an attempt that is not the first. */
  private token: Token | undefined;
  private hedge: Hedge | undefined;
  /** Of the last attempt that failed, while another one is made. */
  private failure: AppError | undefined;

  constructor(
    private readonly sending: Sending,
    private readonly request: PredictionRequest,
    private readonly options: PredictOptions,
    private readonly handler: ReplyHandler,
  ) {
    this.copy = options.copy === true;
    this.timer = setTimeout(this.late, options.timeoutMs);
  }

  attempt(wish?: LeaseWish): void {
    this.attempts++;
    try {
      const got = this.sending.fleet.lease(this.request.revision, this, wish);
      if ('replica' in got) this.granted(got);
      else this.waiting = got;
    } catch (error) {
      this.refused(asAppError(error));
    }
  }

  granted(lease: Lease): void {
    this.waiting = undefined;
    this.lease = lease;
    try {
      const exchange = lease.replica.forward(this.timedCall(), this);
      // an answer may have come at once
      if (this.lease === lease || this.replied) this.exchange = exchange;
      if (this.request.revision.resilience?.hedge !== undefined) this.planHedge();
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
    // where there is another revision to go to, only a free replica was asked for
    this.fail(this.options.elsewhere === true && this.failure ? this.failure : error);
  }

  onReply(head: ReplyHead, body: Buffer): void {
    this.replied = true;
    clearTimeout(this.timer);
    if (this.hedge !== undefined) this.endHedge();
    if (head.worked || !head.more) this.release(head.queuedMs ?? 0, isFailure(head.status));
    if (!head.more) this.finish();
    this.handler.onReply(head, body);
  }

  onData(chunk: Buffer): void {
    this.handler.onData(chunk);
  }

  onEnd(): void {
    this.release(0);
    this.finish();
    this.handler.onEnd();
  }

  onError(error: AppError): void {
    const failedOn = this.lease?.replica.id ?? '';
    this.exchange = undefined;
    this.release(undefined, error.code === 'upstream_failed');
    this.token?.giveBack();
    this.token = undefined;
    if (!this.replied && this.hedge?.running === true) this.failure = error;
    else this.again(error, failedOn);
  }

  cancel(): void {
    if (this.over) return;
    this.waiting?.cancel();
    this.exchange?.cancel();
    this.release();
    this.finish();
  }

  pause(): void {
    this.exchange?.pause();
  }

  resume(): void {
    this.exchange?.resume();
  }

  /** Only a replica that went away is worth another try, and another replica; what it answered is the answer. */
  private again(error: AppError, failedOn: string): void {
    const { options, request, sending } = this;
    const { revision, call } = request;
    const { retry } = this.resilience;
    // a body that was sent piece by piece is not there to be sent again
    const may = error.code === 'upstream_failed' && !call.rest && (options.idempotent || !mayHaveBegun(error));
    if (!may || this.replied || this.attempts >= retry.maxAttempts) {
      this.fail(error);
      return;
    }
    const active = sending.fleet.inFlight(revision) + 1;
    this.token = sending.budgets.retry(revision.key, active, retry);
    if (!this.token) {
      sending.news.budgetSpent(revision);
      this.fail(budgetSpent(error, this.resilience));
      return;
    }
    this.failure = error;
    sending.news.retried(revision);
    this.attempt({ avoid: failedOn, atOnce: options.elsewhere === true });
  }

  private get resilience(): Resilience {
    return this.request.revision.resilience ?? RESILIENCE_DEFAULTS;
  }

  private planHedge(): void {
    const { options, request, sending } = this;
    const { hedge } = this.resilience;
    if (!hedge || this.hedge || this.replied || this.over || !options.idempotent || request.call.rest) return;
    const afterMs = hedge.afterMs ?? sending.times.quantile(request.revision.key, hedge.afterQuantile ?? 1);
    // without one, the answer's time is noted all the same
    this.hedge = new Hedge(this, afterMs ?? options.timeoutMs);
  }

  beginHedge(waiter: LeaseWaiter): { readonly got: Lease | Waiting; readonly token: Token } | undefined {
    const { fleet, budgets } = this.sending;
    const { revision } = this.request;
    const { hedge, retry } = this.resilience;
    // what failed meanwhile, or waits again, is slow for another reason
    if (!hedge || !this.lease || this.over || this.replied) return undefined;
    const token = budgets.hedge(revision.key, fleet.inFlight(revision), retry, hedge);
    if (!token) return undefined;
    try {
      return { got: fleet.lease(revision, waiter, { avoid: this.lease.replica.id, atOnce: true }), token };
    } catch (error) {
      token.giveBack();
      throw error;
    }
  }

  sendHedge(lease: Lease, handler: ReplyHandler): Exchange {
    return lease.replica.forward(this.timedCall(), handler);
  }

  hedgeWon(lease: Lease | undefined, exchange: Exchange | undefined): void {
    if (lease) {
      // the loser is no failure of anybody
      this.exchange?.cancel();
      this.release();
      this.lease = lease;
    }
    this.exchange = exchange;
  }

  hedgeFailed(): void {
    const { failure } = this;
    this.hedge = undefined;
    // the first attempt is over already, and was waiting for this one
    if (failure && !this.lease && !this.waiting && !this.over) this.again(failure, '');
  }

  hedgeOver(outcome: HedgeOutcome): void {
    this.sending.news.hedged(this.request.revision, outcome);
  }

  private endHedge(): void {
    if (this.resilience.hedge?.afterQuantile !== undefined)
      this.sending.times.record(this.request.revision.key, performance.now() - this.began);
    this.hedge?.cancel();
  }

  private readonly late = (): void => {
    const error = new AppError('timeout', `no answer within ${this.options.timeoutMs} ms`);
    if (this.over) return;
    this.exchange?.cancel();
    this.exchange = undefined;
    this.release(undefined, this.options.clientsTime !== true);
    this.cancel();
    this.handler.onError(error);
  };

  private fail(error: AppError): void {
    this.release();
    this.finish();
    this.handler.onError(error);
  }

  private finish(): void {
    this.over = true;
    clearTimeout(this.timer);
    this.hedge?.cancel();
    this.token?.giveBack();
    this.token = undefined;
  }

  /** `queuedMs`: of an answer. */
  private release(queuedMs?: number, blame?: boolean): void {
    const { lease } = this;
    this.lease = undefined;
    lease?.release(queuedMs, blame);
  }
}

/** Whether an answer is a failure of the replica: a server's error, save of what it cannot do, or had no time for. */
function isFailure(status: number): boolean {
  return status >= 500 && status !== 501 && status !== 504;
}

function budgetSpent(error: AppError, { retry }: Resilience): AppError {
  const { budgetPercent, minConcurrent } = retry;
  const message = `${error.message}; it was not tried again, because further attempts under way have reached their bound (retry.budgetPercent ${budgetPercent}, retry.minConcurrent ${minConcurrent})`;
  return new AppError(error.code, message, { cause: error, details: error.details ?? {} });
}
