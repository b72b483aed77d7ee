import { describe, expect, it } from 'vitest';
import { eventually } from '../../../../tests/support/children.js';
import { ManualClock } from '../../../clock.js';
import { AppError } from '../../../errors.js';
import { EndpointCache } from './endpoint-cache.js';
import type { Asking, Outcome, SharedAnswer } from './flight.js';
import { type ResponseCacheSettings, responseCacheSchema } from './settings.js';
import type { SharedCache } from './shared-cache.js';

const KEY = { revision: 'ep/1', request: 'k' };
const ok = (text: string): SharedAnswer => ({ status: 200, message: Buffer.from(text) });
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

/** A computation that a test ends. */
interface Running extends Outcome {
  readonly timeoutMs: number;
  cancelled: boolean;
}

function bench(settings: Partial<ResponseCacheSettings> = {}, shared?: SharedCache) {
  const clock = new ManualClock(1_000_000);
  const counts = { memoryHits: 0, sharedHits: 0, misses: 0, coalesced: 0 };
  const counter = (name: keyof typeof counts) => ({ inc: () => void counts[name]++ });
  const counters = {
    memoryHits: counter('memoryHits'),
    sharedHits: counter('sharedHits'),
    misses: counter('misses'),
    coalesced: counter('coalesced'),
  };
  const cache = new EndpointCache(responseCacheSchema.parse({ enabled: true, ...settings }), {
    clock,
    shared,
    counters,
  });
  const running: Running[] = [];
  const heard: Record<string, string> = {};
  const ask = (name: string, key = KEY, timeoutMs = 60_000) => {
    const asking: Asking = {
      timeoutMs,
      compute(outcome, leftMs) {
        const run: Running = { ...outcome, timeoutMs: leftMs, cancelled: false };
        running.push(run);
        return {
          cancel: () => {
            run.cancelled = true;
          },
        };
      },
      waiter: {
        answered: ({ status, message }, source) => {
          heard[name] = `${status} ${message} ${source}`;
        },
        failed: (error) => {
          heard[name] = error.code;
        },
      },
    };
    return cache.answer(key, asking);
  };
  const run = (at: number) => {
    const found = running[at];
    if (!found) throw new Error(`there is no computation ${at}, only ${running.length}`);
    return found;
  };
  return { cache, clock, counts, running, run, heard, ask };
}

describe('answers that are kept', () => {
  it('are given until their time is over, and only to the same request of the same revision', async () => {
    const { cache, clock, counts, run, heard, ask } = bench({ ttlSec: 10 });
    ask('first');
    run(0).answered(ok('A'));
    ask('second');
    expect(heard).toEqual({ first: '200 A computed', second: '200 A memory' });
    expect(cache.lookup(KEY)?.toString()).toBe('A');
    expect(cache.lookup({ ...KEY, revision: 'ep/2' })).toBeUndefined();
    expect(cache.lookup({ ...KEY, request: 'other' })).toBeUndefined();
    await clock.advance(10_000);
    expect(cache.lookup(KEY)).toBeUndefined();
    expect(counts).toEqual({ memoryHits: 2, sharedHits: 0, misses: 1, coalesced: 0 });
  });

  it('are those of status 200, not too large', () => {
    const { cache, run, ask } = bench({ maxEntryBytes: 10 });
    for (const [at, answer] of [
      { ...ok('no'), status: 400 },
      { ...ok('no'), status: 500 },
      ok('12345678901'),
    ].entries()) {
      ask(`r${at}`);
      run(at).answered(answer);
      expect(cache.lookup(KEY)).toBeUndefined();
    }
    ask('small');
    run(3).answered(ok('1234567890'));
    expect(cache.lookup(KEY)).toBeDefined();
  });

  it('are bounded in bytes, less when the settings say so', () => {
    const { cache, run, ask } = bench({ maxBytes: 65_536, maxEntryBytes: 10_000 });
    for (let i = 0; i < 20; i++) {
      ask(`r${i}`, { ...KEY, request: `k${i}` });
      run(i).answered({ status: 200, message: Buffer.alloc(8_000) });
    }
    expect(cache.bytes).toBeLessThanOrEqual(65_536);
    expect(cache.bytes).toBeGreaterThan(50_000);
    cache.configure(responseCacheSchema.parse({ enabled: true, maxBytes: 65_536, maxEntryBytes: 1 }));
    ask('more', { ...KEY, request: 'more' });
    run(20).answered(ok('12'));
    expect(cache.lookup({ ...KEY, request: 'more' })).toBeUndefined();
  });

  it('go with their revision; what it still computes is not kept', () => {
    const { cache, run, heard, ask } = bench();
    const other = { ...KEY, revision: 'ep/2' };
    ask('old');
    run(0).answered(ok('A'));
    ask('new', other);
    run(1).answered(ok('B'));
    ask('late', { ...KEY, request: 'late' });
    cache.keepOnly(new Set(['ep/2']));
    expect(cache.lookup(KEY)).toBeUndefined();
    expect(cache.lookup(other)?.toString()).toBe('B');
    run(2).answered(ok('C'));
    expect(heard.late).toBe('200 C computed');
    expect(cache.lookup({ ...KEY, request: 'late' })).toBeUndefined();
  });
});

describe('equal requests at the same time', () => {
  it('are computed once', () => {
    const { counts, running, run, heard, ask } = bench();
    for (const name of ['a', 'b', 'c']) ask(name);
    ask('other', { ...KEY, request: 'other' });
    expect(running).toHaveLength(2);
    run(0).answered(ok('A'));
    expect(heard).toEqual({ a: '200 A computed', b: '200 A coalesced', c: '200 A coalesced' });
    expect(counts).toMatchObject({ misses: 2, coalesced: 2 });
  });

  it('share what the model refuses', () => {
    const { running, run, heard, ask } = bench();
    for (const name of ['a', 'b']) ask(name);
    run(0).answered({ status: 422, message: Buffer.from('bad') });
    expect(heard).toEqual({ a: '422 bad computed', b: '422 bad coalesced' });
    ask('c');
    expect(running).toHaveLength(2);
  });

  it.each([429, 408, 500, 503])('do not share an answer of %i: the next one leads', async (status) => {
    const { running, run, heard, ask } = bench();
    for (const name of ['a', 'b', 'c']) ask(name);
    run(0).answered({ status, message: Buffer.from('busy') });
    await turn();
    expect(heard).toEqual({ a: `${status} busy computed` });
    expect(running).toHaveLength(2);
    run(1).answered(ok('A'));
    expect(heard).toMatchObject({ b: '200 A computed', c: '200 A coalesced' });
  });

  it.each(['overloaded', 'timeout', 'upstream_failed', 'not_ready'] as const)(
    'do not share a failure of the leader (%s)',
    async (code) => {
      const { running, run, heard, ask } = bench();
      for (const name of ['a', 'b']) ask(name);
      run(0).failed(new AppError(code, 'no'));
      await turn();
      expect(heard).toEqual({ a: code });
      expect(run(1).timeoutMs).toBeLessThanOrEqual(60_000);
      run(1).failed(new AppError(code, 'no'));
      await turn();
      expect(heard).toEqual({ a: code, b: code });
      expect(running).toHaveLength(2);
    },
  );

  it('fail one after the other, however many they are, when each fails at once', async () => {
    const { cache } = bench();
    let failed = 0;
    const waiter = { answered: () => {}, failed: () => void failed++ };
    const first: Asking[] = [];
    const asking: Asking = {
      timeoutMs: 60_000,
      waiter,
      compute(outcome) {
        if (first.push(asking) > 1) outcome.failed(new AppError('overloaded', 'no'));
        else setImmediate(() => outcome.failed(new AppError('overloaded', 'no')));
        return { cancel: () => {} };
      },
    };
    for (let i = 0; i < 3_000; i++) cache.answer(KEY, asking);
    while (failed < 3_000) await turn();
    expect(failed).toBe(3_000);
  });

  it('go on when the leader leaves, and end when all have left', () => {
    const { running, run, heard, ask } = bench();
    const [a, b, c] = ['a', 'b', 'c'].map((name) => ask(name));
    a?.cancel();
    b?.cancel();
    expect(run(0).cancelled).toBe(false);
    run(0).answered(ok('A'));
    expect(heard).toEqual({ c: '200 A coalesced' });
    c?.cancel();
    const d = ask('d', { ...KEY, request: 'd' });
    d.cancel();
    expect(run(1).cancelled).toBe(true);
    run(1).answered(ok('late'));
    ask('e', { ...KEY, request: 'd' });
    expect(running).toHaveLength(3);
    expect(heard).toEqual({ c: '200 A coalesced' });
  });

  it('have a follower lead when the leader left and its time was over', async () => {
    const { run, heard, ask } = bench();
    ask('a').cancel();
    const a = ask('a2');
    ask('b');
    a.cancel();
    run(1).failed(new AppError('timeout', 'late'));
    await turn();
    run(2).answered(ok('B'));
    expect(heard).toEqual({ b: '200 B computed' });
  });

  it('keep their own time limits', async () => {
    const { run, heard, ask } = bench();
    ask('patient');
    ask('hasty', KEY, 1);
    await eventually(() => heard.hasty !== undefined);
    expect(heard).toEqual({ hasty: 'timeout' });
    run(0).answered(ok('A'));
    expect(heard).toEqual({ hasty: 'timeout', patient: '200 A computed' });
  });

  it('ask each for itself when the answer is too large to be held, and from then on at once', () => {
    const { running, run, heard, ask, counts } = bench();
    const [a, b] = ['a', 'b', 'c'].map((name) => ask(name));
    run(0).alone();
    expect(running).toHaveLength(3);
    a?.cancel();
    expect(run(0).cancelled).toBe(true);
    run(1).alone();
    b?.cancel();
    expect(run(1).cancelled).toBe(true);
    run(2).answered(ok('C'));
    expect(heard).toEqual({ c: '200 C computed' });
    ask('d');
    ask('e');
    expect(running).toHaveLength(5);
    expect(counts.misses).toBe(5);
  });

  it('hear of a computation that cannot be begun', () => {
    const { cache, heard } = bench();
    cache.answer(KEY, {
      timeoutMs: 1000,
      compute: () => {
        throw new AppError('invalid', 'no');
      },
      waiter: { answered: () => {}, failed: ({ code }) => void Object.assign(heard, { a: code }) },
    });
    expect(heard).toEqual({ a: 'invalid' });
  });
});

describe('with a cache that gateways share', () => {
  function sharedWith(found: Awaited<ReturnType<SharedCache['get']>>) {
    const sets: string[] = [];
    const gets: string[] = [];
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const shared: SharedCache = {
      async get(key) {
        gets.push(key);
        await held;
        return found;
      },
      set: (key, value, ttlMs) => void sets.push(`${key} ${value} ${ttlMs}`),
    };
    return { shared, sets, gets, release };
  }

  it('an answer that another gateway kept is taken, for the rest of its time', async () => {
    const { shared, sets, gets, release } = sharedWith({ value: Buffer.from('A'), ttlMs: 500 });
    const { cache, clock, counts, running, heard, ask } = bench({}, shared);
    ask('a');
    ask('b');
    expect(heard).toEqual({});
    release();
    await turn();
    expect(heard).toEqual({ a: '200 A shared', b: '200 A shared' });
    expect([gets, sets, running]).toEqual([['ep/1:k'], [], []]);
    expect(counts).toEqual({ memoryHits: 0, sharedHits: 1, misses: 0, coalesced: 1 });
    expect(cache.lookup(KEY)?.toString()).toBe('A');
    await clock.advance(500);
    expect(cache.lookup(KEY)).toBeUndefined();
  });

  it('an answer that it has not is computed, and kept there', async () => {
    const { shared, sets, release } = sharedWith(undefined);
    const { run, heard, ask } = bench({ ttlSec: 5 }, shared);
    ask('a');
    release();
    await turn();
    run(0).answered(ok('A'));
    expect(heard).toEqual({ a: '200 A computed' });
    expect(sets).toEqual(['ep/1:k A 5000']);
  });

  it('nothing is computed for who left meanwhile', async () => {
    const { shared, release } = sharedWith(undefined);
    const { running, heard, ask } = bench({}, shared);
    ask('a').cancel();
    release();
    await turn();
    expect([running, heard]).toEqual([[], {}]);
  });
});
