import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { AppError } from '../errors.js';
import { patiently } from './patiently.js';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** Fails so many times, then answers how often it was called. */
function failing(times: number, error: Error) {
  let calls = 0;
  return async () => {
    if (++calls <= times) throw error;
    return calls;
  };
}

test.each([
  ['a lost connection', new Error('Connection terminated unexpectedly')],
  ['a model server that went away', new AppError('upstream_failed', 'gone')],
])('%s is waited out', async (_, error) => {
  const done = patiently(failing(5, error));
  await vi.advanceTimersByTimeAsync(10_000);
  expect(await done).toBe(6);
});

test('what is wrong with the data is told at once', async () => {
  await expect(patiently(failing(1, new AppError('invalid', 'no model')))).rejects.toThrow('no model');
});

test('patience ends after a minute, or when it is told to', async () => {
  const long = expect(patiently(failing(1000, new Error('away')))).rejects.toThrow('away');
  await vi.advanceTimersByTimeAsync(61_000);
  await long;
  await expect(patiently(failing(1, new Error('away')), AbortSignal.abort())).rejects.toThrow('away');
});
