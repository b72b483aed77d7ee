import { expect, it } from 'vitest';
import { cutAnywhere, randomBytes, seeded } from '../../../tests/support/random.js';
import { type Message, MessageReader, messagePrefix } from './message-reader.js';

const BUDGET = 10_000_000;
const shown = ({ bytes, compressed }: Message) => `${compressed} ${bytes.toString('hex')}`;

it('reads the same messages wherever the bytes are cut, and gives back what it held', () => {
  const random = seeded(12);
  const budget = { left: BUDGET };
  for (let round = 0; round < 100; round++) {
    const sent = Array.from({ length: 8 }, () => ({
      compressed: random() < 0.3,
      bytes: random() < 0.1 ? Buffer.alloc(200_000, 7) : randomBytes(random, 200),
    }));
    const whole = Buffer.concat(
      sent.flatMap(({ bytes, compressed }) => [messagePrefix(bytes.length, compressed), bytes]),
    );
    const reader = new MessageReader({ maxMessageBytes: 200_000, budget });
    const read: string[] = [];
    for (const piece of cutAnywhere(random, whole, round % 2 === 0 ? 40 : 50_000)) {
      reader.feed(piece);
      for (let next = reader.next(); next; next = reader.next()) {
        read.push(shown(next));
      }
    }
    expect(read).toEqual(sent.map(shown));
    expect([reader.midway, budget.left]).toEqual([false, BUDGET]);
  }
});
