/** Random histories of predictions over a real pool whose replicas answer, fail, hang and die at any moment. */
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { seeded } from '../../../tests/support/random.js';
import { AppError } from '../../errors.js';
import type { Fleet } from '../fleet.js';
import { type Call, type Exchange, type ReplyHandler, unsent } from './forward.js';
import { type PooledReplica, ReplicaPool } from './pool.js';
import { predict } from './predict.js';
import { type Resilience, resilienceSchema } from './resilience.js';
import type { RevisionRoute } from './route.js';
import { createSending } from './sending.js';

const HISTORIES = 10_000;
const gone = () => new AppError('upstream_failed', 'the replica went away');

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

it(`${HISTORIES} histories: nothing runs twice that must not, each request ends once, every slot comes back`, () => {
  const seen = new Map<string, number>();
  for (let seed = 1; seed <= HISTORIES; seed++) {
    const history = new History(seeded(seed), seen);
    history.run();
    expect(history.wrongs(), `seed ${seed}`).toEqual([]);
    expect(vi.getTimerCount(), `timers left after seed ${seed}`).toBe(0);
  }
  // a history in which nothing of this happens proves nothing
  for (const what of ['answered', 'failed', 'left', 'ran twice', 'hedged', 'ejected', 'died', 'timed out'])
    expect(seen.get(what) ?? 0, what).toBeGreaterThan(50);
});

interface Request {
  readonly idempotent: boolean;
  executions: number;
  ends: number;
  left: boolean;
  heardAfterEnd: boolean;
  exchange: Exchange | undefined;
}

class History {
  private readonly requests: Request[] = [];
  private readonly under = new Map<string, Set<ReplyHandler>>();
  private readonly resilience: Resilience;
  private readonly pool: ReplicaPool;
  private readonly revision: RevisionRoute;
  private readonly sending: ReturnType<typeof createSending>;
  private serial = 0;

  constructor(
    private readonly random: () => number,
    private readonly seen: Map<string, number>,
  ) {
    this.resilience = resilienceSchema.parse({
      retry: { maxAttempts: 1 + this.upTo(4), minConcurrent: this.upTo(3) + 1 },
      outliers: { consecutiveFailures: 1 + this.upTo(3), ejectionSec: 1, maxEjectionPercent: 100 },
      ...(this.chance(0.5) ? { hedge: { afterMs: 1 + this.upTo(40), maxPercent: 100 } } : {}),
    });
    this.revision = { key: 'ep/1', resilience: this.resilience } as RevisionRoute;
    this.pool = new ReplicaPool({
      queueLimit: 3,
      queueTimeoutMs: 300,
      onDemand: () => {},
      explain: () => 'none was free',
      outliers: () => this.resilience.outliers,
      onEjection: () => this.note('ejected'),
    });
    const fleet = {
      lease: (_: RevisionRoute, ...rest: Parameters<ReplicaPool['lease']>) => this.pool.lease(...rest),
      inFlight: () => this.pool.inFlight,
    } as unknown as Fleet;
    this.sending = createSending(fleet, {
      retried: () => this.note('retried'),
      budgetSpent: () => this.note('budget spent'),
      hedged: () => this.note('hedged'),
    });
  }

  run(): void {
    for (let at = this.upTo(4); at >= 0; at--) this.addReplica();
    for (let at = 4 + this.upTo(8); at > 0; at--) {
      this.event();
      vi.advanceTimersByTime(this.upTo(60));
    }
    // whoever hangs is timed out by then
    if (this.pool.ready === 0) this.addReplica();
    vi.advanceTimersByTime(10_000);
    for (const { id } of this.pool.replicas()) this.pool.drop(id);
  }

  wrongs(): string[] {
    const most = 2 * this.resilience.retry.maxAttempts;
    const wrongs = this.requests.flatMap((one, at) => {
      const said: string[] = [];
      if (one.executions > (one.idempotent ? most : 1)) said.push(`request ${at} ran ${one.executions} times`);
      if (one.executions > 1) this.note('ran twice');
      if (one.ends !== (one.left ? 0 : 1)) said.push(`request ${at} ended ${one.ends} times`);
      if (one.heardAfterEnd) said.push(`request ${at} heard something after its end`);
      return said;
    });
    const { busy, inFlight, waiting } = this.pool;
    if (busy + inFlight + waiting !== 0) wrongs.push(`${busy} busy, ${inFlight} in flight, ${waiting} waiting`);
    const spent = this.sending.budgets.spent('ep/1');
    if (spent !== 0) wrongs.push(`${spent} further attempts are still counted`);
    return wrongs;
  }

  private event(): void {
    const dice = this.random();
    const replica = this.pool.replicas()[this.upTo(4)];
    const request = this.requests[this.upTo(this.requests.length)];
    if (dice < 0.6) this.ask();
    else if (dice < 0.7) this.addReplica();
    else if (dice < 0.8 && replica) this.die(replica.id);
    else if (dice < 0.85 && replica) void this.pool.drain(replica.id);
    else if (request && request.ends === 0 && !request.left) {
      request.left = true;
      this.note('left');
      request.exchange?.cancel();
    }
  }

  private ask(): void {
    const request: Request = {
      idempotent: this.chance(0.6),
      executions: 0,
      ends: 0,
      left: false,
      heardAfterEnd: false,
      exchange: undefined,
    };
    this.requests.push(request);
    const end = (how: string) => {
      if (request.ends > 0 || request.left) request.heardAfterEnd = true;
      request.ends++;
      this.note(how);
    };
    const call = { method: 'POST', path: String(this.requests.length - 1), headers: {}, body: Buffer.alloc(0) };
    const options = {
      timeoutMs: 50 + this.upTo(400),
      idempotent: request.idempotent,
      elsewhere: this.chance(0.3),
      clientsTime: this.chance(0.5),
    };
    request.exchange = predict(this.sending, { revision: this.revision, call }, options, {
      onReply: (head) => {
        if (request.ends > 0 || request.left) request.heardAfterEnd = true;
        if (!head.more) end('answered');
      },
      onData: () => {
        if (request.ends > 0 || request.left) request.heardAfterEnd = true;
      },
      onEnd: () => end('answered'),
      onError: ({ code }) => end(code === 'timeout' ? 'timed out' : 'failed'),
    });
  }

  private addReplica(): void {
    const id = `r${this.serial++}`;
    const under = new Set<ReplyHandler>();
    this.under.set(id, under);
    const replica: PooledReplica = {
      id,
      slots: 1 + this.upTo(3),
      address: { kind: 'socket', path: '' },
      forward: (call, handler) => this.forward(call, handler, under),
    };
    this.pool.add(replica);
  }

  private die(id: string): void {
    this.note('died');
    this.pool.drop(id);
    const under = this.under.get(id);
    for (const handler of [...(under ?? [])]) if (under?.delete(handler)) handler.onError(gone());
  }

  /** A replica that does something: at once, or later. */
  private forward(call: Call, handler: ReplyHandler, under: Set<ReplyHandler>): Exchange {
    const request = this.requests[Number(call.path)] as Request;
    const dice = this.random();
    if (dice < 0.05) throw new AppError('too_large', 'it cannot be sent');
    if (dice < 0.15) return this.later(handler, under, () => handler.onError(unsent(gone())));
    request.executions++;
    if (dice < 0.3) return this.later(handler, under, () => handler.onError(gone()));
    if (dice < 0.4) return this.later(handler, under, undefined);
    const status = dice < 0.55 ? 500 : 200;
    if (dice < 0.9)
      return this.later(handler, under, () =>
        handler.onReply({ status, headers: {}, more: false, worked: true }, Buffer.alloc(0)),
      );
    return this.later(handler, under, () => {
      handler.onReply({ status, headers: {}, more: true, worked: this.chance(0.5) }, Buffer.alloc(0));
      if (this.chance(0.7)) handler.onEnd();
      else handler.onError(gone());
    });
  }

  /** Never where there is nothing to do. */
  private later(handler: ReplyHandler, under: Set<ReplyHandler>, act: (() => void) | undefined): Exchange {
    under.add(handler);
    const once = () => {
      if (under.delete(handler)) act?.();
    };
    let timer: NodeJS.Timeout | undefined;
    if (act && this.chance(0.15)) once();
    else if (act) timer = setTimeout(once, this.upTo(120));
    return {
      cancel: () => {
        clearTimeout(timer);
        under.delete(handler);
      },
      pause() {},
      resume() {},
    };
  }

  private note(what: string): void {
    this.seen.set(what, (this.seen.get(what) ?? 0) + 1);
  }

  private chance(share: number): boolean {
    return this.random() < share;
  }

  private upTo(count: number): number {
    return Math.floor(this.random() * count);
  }
}
