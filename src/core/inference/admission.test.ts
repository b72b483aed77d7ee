import { describe, expect, it } from 'vitest';
import { Admission } from './admission.js';

/**
 * A server with one lane, on a clock of its own: requests come at equal distances or at random, wait for their turn, and are refused
 * by the admission. What the admitted waited, in order of their arrival, and how many were refused.
 */
function serve(
  admission: Admission,
  load: { everyMs: number; serviceMs: number; forMs: number; fromMs?: number; random?: () => number },
) {
  const { everyMs, serviceMs, forMs, fromMs = 0, random } = load;
  const gapMs = () => (random ? -Math.log(1 - random()) * everyMs : everyMs);
  const queue: { arrivedMs: number; startMs: number; endMs: number }[] = [];
  const delays: number[] = [];
  let refused = 0;
  let free = fromMs;
  for (let now = fromMs; now < fromMs + forMs; now += gapMs()) {
    while (queue[0] && queue[0].endMs <= now) {
      const { arrivedMs, startMs, endMs } = queue.shift() as (typeof queue)[number];
      admission.answered(endMs, { arrivedMs, delayMs: startMs - arrivedMs, serviceMs: endMs - startMs });
    }
    if (!admission.admits(queue.length)) {
      refused++;
      continue;
    }
    const startMs = Math.max(now, free);
    free = startMs + serviceMs;
    queue.push({ arrivedMs: now, startMs, endMs: free });
    delays.push(startMs - now);
  }
  return { delays, refused };
}

/** Numbers from 0 to 1, the same each time (Lehmer). */
function sequence(): () => number {
  let state = 42;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}

const settled = (delays: readonly number[]) => Math.max(...delays.slice(Math.floor(delays.length / 2)));

describe('Admission', () => {
  it('refuses nobody where there is room for all', () => {
    const admission = new Admission({ maxDelayMs: 5 });
    const { refused, delays } = serve(admission, { everyMs: 10, serviceMs: 9, forMs: 10_000 });
    expect(refused).toBe(0);
    expect(Math.max(...delays)).toBe(0);
  });

  it('keeps the delay near the bound at twice the capacity, and the server busy', () => {
    const admission = new Admission({ maxDelayMs: 20 });
    const { refused, delays } = serve(admission, { everyMs: 5, serviceMs: 10, forMs: 20_000 });
    expect(settled(delays)).toBeLessThanOrEqual(40);
    expect(refused / (refused + delays.length)).toBeCloseTo(0.5, 1);
  });

  it('lets nobody wait for more than two before it, where one may, though they come at random', () => {
    const admission = new Admission({ maxDelayMs: 1 });
    const { delays, refused } = serve(admission, { everyMs: 0.5, serviceMs: 1, forMs: 20_000, random: sequence() });
    const late = delays.slice(delays.length / 2);
    expect(Math.max(...late)).toBeLessThanOrEqual(2);
    expect(late.reduce((sum, delay) => sum + delay, 0) / late.length).toBeLessThanOrEqual(1);
    expect(refused / (refused + delays.length)).toBeLessThan(0.56);
  });

  it('never asks for less delay than one request takes', () => {
    const admission = new Admission({ maxDelayMs: 1 });
    const { delays, refused } = serve(admission, { everyMs: 50, serviceMs: 100, forMs: 60_000 });
    expect(settled(delays)).toBeLessThanOrEqual(200);
    expect(refused / (refused + delays.length)).toBeCloseTo(0.5, 1);
  });

  it('takes a burst that passes', () => {
    const admission = new Admission({ maxDelayMs: 20 });
    for (let burst = 0; burst < 20; burst++) {
      const { refused } = serve(admission, { everyMs: 1, serviceMs: 5, forMs: 30, fromMs: burst * 1000 });
      expect(refused).toBe(0);
      serve(admission, { everyMs: 100, serviceMs: 5, forMs: 800, fromMs: burst * 1000 + 200 });
    }
  });

  it('gives way again when the server is faster', () => {
    const admission = new Admission({ maxDelayMs: 20 });
    serve(admission, { everyMs: 5, serviceMs: 50, forMs: 20_000 });
    const { refused } = serve(admission, { everyMs: 5, serviceMs: 2, forMs: 20_000, fromMs: 20_000 });
    expect(refused).toBeLessThan(100);
  });

  it('learns anew after a reset', () => {
    const admission = new Admission({ maxDelayMs: 5 });
    serve(admission, { everyMs: 1, serviceMs: 20, forMs: 5000 });
    expect(admission.limit).toBeLessThan(10);
    admission.reset();
    expect(admission.admits(1_000_000)).toBe(true);
  });
});
