import { expect, it } from 'vitest';
import { addStatistics, readStatistics } from './statistics.js';

const tally = (count: number) => ({ count, ns: count * 10 });

it('adds up what replicas tell, batches by their size', () => {
  const told = (count: number) => ({
    model_stats: [
      {
        ...{ name: 'm', version: '1', last_inference: count, inference_count: count, execution_count: 1 },
        inference_stats: { success: tally(count) },
        batch_stats: [{ batch_size: count % 2, compute_infer: tally(count) }],
      },
    ],
  });
  const sum = addStatistics(
    'm',
    '1',
    [1, 2, 3].flatMap((count) => readStatistics(told(count))),
  );
  expect(sum).toMatchObject({ last_inference: 3, inference_count: 6, execution_count: 3 });
  expect(sum.inference_stats).toMatchObject({ success: tally(6), fail: tally(0) });
  expect(sum.batch_stats.map(({ batch_size, compute_infer }) => [batch_size, compute_infer.count])).toEqual([
    [0, 2],
    [1, 4],
  ]);
});

it("takes nothing from a server that tells something else: it may be anybody's", () => {
  const empty = addStatistics('m', '1', []);
  for (const answer of [
    undefined,
    null,
    5,
    {},
    [],
    { model_stats: {} },
    { model_stats: [{ name: { toString: 1 }, version: [] }] },
    { model_stats: [null, 'a', { batch_stats: 1 }] },
  ]) {
    expect(addStatistics('m', '1', readStatistics(answer))).toEqual(empty);
  }
});
