import { describe, expect, it } from 'vitest';
import { RequestSize } from './request-size.js';
import { Slots } from './slots.js';
import { batchSpecSchema } from './spec.js';

describe('how many rows go into a request', () => {
  it('about a thousand; fewer when slow, more when quick, never more than fit', () => {
    const size = new RequestSize({ fixed: undefined, maxBytes: 1_000_000 });
    expect(size.next(8)).toBe(1000);
    expect(size.next(100_000)).toBe(10);
    expect(size.next(10_000_000)).toBe(1);
    for (let at = 0; at < 20; at++) size.answered(size.next(8), 10);
    expect(size.next(8)).toBe(4000);
    size.answered(4000, 5000);
    expect(size.next(8)).toBe(2000);
    for (let at = 0; at < 20; at++) size.answered(size.next(8), 5000);
    expect(size.next(8)).toBe(1);
    // one small request in between says nothing of larger ones
    size.answered(1, 500);
    expect(size.next(8)).toBe(1);
  });

  it('as many as somebody chose, if they fit', () => {
    const size = new RequestSize({ fixed: 7, maxBytes: 100 });
    size.answered(7, 60_000);
    expect([size.next(1), size.next(50)]).toEqual([7, 2]);
  });
});

describe('slots', () => {
  it('are as many as there are, in turn, and a leaver loses none', async () => {
    const slots = new Slots(2);
    const never = new AbortController().signal;
    const first = await slots.take(never);
    const second = await slots.take(never);
    const order: string[] = [];
    const leaver = new AbortController();
    const left = slots.take(leaver.signal).catch(() => order.push('left'));
    const third = slots.take(never).then((release) => {
      order.push('third');
      return release;
    });
    leaver.abort(new Error('enough'));
    await left;
    expect(order).toEqual(['left']);
    first();
    (await third)();
    second();
    const all = await Promise.all([slots.take(never), slots.take(never)]);
    let taken = false;
    const fourth = slots.take(never).finally(() => {
      taken = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(taken).toBe(false);
    for (const release of all) release();
    (await fourth)();
  });
});

describe('a batch prediction', () => {
  const spec = { endpoint: 'e', input: { dataset: 'd', format: 'csv' }, output: { format: 'jsonl' } };
  it('has defaults for the rest', () => {
    expect(batchSpecSchema.parse(spec)).toMatchObject({ concurrency: 8, onError: 'fail', input: { columns: {} } });
  });

  it.each([
    { why: 'no input', change: { input: { format: 'csv' } }, says: 'either dataset or digest' },
    {
      why: 'two inputs',
      change: { input: { format: 'csv', dataset: 'd', digest: `sha256:${'0'.repeat(64)}` } },
      says: 'either dataset or digest',
    },
    {
      why: 'a version of no dataset',
      change: { input: { format: 'csv', version: 1, digest: `sha256:${'0'.repeat(64)}` } },
      says: 'a version is one of a dataset',
    },
    { why: 'npy with errors', change: { output: { format: 'npy' }, onError: 'null' }, says: 'onError must be "fail"' },
    { why: 'npy of two', change: { output: { format: 'npy', outputs: ['a', 'b'] } }, says: 'must name one output' },
    { why: 'no such format', change: { output: { format: 'xml' } }, says: 'expected one of' },
  ])('is refused: $why', ({ change, says }) => {
    const parsed = batchSpecSchema.safeParse({ ...spec, ...change });
    expect(parsed.success).toBe(false);
    expect(JSON.stringify(parsed.error?.issues)).toContain(says.replaceAll('"', '\\"'));
  });
});
