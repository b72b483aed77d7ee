import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { AppError } from '../../errors.js';
import type { Fleet } from '../fleet.js';
import type { Call, Exchange, Reply } from './forward.js';
import type { Lease, Waiting } from './pool.js';
import { type PredictOptions, predict } from './predict.js';
import type { RevisionRoute } from './route.js';

const revision = { key: 'ep/1' } as RevisionRoute;
const call: Call = { method: 'POST', path: '/', headers: {}, body: Buffer.alloc(0) };
const reply = (status: number): Reply => ({ status, headers: {}, body: Buffer.alloc(0) });
const gone = () => new AppError('upstream_failed', 'gone');

type Act = 'answer' | 'fail 500' | 'go away' | 'hang' | 'throw' | 'wait' | 'wait for ever' | 'refuse';

/** A fleet that does one thing for each attempt. */
function fleet(...acts: Act[]) {
  const seen = { attempts: 0, held: 0, cancelled: 0, left: 0 };
  const exchange = (act: Act): Exchange => {
    if (act === 'answer') return { reply: Promise.resolve(reply(200)), cancel() {} };
    if (act === 'fail 500') return { reply: Promise.resolve(reply(500)), cancel() {} };
    if (act === 'go away') return { reply: Promise.reject(gone()), cancel() {} };
    let fail = (_: AppError) => {};
    const hanging = new Promise<Reply>((_, reject) => {
      fail = reject;
    });
    const cancel = () => {
      seen.cancelled++;
      fail(new AppError('cancelled', 'the request was cancelled'));
    };
    return { reply: hanging, cancel };
  };
  const lease = (act: Act): Lease => {
    seen.held++;
    const forward = () => {
      if (act === 'throw') throw new AppError('too_large', 'headers take too much');
      return exchange(act);
    };
    return { replica: { id: 'r1', slots: 1, forward }, release: () => void seen.held-- };
  };
  const waiting = (ends: boolean): Waiting => {
    let fail = (_: AppError) => {};
    const got = new Promise<Lease>((resolve, reject) => {
      fail = reject;
      if (ends) setTimeout(() => resolve(lease('answer')), 50);
    });
    const cancel = () => {
      seen.left++;
      fail(new AppError('cancelled', 'left the queue'));
    };
    return { lease: got, cancel };
  };
  const made = {
    lease(): Lease | Waiting {
      const act = acts[seen.attempts++] ?? 'answer';
      if (act === 'refuse') throw new AppError('overloaded', 'full');
      if (act === 'wait' || act === 'wait for ever') return waiting(act === 'wait');
      return lease(act);
    },
  };
  return { fleet: made as unknown as Fleet, seen };
}

const options: PredictOptions = { timeoutMs: 1000, idempotent: true };

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('predict', () => {
  it.each([
    { why: 'the first answer is the answer', acts: ['answer'], status: 200, attempts: 1 },
    { why: 'an error of the model is an answer', acts: ['fail 500'], status: 500, attempts: 1 },
    { why: 'a replica that went away costs another try', acts: ['go away', 'answer'], status: 200, attempts: 2 },
    { why: 'and one more', acts: ['go away', 'go away', 'answer'], status: 200, attempts: 3 },
    { why: 'a try may have to wait', acts: ['go away', 'wait'], status: 200, attempts: 2 },
  ] as const)('$why', async ({ acts, status, attempts }) => {
    const { fleet: f, seen } = fleet(...acts);
    const { reply: got } = predict(f, revision, call, options);
    await vi.advanceTimersByTimeAsync(100);
    expect((await got).status).toBe(status);
    expect(seen).toMatchObject({ attempts, held: 0 });
    expect(vi.getTimerCount()).toBe(0);
  });

  it.each([
    { why: 'three tries are all', acts: ['go away', 'go away', 'go away'], code: 'upstream_failed', attempts: 3 },
    { why: 'a full queue is an answer', acts: ['refuse'], code: 'overloaded', attempts: 1 },
    { why: 'so is a full queue at the second try', acts: ['go away', 'refuse'], code: 'overloaded', attempts: 2 },
    { why: 'a request that cannot be sent is not tried again', acts: ['throw'], code: 'too_large', attempts: 1 },
  ] as const)('$why', async ({ acts, code, attempts }) => {
    const { fleet: f, seen } = fleet(...acts);
    await expect(predict(f, revision, call, options).reply).rejects.toMatchObject({ code });
    expect(seen).toMatchObject({ attempts, held: 0 });
    expect(vi.getTimerCount()).toBe(0);
  });

  it('does not run a request twice that says it must not', async () => {
    const { fleet: f, seen } = fleet('go away', 'answer');
    const { reply: got } = predict(f, revision, call, { ...options, idempotent: false });
    await expect(got).rejects.toMatchObject({ code: 'upstream_failed' });
    expect(seen).toMatchObject({ attempts: 1, held: 0 });
  });

  it.each([
    { phase: 'waiting', acts: ['wait for ever'], left: 1, cancelled: 0 },
    { phase: 'forwarded', acts: ['hang'], left: 0, cancelled: 1 },
    { phase: 'waiting again', acts: ['go away', 'wait for ever'], left: 1, cancelled: 0 },
    { phase: 'forwarded again', acts: ['go away', 'hang'], left: 0, cancelled: 1 },
  ] as const)('a client that leaves while the request is $phase gives all up', async ({ acts, left, cancelled }) => {
    const { fleet: f, seen } = fleet(...acts);
    const prediction = predict(f, revision, call, options);
    const outcome = expect(prediction.reply).rejects.toMatchObject({ code: 'cancelled' });
    await vi.advanceTimersByTimeAsync(10);
    prediction.cancel();
    prediction.cancel();
    await outcome;
    expect(seen.held).toBe(0);
    expect(left ? seen.left : seen.cancelled).toBeGreaterThanOrEqual(left + cancelled);
    expect(vi.getTimerCount()).toBe(0);
  });

  it.each([
    { phase: 'waiting', acts: ['wait for ever'] },
    { phase: 'forwarded', acts: ['hang'] },
    { phase: 'waiting again', acts: ['go away', 'wait for ever'] },
  ] as const)('the time limit holds while the request is $phase', async ({ acts }) => {
    const { fleet: f, seen } = fleet(...acts);
    const outcome = expect(predict(f, revision, call, options).reply).rejects.toMatchObject({
      code: 'timeout',
      message: 'no answer within 1000 ms',
    });
    await vi.advanceTimersByTimeAsync(1001);
    await outcome;
    expect(seen.held).toBe(0);
  });

  it('a cancel after the answer changes nothing', async () => {
    const { fleet: f, seen } = fleet('answer');
    const prediction = predict(f, revision, call, options);
    expect((await prediction.reply).status).toBe(200);
    prediction.cancel();
    expect(seen).toMatchObject({ cancelled: 0, held: 0 });
  });

  it('a slot that comes together with the cancel is given back unused', async () => {
    const { fleet: f, seen } = fleet('wait');
    const prediction = predict(f, revision, call, options);
    const outcome = expect(prediction.reply).rejects.toMatchObject({ code: 'cancelled' });
    vi.advanceTimersByTime(50);
    prediction.cancel();
    await outcome;
    expect(seen.held).toBe(0);
  });
});
