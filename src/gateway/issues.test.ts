import { z } from '@hono/zod-openapi';
import { expect, test } from 'vitest';
import { describeIssues } from './issues.js';

const schema = z
  .object({
    name: z.string(),
    steps: z.array(z.object({ percent: z.number().max(100) })),
    env: z.record(z.string(), z.string()),
  })
  .strict();

function problems(input: unknown): string[] {
  const result = schema.safeParse(input);
  return result.success ? [] : describeIssues(result.error.issues, input);
}

test('names the field, the bound and the value', () => {
  expect(problems({ name: 'a', steps: [{ percent: 1 }, { percent: 120 }], env: {} })).toEqual([
    'steps[1].percent: Too big: expected number to be <=100 (got 120)',
  ]);
});

test('tells every problem, and cuts long values', () => {
  const found = problems({ name: ['x'.repeat(500)], env: {}, other: 1 });
  expect(found).toHaveLength(3);
  expect(found[0]).toMatch(/^name: .*expected string.* \(got \["x{98}…\)$/);
  expect(found[1]).toMatch(/^steps: .* \(got nothing\)$/);
  expect(found[2]).toBe('Unrecognized key: "other"');
});

test('keeps values of the environment to itself', () => {
  expect(problems({ name: 'a', steps: [], env: { TOKEN: 12345 } }).join()).not.toContain('12345');
});
