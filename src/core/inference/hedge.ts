/** A second attempt of a prediction beside the first, on another replica: the first answer wins, the other is cancelled. */
import { type AppError, asAppError } from '../../errors.js';
import type { Exchange, ReplyHandler, ReplyHead } from './forward.js';
import type { Lease, LeaseWaiter, Waiting } from './pool.js';
import type { Token } from './retry-budget.js';
import type { HedgeOutcome } from './sending.js';

/** The prediction that it belongs to. */
export interface Hedged extends ReplyHandler {
  /** Asks for a slot of another replica, at once, where one more attempt is allowed; undefined where it is not. */
  beginHedge(waiter: LeaseWaiter): { readonly got: Lease | Waiting; readonly token: Token } | undefined;
  sendHedge(lease: Lease, handler: ReplyHandler): Exchange;
  /** Its answer is the first one: from now on the prediction is what it was. */
  hedgeWon(lease: Lease | undefined, exchange: Exchange | undefined): void;
  hedgeFailed(): void;
  hedgeOver(outcome: HedgeOutcome): void;
}

export class Hedge implements LeaseWaiter, ReplyHandler {
  private readonly timer: NodeJS.Timeout;
  private token: Token | undefined;
  private waiting: Waiting | undefined;
  private lease: Lease | undefined;
  private exchange: Exchange | undefined;
  private won = false;
  private over = false;

  constructor(
    private readonly prediction: Hedged,
    afterMs: number,
  ) {
    this.timer = setTimeout(() => this.begin(), afterMs);
  }

  /** Whether it may still give the answer. */
  get running(): boolean {
    return this.token !== undefined && !this.over && !this.won;
  }

  /** Nobody waits for it any more. */
  cancel(): void {
    clearTimeout(this.timer);
    if (this.won || this.over) return;
    const begun = this.exchange !== undefined;
    this.over = true;
    this.waiting?.cancel();
    this.exchange?.cancel();
    this.release();
    this.token?.giveBack();
    if (begun) this.prediction.hedgeOver('lost');
  }

  private begin(): void {
    if (this.over) return;
    try {
      const begun = this.prediction.beginHedge(this);
      if (!begun) return;
      this.token = begun.token;
      if ('replica' in begun.got) this.granted(begun.got);
      else this.waiting = begun.got;
    } catch {
      // no other replica is free: the first attempt is all there is
      this.over = true;
    }
  }

  granted(lease: Lease): void {
    this.waiting = undefined;
    this.lease = lease;
    try {
      const exchange = this.prediction.sendHedge(lease, this);
      if (this.won) this.prediction.hedgeWon(undefined, exchange);
      else if (!this.over) this.exchange = exchange;
    } catch (error) {
      this.onError(asAppError(error));
    }
  }

  refused(): void {
    this.waiting = undefined;
    this.end();
  }

  onReply(head: ReplyHead, body: Buffer): void {
    if (this.over) return;
    const { lease } = this;
    this.won = true;
    this.lease = undefined;
    this.token?.giveBack();
    this.prediction.hedgeOver('won');
    this.prediction.hedgeWon(lease, this.exchange);
    this.prediction.onReply(head, body);
  }

  onData(chunk: Buffer): void {
    this.prediction.onData(chunk);
  }

  onEnd(): void {
    this.prediction.onEnd();
  }

  onError(error: AppError): void {
    if (this.won) {
      this.prediction.onError(error);
      return;
    }
    if (this.over) return;
    this.release(error.code === 'upstream_failed');
    this.prediction.hedgeOver('failed');
    this.end();
  }

  private end(): void {
    if (this.over) return;
    this.over = true;
    this.token?.giveBack();
    this.prediction.hedgeFailed();
  }

  private release(blame?: boolean): void {
    const { lease } = this;
    this.lease = undefined;
    lease?.release(undefined, blame);
  }
}
