/**
 * One computation that several who ask the same wait for. The first one leads: the request goes out in its name. Each keeps
 * its own time limit and may leave; the computation goes on for the others, and ends when the last one has left. What says
 * something of the leader alone (overload, its time-out, a replica that died) is not passed on: the next one leads.
 */
import { AppError, asAppError } from '../../../errors.js';

/** A whole answer to an infer request. */
export interface SharedAnswer {
  readonly status: number;
  /** Of status 200: a `ModelInferResponse` with raw outputs and without id. Of others: what is wrong, as text. */
  readonly message: Buffer;
}

/** How somebody came by an answer: computed for it, for somebody else who asked the same, or kept from before. */
export type Source = 'computed' | 'coalesced' | 'memory' | 'shared';

/** Who waits for an answer. Hears of one, or of why there is none; once, unless it leaves. */
export interface Waiter {
  answered(answer: SharedAnswer, source: Source): void;
  failed(error: AppError): void;
}

/** Takes what a computation comes to; one of the three, once. */
export interface Outcome {
  answered(answer: SharedAnswer): void;
  failed(error: AppError): void;
  /** The leader takes its answer as it comes, because it is too large to be held. Nobody else gets it. */
  alone(): void;
}

/** A computation under way. After `cancel` its outcome is not heard. */
export interface Computation {
  cancel(): void;
}

/** Starts the computation with this much time left, in milliseconds. */
export type Compute = (outcome: Outcome, timeoutMs: number) => Computation;

/** One who asks. */
export interface Asking {
  readonly compute: Compute;
  /** From now to the answer. */
  readonly timeoutMs: number;
  readonly waiter: Waiter;
}

export interface FlightEvents {
  /** Somebody's request goes out. */
  readonly led: () => void;
  /** An answer was computed. */
  readonly computed: (answer: SharedAnswer) => void;
  /** An answer was too large to be held for all. */
  readonly alone: () => void;
  /** Nobody waits any more: who asks now begins anew. */
  readonly ended: () => void;
}

class Member implements Computation {
  /** What it waits for once it has left its flight to go alone. */
  apart: Computation | undefined;
  timer: NodeJS.Timeout | undefined;
  private readonly deadlineMs: number;

  constructor(
    readonly asking: Asking,
    private readonly flight: Flight,
  ) {
    this.deadlineMs = performance.now() + asking.timeoutMs;
  }

  get leftMs(): number {
    return Math.max(1, this.deadlineMs - performance.now());
  }

  cancel(): void {
    if (this.apart) this.apart.cancel();
    else this.flight.leave(this);
  }
}

export class Flight {
  /** In the order in which they came. */
  private readonly members = new Set<Member>();
  private leader: Member | undefined;
  private computation: Computation | undefined;
  private over = false;

  constructor(private readonly events: FlightEvents) {}

  /** Waits with the others, if there are any. */
  join(asking: Asking): Computation {
    const member = new Member(asking, this);
    this.members.add(member);
    member.timer = setTimeout(() => {
      if (!this.leave(member)) return;
      asking.waiter.failed(new AppError('timeout', `no answer within ${asking.timeoutMs} ms`));
    }, asking.timeoutMs);
    return member;
  }

  /** Has the one who came first lead. Nothing happens when all have left. */
  lead(): void {
    const [next] = this.members;
    if (!next || this.over) return;
    this.leader = next;
    // whoever computes has a time limit of its own
    clearTimeout(next.timer);
    this.events.led();
    let settled = false;
    const once = (then: () => void) => {
      if (settled || this.over) return;
      settled = true;
      this.computation = undefined;
      then();
    };
    // an outcome may come before there is something to cancel
    let started: Computation | undefined;
    const computation = { cancel: () => started?.cancel() };
    this.computation = computation;
    const outcome: Outcome = {
      answered: (answer) => once(() => this.answered(answer)),
      failed: (error) => once(() => this.failed(error)),
      alone: () => once(() => this.goAlone(computation)),
    };
    try {
      started = next.asking.compute(outcome, next.leftMs);
    } catch (error) {
      outcome.failed(asAppError(error));
    }
  }

  /** Gives everybody an answer that is for all. */
  settle(answer: SharedAnswer, source: (leads: boolean) => Source): void {
    if (this.over) return;
    const { leader } = this;
    this.end();
    for (const member of this.members) {
      clearTimeout(member.timer);
      member.asking.waiter.answered(answer, source(member === leader));
    }
    this.members.clear();
  }

  /** Whether it was still waiting. The last one to leave ends the computation. */
  leave(member: Member): boolean {
    clearTimeout(member.timer);
    const waited = this.members.delete(member);
    if (waited && this.members.size === 0 && !this.over) {
      this.end();
      this.computation?.cancel();
    }
    return waited;
  }

  private answered(answer: SharedAnswer): void {
    this.events.computed(answer);
    if (isForAll(answer.status)) this.settle(answer, (leads) => (leads ? 'computed' : 'coalesced'));
    else this.passOn((waiter) => waiter.answered(answer, 'computed'));
  }

  private failed(error: AppError): void {
    this.passOn((waiter) => waiter.failed(error));
  }

  /** Tells the leader, if it still waits, and has the next one lead. */
  private passOn(tell: (waiter: Waiter) => void): void {
    const { leader } = this;
    this.leader = undefined;
    const waits = leader !== undefined && this.members.delete(leader);
    if (this.members.size === 0) this.end();
    // not within this call: a thousand who fail at once would be a thousand calls deep
    else setImmediate(() => this.lead());
    if (waits) tell(leader.asking.waiter);
  }

  /** The leader goes on by itself, and each of the others asks for itself. */
  private goAlone(computation: Computation): void {
    const { leader } = this;
    this.events.alone();
    this.end();
    if (leader && this.members.delete(leader)) leader.apart = computation;
    else computation.cancel();
    for (const member of this.members) {
      clearTimeout(member.timer);
      const own = new Flight({ ...this.events, ended: () => {} });
      member.apart = own.join({ ...member.asking, timeoutMs: member.leftMs });
      own.lead();
    }
    this.members.clear();
  }

  private end(): void {
    if (this.over) return;
    this.over = true;
    this.events.ended();
  }
}

/** Whether an answer is to the request rather than to the moment: what the model gave, or what it refuses in it. */
function isForAll(status: number): boolean {
  return status === 200 || (status >= 400 && status < 500 && !OF_THE_MOMENT.has(status));
}

/** Time-out, too early, too many. */
const OF_THE_MOMENT: ReadonlySet<number> = new Set([408, 425, 429]);
