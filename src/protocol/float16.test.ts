import { describe, expect, it } from 'vitest';
import { fromBfloat, fromHalf, toBfloat, toHalf } from './float16.js';

describe.each([
  ['half precision', fromHalf, toHalf, 2 ** -10],
  ['bfloat16', fromBfloat, toBfloat, 2 ** -7],
])('numbers of %s', (_name, fromBits, toBits, step) => {
  it('convert both ways without change', () => {
    for (let bits = 0; bits < 0x10000; bits++) {
      const value = fromBits(bits);
      if (Number.isNaN(value)) expect(Number.isNaN(fromBits(toBits(value)))).toBe(true);
      else if (toBits(value) !== bits) expect([bits, toBits(value)]).toEqual([bits, bits]);
    }
  });

  it('round to the nearest, on a tie to the even neighbour', () => {
    const one = toBits(1);
    const tie = 1 + step / 2;
    expect([toBits(tie), toBits(tie + step), toBits(tie + 2 ** -20)]).toEqual([one, one + 2, one + 1]);
    // closer to the upper one by less than a single-precision number can tell
    expect([toBits(tie + 2 ** -40), toBits(tie + step - 2 ** -40)]).toEqual([one + 1, one + 1]);
    expect([toBits(-tie), toBits(-tie - 2 ** -40)]).toEqual([one | 0x8000, (one + 1) | 0x8000]);
  });

  it('become infinite beyond the largest', () => {
    expect([fromBits(toBits(1e39)), fromBits(toBits(-1e39))]).toEqual([
      Number.POSITIVE_INFINITY,
      Number.NEGATIVE_INFINITY,
    ]);
  });
});
