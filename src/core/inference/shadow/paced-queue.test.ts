import { expect, it } from 'vitest';
import { PacedQueue } from './paced-queue.js';

it('works in order, one piece a turn, and takes no more than may wait', async () => {
  const queue = new PacedQueue(3);
  const done: number[] = [];
  const taken = [1, 2, 3, 4].map((piece) => queue.add(() => void done.push(piece)));
  expect(taken).toEqual([true, true, true, false]);
  expect(done).toEqual([]);
  const ended = new Promise<void>((resolve) => {
    const look = () => (done.length === 3 ? resolve() : setImmediate(look));
    look();
  });
  await ended;
  expect(done).toEqual([1, 2, 3]);
  expect(queue.waiting).toBe(0);
  await new Promise<void>((resolve) => queue.add(resolve));
});
