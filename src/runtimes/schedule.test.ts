import { describe, expect, it } from 'vitest';
import { Schedule } from './schedule.js';

const here = { aborted: false };

describe('Schedule', () => {
  it('does not start what was cancelled while it waited', async () => {
    const ran: number[] = [];
    const schedule = new Schedule(() => {});
    const signals = Array.from({ length: 5 }, () => ({ aborted: false }));
    const jobs = signals.map((signal, i) =>
      schedule.submit(signal, async () => {
        ran.push(i);
        await new Promise((resolve) => setTimeout(resolve, 5));
        const next = signals[i + 2];
        if (i === 0 && next) next.aborted = true;
      }),
    );
    const results = await Promise.allSettled(jobs);
    expect(ran).toEqual([0, 1, 3, 4]);
    expect(results[2]).toMatchObject({ status: 'rejected', reason: { code: 'cancelled' } });
  });

  it('gives errors to the one they belong to', async () => {
    const schedule = new Schedule(() => {});
    const bad = schedule.submit(here, () => Promise.reject(new Error('no')));
    const good = schedule.submit(here, async () => 1);
    await expect(bad).rejects.toThrow('no');
    expect(await good).toBe(1);
  });

  it('lets the sockets be looked at between turns of tiny jobs', async () => {
    const schedule = new Schedule(() => {});
    const job = () => new Promise<void>((resolve) => setImmediate(resolve));
    let turns = 0;
    const ticking = setInterval(() => turns++, 1);
    await Promise.all(
      Array.from({ length: 200 }, () =>
        schedule.submit(here, async () => {
          const end = performance.now() + 0.5;
          while (performance.now() < end);
          await job();
        }),
      ),
    );
    clearInterval(ticking);
    expect(turns).toBeGreaterThan(10);
  });

  it('tells the time of every job that ran, and when it is idle', async () => {
    const seconds: number[] = [];
    const schedule = new Schedule((value) => seconds.push(value));
    await schedule.whenIdle();
    const jobs = Array.from({ length: 9 }, () => schedule.submit(here, async () => {}));
    await schedule.whenIdle();
    await Promise.all(jobs);
    expect(seconds.length).toBe(9);
  });
});
