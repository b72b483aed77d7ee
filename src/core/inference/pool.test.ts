import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type AwaitedPlace, leaseOf } from '../../../tests/support/predictions.js';
import { seeded } from '../../../tests/support/random.js';
import { AppError } from '../../errors.js';
import { type Lease, type PooledReplica, type PoolOptions, ReplicaPool } from './pool.js';

const forward = () => {
  throw new Error('nobody forwards here');
};
const address = { kind: 'socket', path: '' } as const;
const replica = (id: string, slots: number): PooledReplica => ({ id, slots, address, forward });

function pool(options: Partial<Pick<PoolOptions, 'queueLimit' | 'queueTimeoutMs' | 'onAnswer'>> = {}) {
  const demand = { now: 0, least: 0 };
  const made = new ReplicaPool({
    queueLimit: 100,
    queueTimeoutMs: 1000,
    ...options,
    explain: () => 'because',
    onDemand(change) {
      demand.now += change;
      demand.least = Math.min(demand.least, demand.now);
    },
  });
  return { pool: made, demand };
}

const take = (from: ReplicaPool) => leaseOf((waiter) => from.lease(waiter));

function held(got: Lease | AwaitedPlace): Lease {
  if (!('replica' in got)) throw new Error('a slot was expected, not a place in the queue');
  return got;
}

function queued(got: Lease | AwaitedPlace): AwaitedPlace {
  if ('replica' in got) throw new Error('a place in the queue was expected, not a slot');
  return got;
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('ReplicaPool', () => {
  it('gives every slot once, to the replica with the least to do', () => {
    const { pool: p } = pool();
    p.add(replica('a', 2));
    p.add(replica('b', 2));
    const ids = Array.from({ length: 4 }, () => held(take(p)).replica.id);
    expect(ids.sort()).toEqual(['a', 'a', 'b', 'b']);
    queued(take(p));
    expect([p.busy, p.waiting, p.ready]).toEqual([4, 1, 2]);
  });

  it('serves copies when nobody waits for an answer, and counts them only as demand', () => {
    const answers: unknown[] = [];
    const { pool: p, demand } = pool({ queueLimit: 1, onAnswer: (answer) => void answers.push(answer) });
    const granted: string[] = [];
    const ask = (name: string, copy: boolean) => {
      const got = p.lease({ copy, granted: () => void granted.push(name), refused: () => {} });
      return 'replica' in got ? got : undefined;
    };
    p.add(replica('a', 1));
    const first = ask('first', true);
    expect([p.inFlight, p.busy, demand.now]).toEqual([0, 1, 1]);
    ask('copy', true);
    ask('real', false);
    // each has a queue of its own, which is bounded by itself
    expect(() => ask('one copy more', true)).toThrow('which is the bound');
    expect([p.inFlight, p.waiting]).toEqual([1, 2]);
    first?.release(5);
    expect(granted).toEqual(['real']);
    expect(answers).toEqual([]);
    p.add(replica('b', 1));
    expect(granted).toEqual(['real', 'copy']);
    expect([p.inFlight, p.waiting, demand.now]).toEqual([1, 0, 2]);
  });

  it('refuses copies that wait when it is closed', () => {
    const { pool: p, demand } = pool();
    const refused: string[] = [];
    p.lease({ copy: true, granted: () => {}, refused: ({ code }) => void refused.push(code) });
    p.rejectWaiters(new AppError('not_ready', 'gone'));
    expect([refused, demand.now, p.inFlight]).toEqual([['not_ready'], 0, 0]);
  });

  it('counts a release once, however often it is called', () => {
    const { pool: p, demand } = pool();
    p.add(replica('a', 1));
    const lease = held(take(p));
    lease.release();
    lease.release();
    expect([p.busy, demand.now]).toEqual([0, 0]);
    held(take(p));
    queued(take(p));
  });

  it('tells how long an answered request waited, here and in the replica, and how long it took then', async () => {
    const told: unknown[] = [];
    const { pool: p } = pool({ onAnswer: (answered) => told.push(answered) });
    const began = performance.now();
    const waiting = queued(take(p)).lease;
    vi.advanceTimersByTime(30);
    p.add(replica('a', 1));
    const lease = await waiting;
    vi.advanceTimersByTime(50);
    lease.release(20);
    // one without an answer says nothing
    held(take(p)).release();
    expect(told).toEqual([{ arrivedMs: began, delayMs: 50, serviceMs: 30 }]);
    expect(p.inFlight).toBe(0);
  });

  it('serves who waits in order of arrival, before who comes later', async () => {
    const { pool: p } = pool();
    const order: number[] = [];
    for (let at = 0; at < 5; at++) void queued(take(p)).lease.then(() => order.push(at));
    p.add(replica('a', 2));
    p.add(replica('b', 2));
    await Promise.resolve();
    expect(order).toEqual([0, 1, 2, 3]);
    expect(p.waiting).toBe(1);
    queued(take(p));
  });

  it('refuses beyond the queue bound at once, and takes again when somebody left', async () => {
    const { pool: p, demand } = pool({ queueLimit: 2 });
    const first = queued(take(p));
    queued(take(p));
    expect(() => take(p)).toThrowError(expect.objectContaining({ code: 'overloaded', retryAfterSec: 1 }));
    expect(demand.now).toBe(2);
    first.cancel();
    await expect(first.lease).rejects.toMatchObject({ code: 'cancelled' });
    queued(take(p));
  });

  it('ends a wait that is too long, and says why', async () => {
    const { pool: p, demand } = pool({ queueTimeoutMs: 500 });
    const waiting = queued(take(p)).lease;
    const outcome = expect(waiting).rejects.toMatchObject({ code: 'not_ready', message: 'because' });
    vi.advanceTimersByTime(501);
    await outcome;
    expect([p.waiting, demand.now]).toEqual([0, 0]);
  });

  it('does not let a cancel take back what was already given', async () => {
    const { pool: p, demand } = pool();
    const waiting = queued(take(p));
    p.add(replica('a', 1));
    waiting.cancel();
    (await waiting.lease).release();
    expect([p.busy, p.waiting, demand.now]).toEqual([0, 0, 0]);
  });

  it('drains: nothing new, done with the last request', async () => {
    const { pool: p } = pool();
    p.add(replica('a', 2));
    const [one, two] = [held(take(p)), held(take(p))];
    let drained = false;
    void p.drain('a').then(() => {
      drained = true;
    });
    expect(p.ready).toBe(0);
    const waiting = queued(take(p));
    one.release();
    await Promise.resolve();
    expect([drained, p.waiting]).toEqual([false, 1]);
    two.release();
    await Promise.resolve();
    expect(drained).toBe(true);
    p.add(replica('b', 1));
    expect((await waiting.lease).replica.id).toBe('b');
  });

  it.each([
    { why: 'an idle replica', busy: false },
    { why: 'a busy replica', busy: true },
  ])('tells everybody who drains $why', async ({ busy }) => {
    const { pool: p } = pool();
    p.add(replica('a', 1));
    const lease = busy ? held(take(p)) : undefined;
    const both = [p.drain('a'), p.drain('a')];
    lease?.release();
    await Promise.all(both);
    await p.drain('a');
    await p.drain('never there');
    expect(p.busy).toBe(0);
  });

  it('ends a drain when the replica dies, and its late releases change nothing', async () => {
    const { pool: p, demand } = pool();
    p.add(replica('a', 1));
    const lease = held(take(p));
    const drained = p.drain('a');
    p.drop('a');
    await drained;
    // another of the same name must not be hurt by the release of the dead one's slot
    p.add(replica('a', 1));
    lease.release();
    expect([p.ready, p.busy, demand.now]).toEqual([1, 0, 0]);
    held(take(p));
  });

  it('sends nothing to a dropped replica and loses nobody who waits', async () => {
    const { pool: p } = pool();
    p.add(replica('a', 1));
    const lease = held(take(p));
    const waiting = queued(take(p));
    p.drop('a');
    lease.release();
    expect(p.waiting).toBe(1);
    p.add(replica('b', 1));
    expect((await waiting.lease).replica.id).toBe('b');
  });

  it('names the idlest replica that takes requests', () => {
    const { pool: p } = pool();
    expect(p.idlest()).toBeUndefined();
    p.add(replica('a', 4));
    held(take(p));
    p.add(replica('b', 4));
    expect(p.idlest()).toBe('b');
    void p.drain('b');
    expect(p.idlest()).toBe('a');
  });

  it('rejects everybody who waits', async () => {
    const { pool: p, demand } = pool();
    const waiting = [queued(take(p)).lease, queued(take(p)).lease];
    p.rejectWaiters(new AppError('not_ready', 'gone'));
    for (const one of waiting) await expect(one).rejects.toMatchObject({ message: 'gone' });
    expect([p.waiting, demand.now]).toEqual([0, 0]);
  });
});

/** Any interleaving against a model that only counts: what the pool says must follow from what was done to it. */
describe('ReplicaPool under random interleavings', () => {
  it.each(Array.from({ length: 60 }, (_, at) => at + 1))('seed %i', async (seed) => {
    const random = seeded(seed);
    const pick = <T>(list: readonly T[]): T | undefined => list[Math.floor(random() * list.length)];
    const queueLimit = 1 + Math.floor(random() * 8);
    const { pool: p, demand } = pool({ queueLimit, queueTimeoutMs: 50 });
    const slots = new Map<string, number>();
    const draining = new Map<string, { done: boolean }>();
    const leases: Lease[] = [];
    const waits = new Set<AwaitedPlace>();
    let outcomes = 0;
    let asked = 0;
    let serial = 0;

    const track = (waiting: AwaitedPlace) => {
      waits.add(waiting);
      waiting.lease
        .then(
          (lease) => void leases.push(lease),
          () => void outcomes++,
        )
        .finally(() => waits.delete(waiting));
    };
    const settle = async () => {
      for (let turn = 0; turn < 4; turn++) await Promise.resolve();
    };
    const busyOf = (id: string) => leases.filter((lease) => lease.replica.id === id).length;

    for (let step = 0; step < 250; step++) {
      const what = random();
      if (what < 0.45) {
        try {
          asked++;
          const got = take(p);
          if ('replica' in got) leases.push(got);
          else track(got);
        } catch {
          outcomes++;
          expect(p.waiting).toBe(queueLimit);
        }
      } else if (what < 0.75) {
        const lease = pick(leases);
        if (lease) {
          leases.splice(leases.indexOf(lease), 1);
          outcomes++;
          lease.release();
        }
      } else if (what < 0.82) {
        const id = `r${++serial}`;
        slots.set(id, 1 + Math.floor(random() * 3));
        p.add(replica(id, slots.get(id) ?? 1));
      } else if (what < 0.87) {
        const id = pick([...slots.keys()]);
        if (id !== undefined) {
          const state = { done: false };
          draining.set(id, state);
          void p.drain(id).then(() => {
            state.done = true;
          });
        }
      } else if (what < 0.91) {
        const id = pick([...slots.keys()]);
        if (id !== undefined) {
          p.drop(id);
          slots.delete(id);
          draining.delete(id);
        }
      } else if (what < 0.97) pick([...waits])?.cancel();
      else vi.advanceTimersByTime(30);
      await settle();

      for (const [id, state] of draining) {
        expect(state.done, `drain of ${id} after step ${step}`).toBe(busyOf(id) === 0);
        if (state.done) {
          slots.delete(id);
          draining.delete(id);
        }
      }
      let free = 0;
      for (const [id, most] of slots) {
        expect(busyOf(id)).toBeLessThanOrEqual(most);
        if (!draining.has(id)) free += most - busyOf(id);
      }
      if (free > 0) expect(p.waiting, 'nobody waits beside a free slot').toBe(0);
      expect(p.waiting).toBe(waits.size);
      expect(p.waiting).toBeLessThanOrEqual(queueLimit);
      expect(p.busy).toBe([...slots.keys()].reduce((sum, id) => sum + busyOf(id), 0));
      expect(p.ready).toBe([...slots.keys()].filter((id) => !draining.has(id)).length);
      expect(demand.now).toBe(leases.length + waits.size);
    }

    for (const lease of leases.splice(0)) {
      outcomes++;
      lease.release();
      await settle();
    }
    p.rejectWaiters(new AppError('cancelled', 'the end'));
    await settle();
    for (const lease of leases) {
      outcomes++;
      lease.release();
    }
    expect(outcomes, 'every request came to exactly one end').toBe(asked);
    expect([demand.now, demand.least, p.busy, p.waiting]).toEqual([0, 0, 0, 0]);
    expect(vi.getTimerCount()).toBe(0);
  });
});
