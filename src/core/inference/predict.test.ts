import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { predictionOf } from '../../../tests/support/predictions.js';
import { AppError } from '../../errors.js';
import type { Fleet } from '../fleet.js';
import type { Call, Exchange, ReplyHandler } from './forward.js';
import type { Lease, LeaseWaiter, Waiting } from './pool.js';
import type { PredictOptions } from './predict.js';
import type { RevisionRoute } from './route.js';

const revision = { key: 'ep/1' } as RevisionRoute;
const call: Call = { method: 'POST', path: '/', headers: {}, body: Buffer.alloc(0) };
const gone = () => new AppError('upstream_failed', 'gone');

type Act =
  | 'answer'
  | 'fail 500'
  | 'go away'
  | 'hang'
  | 'throw'
  | 'wait'
  | 'wait for ever'
  | 'refuse'
  | 'stream'
  | 'break off';

/** A fleet that does one thing for each attempt. */
function fleet(...acts: Act[]) {
  const seen = { attempts: 0, held: 0, cancelled: 0, left: 0 };
  const exchange = (act: Act, handler: ReplyHandler): Exchange => {
    const answer = (status: number) =>
      handler.onReply({ status, headers: {}, more: false, worked: true }, Buffer.alloc(0));
    const stream = () => {
      handler.onReply({ status: 200, headers: {}, more: true, worked: false }, Buffer.from('a'));
      handler.onData(Buffer.from('b'));
      if (act === 'stream') handler.onEnd();
      else handler.onError(gone());
    };
    if (act === 'answer') queueMicrotask(() => answer(200));
    if (act === 'fail 500') queueMicrotask(() => answer(500));
    if (act === 'go away') queueMicrotask(() => handler.onError(gone()));
    if (act === 'stream' || act === 'break off') queueMicrotask(stream);
    return { cancel: () => void seen.cancelled++, pause() {}, resume() {} };
  };
  const lease = (act: Act): Lease => {
    seen.held++;
    const forward = (_: Call, handler: ReplyHandler) => {
      if (act === 'throw') throw new AppError('too_large', 'headers take too much');
      return exchange(act, handler);
    };
    return {
      replica: { id: 'r1', slots: 1, address: { kind: 'socket', path: '' }, forward },
      release: () => void seen.held--,
    };
  };
  const made = {
    inFlight: () => 0,
    lease(_: RevisionRoute, waiter: LeaseWaiter): Lease | Waiting {
      const act = acts[seen.attempts++] ?? 'answer';
      if (act === 'refuse') throw new AppError('overloaded', 'full');
      if (act !== 'wait' && act !== 'wait for ever') return lease(act);
      const timer = act === 'wait' ? setTimeout(() => waiter.granted(lease('answer')), 50) : undefined;
      const cancel = () => {
        clearTimeout(timer);
        seen.left++;
      };
      return { cancel };
    },
  };
  return { fleet: made as unknown as Fleet, seen };
}

const run = (f: Fleet, given: PredictOptions = options, sent = call) => predictionOf(f, revision, sent, given);

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
    const { reply: got } = run(f);
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
    await expect(run(f).reply).rejects.toMatchObject({ code });
    expect(seen).toMatchObject({ attempts, held: 0 });
    expect(vi.getTimerCount()).toBe(0);
  });

  it('does not run a request twice that says it must not', async () => {
    const { fleet: f, seen } = fleet('go away', 'answer');
    const { reply: got } = run(f, { ...options, idempotent: false });
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
    const prediction = run(f);
    const outcome = expect(prediction.reply).rejects.toMatchObject({ code: 'cancelled' });
    await vi.advanceTimersByTimeAsync(10);
    prediction.cancel();
    prediction.cancel();
    await outcome;
    expect(seen.held).toBe(0);
    expect(seen).toMatchObject({ left, cancelled });
    expect(vi.getTimerCount()).toBe(0);
  });

  it.each([
    { phase: 'waiting', acts: ['wait for ever'] },
    { phase: 'forwarded', acts: ['hang'] },
    { phase: 'waiting again', acts: ['go away', 'wait for ever'] },
  ] as const)('the time limit holds while the request is $phase', async ({ acts }) => {
    const { fleet: f, seen } = fleet(...acts);
    const outcome = expect(run(f).reply).rejects.toMatchObject({
      code: 'timeout',
      message: 'no answer within 1000 ms',
    });
    await vi.advanceTimersByTimeAsync(1001);
    await outcome;
    expect(seen.held).toBe(0);
  });

  it('a cancel after the answer changes nothing', async () => {
    const { fleet: f, seen } = fleet('answer');
    const prediction = run(f);
    expect((await prediction.reply).status).toBe(200);
    prediction.cancel();
    expect(seen).toMatchObject({ cancelled: 0, held: 0 });
  });

  it('an answer in pieces holds its slot to its end, and is not asked for again when it breaks off', async () => {
    const whole = fleet('stream');
    expect((await run(whole.fleet).reply).body.toString()).toBe('ab');
    expect(whole.seen).toMatchObject({ attempts: 1, held: 0 });
    const broken = fleet('break off', 'answer');
    await expect(run(broken.fleet).reply).rejects.toMatchObject({ code: 'upstream_failed' });
    expect(broken.seen).toMatchObject({ attempts: 1, held: 0 });
    expect(vi.getTimerCount()).toBe(0);
  });

  it('a body that comes in pieces is not sent twice', async () => {
    const { fleet: f, seen } = fleet('go away', 'answer');
    const rest = { read() {}, pause() {}, resume() {} };
    await expect(run(f, options, { ...call, rest }).reply).rejects.toMatchObject({ code: 'upstream_failed' });
    expect(seen).toMatchObject({ attempts: 1, held: 0 });
  });
});
