import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../../clock.js';
import { AppError } from '../../../errors.js';
import { createGatewayMetrics } from '../../../metrics.js';
import { v2 } from '../../../protocol/codecs/v2.js';
import type { Exchange, ReplyHandler } from '../forward.js';
import { Observations } from '../observations.js';
import type { RevisionRoute } from '../route.js';
import type { ShadowedRequest } from './copied-request.js';
import { type ShadowSettings, shadowSchema } from './settings.js';
import { Shadows } from './shadows.js';

const revision = (number: number) =>
  ({ number, endpointId: 'ep', endpoint: 'e', signature: { inputs: [], outputs: [] } }) as unknown as RevisionRoute;

const answer = (value: number) =>
  Buffer.from(JSON.stringify({ outputs: [{ name: 'y', datatype: 'FP32', shape: [1], data: [value] }] }));
const whole = { status: 200, headers: {}, more: false, worked: true };

/** A turn of the event loop, in which copies are sent and answers compared. */
const turn = async () => {
  for (let at = 0; at < 5; at++) await new Promise((resolve) => setImmediate(resolve));
};

/** Shadows of one endpoint, whose copies and real requests are answered by hand. */
function bench(settings: Partial<ShadowSettings> = {}) {
  const metrics = createGatewayMetrics({ fleet: () => [], responseCaches: () => [] });
  const clock = new ManualClock(0);
  const shadows = new Shadows({
    metrics: metrics.shadow,
    observations: new Observations('gw'),
    clock,
    processes: 1,
    random: () => 0,
  });
  const copies: { handler: ReplyHandler; cancelled: boolean }[] = [];
  const order: string[] = [];
  const send = (_: RevisionRoute, __: number, handler: ReplyHandler): Exchange => {
    const copy = { handler, cancelled: false };
    copies.push(copy);
    order.push('copy');
    return {
      cancel: () => {
        copy.cancelled = true;
      },
      pause() {},
      resume() {},
    };
  };
  return {
    shadows,
    clock,
    copies,
    order,
    begin(bytes = 10) {
      const heard: string[] = [];
      let real: ReplyHandler | undefined;
      const request: ShadowedRequest = {
        id: 'r',
        shadow: {
          settings: shadowSchema.parse(settings),
          targets: [{ revision: revision(2), shadowPercent: 100 }],
        },
        revision: revision(1),
        codec: v2,
        bytes,
        send,
      };
      const handler: ReplyHandler = {
        onReply: (_, body) => void heard.push(body.toString()),
        onData: (chunk) => void heard.push(chunk.toString()),
        onEnd: () => void heard.push('end'),
        onError: (error) => void heard.push(error.code),
      };
      const exchange = shadows.begin(request, handler, (to) => {
        real = to;
        order.push('real');
        return { cancel: () => void heard.push('cancelled'), pause() {}, resume() {} };
      });
      return { real: real as ReplyHandler, heard, exchange };
    },
    /** What was counted, without labels. */
    async counts() {
      const text = (await metrics.print()).text;
      const counted = [...text.matchAll(/^sluice_shadow_(\w+)_total\{.*?(?:reason="(\w+)")?\} ([1-9]\d*)$/gm)];
      return Object.fromEntries(counted.map(([, name, reason, count]) => [reason ?? name, Number(count)]));
    },
  };
}

describe('a copied request', () => {
  it('goes first, is answered first, and its copy is compared later', async () => {
    const { begin, copies, order, counts, shadows } = bench();
    const { real, heard } = begin();
    expect(order).toEqual(['real']);
    await turn();
    expect(order).toEqual(['real', 'copy']);
    real.onReply(whole, answer(1));
    expect(heard).toEqual([answer(1).toString()]);
    copies[0]?.handler.onReply(whole, answer(2));
    expect(await counts()).toEqual({ copies: 1 });
    await turn();
    expect(await counts()).toEqual({ copies: 1, compared: 1, disagreed: 1 });
    expect(shadows.held).toBe(0);
    expect(shadows.known('ep')?.examples).toMatchObject([{ output: 'y', real: '1', shadow: '2', shadowRevision: 2 }]);
  });

  it('may be answered after its copy, in pieces', async () => {
    const { begin, copies, counts, shadows } = bench();
    const { real, heard } = begin();
    await turn();
    copies[0]?.handler.onReply(whole, answer(1));
    const body = answer(1);
    real.onReply({ ...whole, more: true }, body.subarray(0, 5));
    real.onData(body.subarray(5));
    real.onEnd();
    await turn();
    expect(heard).toEqual([body.subarray(0, 5).toString(), body.subarray(5).toString(), 'end']);
    expect(await counts()).toEqual({ copies: 1, compared: 1 });
    expect(shadows.held).toBe(0);
  });

  type Act = (one: ReturnType<ReturnType<typeof bench>['begin']>, copy: ReplyHandler | undefined) => void;
  it.each<[string, Act, Record<string, number>]>([
    ['fails itself', ({ real }) => real.onError(new AppError('timeout', 'late')), { no_answer: 1 }],
    ['is answered with 500', ({ real }) => real.onReply({ ...whole, status: 500 }, answer(1)), { no_answer: 1 }],
    ['is left by its client', ({ exchange }) => exchange.cancel(), { no_answer: 1 }],
    [
      'is answered by a stream',
      ({ real }) =>
        real.onReply(
          { status: 200, headers: { 'content-type': 'text/event-stream' }, more: true, worked: false },
          answer(1),
        ),
      { streamed: 1 },
    ],
    ['has a large answer', ({ real }) => real.onReply(whole, Buffer.alloc(2000)), { too_large: 1 }],
    ['has a copy with a large answer', (_, copy) => copy?.onReply(whole, Buffer.alloc(2000)), { too_large: 1 }],
    ['has a copy that fails', (_, copy) => copy?.onError(new AppError('upstream_failed', 'gone')), { failed: 1 }],
    ['has a copy that is refused', (_, copy) => copy?.onError(new AppError('overloaded', 'full')), { overloaded: 1 }],
    ['has a copy answered with 503', (_, copy) => copy?.onReply({ ...whole, status: 503 }, answer(1)), { failed: 1 }],
    [
      'has a copy answered with 429',
      (_, copy) => copy?.onReply({ ...whole, status: 429 }, answer(1)),
      { overloaded: 1 },
    ],
  ])('that %s holds nothing afterwards', async (_, act, counted) => {
    const { begin, copies, counts, shadows } = bench({ maxBodyBytes: 1000 });
    const one = begin();
    await turn();
    expect(shadows.held).toBe(10);
    act(one, copies[0]?.handler);
    await turn();
    expect(await counts()).toEqual({ copies: 1, ...counted });
    expect(shadows.held).toBe(0);
    expect(shadows.known('ep')?.inFlight).toBe(0);
  });

  it.each<[string, Act, object]>([
    [
      'both refused',
      ({ real }, copy) => {
        real.onReply({ ...whole, status: 400 }, answer(1));
        copy?.onReply({ ...whole, status: 400 }, answer(2));
      },
      { compared: 1 },
    ],
    [
      'one refused',
      ({ real }, copy) => {
        real.onReply(whole, answer(1));
        copy?.onReply({ ...whole, status: 400 }, answer(2));
      },
      { compared: 1, disagreed: 1 },
    ],
    [
      'a shadow that is not understood',
      ({ real }, copy) => {
        real.onReply(whole, answer(1));
        copy?.onReply(whole, Buffer.from('hello'));
      },
      { compared: 1, disagreed: 1 },
    ],
    [
      'a real answer that is not understood',
      ({ real }, copy) => {
        real.onReply(whole, Buffer.from('hello'));
        copy?.onReply(whole, answer(1));
      },
      { unreadable: 1 },
    ],
  ])('%s', async (_, act, counted) => {
    const { begin, copies, counts } = bench();
    const one = begin();
    await turn();
    act(one, copies[0]?.handler);
    await turn();
    expect(await counts()).toEqual({ copies: 1, ...counted });
  });

  it('that failed before its copy left has none', async () => {
    const { begin, copies, counts } = bench();
    begin().real.onError(new AppError('overloaded', 'full'));
    await turn();
    expect(copies).toHaveLength(0);
    expect(await counts()).toEqual({ no_answer: 1 });
  });

  it('that was answered from a cache has no copy', async () => {
    const { begin, copies, counts, shadows } = bench();
    begin().real.onReply({ ...whole, cached: true }, answer(1));
    await turn();
    expect(copies).toHaveLength(0);
    expect(await counts()).toEqual({});
    expect(shadows.held).toBe(0);
  });

  it('that is too large is not copied', async () => {
    const { begin, counts } = bench({ maxBodyBytes: 9 });
    const { real, heard } = begin(10);
    await turn();
    real.onReply(whole, answer(1));
    expect(heard).toHaveLength(1);
    expect(await counts()).toEqual({ too_large: 1 });
  });

  it('has a copy while few are under way, and while their bytes are few', async () => {
    const { begin, copies, counts, shadows } = bench({ maxInFlight: 2 });
    for (let at = 0; at < 5; at++) begin();
    await turn();
    expect(copies).toHaveLength(2);
    expect(await counts()).toEqual({ copies: 2, in_flight: 3 });
    const large = bench({ maxBodyBytes: 40 * 2 ** 20 });
    large.begin(40 * 2 ** 20);
    large.begin(40 * 2 ** 20);
    await turn();
    expect(await large.counts()).toEqual({ copies: 1, memory: 1 });
    expect(shadows.held).toBe(20);
  });

  it('goes to a shadow that fails again and again once a second, until it is answered', async () => {
    const { begin, copies, counts, clock } = bench();
    const fail = async (times: number) => {
      for (let at = 0; at < times; at++) {
        begin();
        await turn();
        copies.at(-1)?.handler.onError(new AppError('not_ready', 'it does not start'));
      }
    };
    await fail(15);
    expect(await counts()).toEqual({ copies: 10, failed: 10, failing: 5 });
    await clock.advance(1000);
    await fail(5);
    expect(await counts()).toEqual({ copies: 11, failed: 11, failing: 9 });
    await clock.advance(1000);
    begin();
    await turn();
    copies.at(-1)?.handler.onReply(whole, answer(1));
    for (let at = 0; at < 3; at++) begin();
    await turn();
    expect(copies).toHaveLength(15);
  });

  it('keeps the last twenty examples', async () => {
    const { begin, copies, shadows } = bench();
    for (let at = 0; at < 25; at++) {
      const { real } = begin();
      await turn();
      real.onReply(whole, answer(at));
      copies[at]?.handler.onReply(whole, answer(at + 1));
      await turn();
    }
    const examples = shadows.known('ep')?.examples ?? [];
    expect(examples).toHaveLength(20);
    expect(examples.at(-1)).toMatchObject({ real: '24', shadow: '25' });
  });
});
