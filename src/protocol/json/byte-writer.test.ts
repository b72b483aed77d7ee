import { describe, expect, it } from 'vitest';
import { seeded } from '../../../tests/support/random.js';
import { ByteWriter } from './byte-writer.js';

const writer = new ByteWriter();
const written = (write: (to: ByteWriter) => void) => {
  write(writer);
  return writer.finish().toString();
};
const single = (value: number) => written((to) => to.single(value));

describe('ByteWriter', () => {
  it('prints numbers of single precision so that they read back the same, from any bits, and short', () => {
    const random = seeded(7);
    const floats = new Float32Array(1);
    const bits = new Uint32Array(floats.buffer);
    let length = 0;
    let plainLength = 0;
    for (let round = 0; round < 300_000; round++) {
      bits[0] = Math.floor(random() * 2 ** 32);
      // most numbers of life are neither huge nor tiny
      if (round % 2 === 0) floats[0] = (random() - 0.5) * 10 ** Math.floor(random() * 12 - 6);
      const value = floats[0] as number;
      if (!Number.isFinite(value)) continue;
      const text = single(value);
      if (!Object.is(Math.fround(JSON.parse(text)), value)) expect([value, text]).toEqual([value, 'the same']);
      length += text.length;
      plainLength += String(value).length;
    }
    expect(length / plainLength).toBeLessThan(0.7);
  });

  it.each([
    [0.1, '0.1'],
    [-0.5, '-0.5'],
    [100, '100'],
    [1234.5, '1234.5'],
    [1e-6, '0.000001'],
    [1e-7, '1e-7'],
    [-3.2e-9, '-3.2e-9'],
    [1.5e10, '15000000000'],
    [2.5e25, '2.5e25'],
    [3.4028234663852886e38, '3.4028234663852886e+38'],
    [1.401298464324817e-45, '1.401298464324817e-45'],
    [16777216, '16777216'],
    [0.9999999, '0.9999999'],
    [9.9999999e-5, '0.0001'],
    [-0, '-0'],
    [0, '0'],
  ])('prints the single %d as %s', (value, text) => {
    expect(single(Math.fround(value))).toBe(text);
  });

  it('prints integers and doubles as JavaScript does', () => {
    const random = seeded(9);
    for (const value of [0, -0, 1, -1, 2 ** 31 - 1, -(2 ** 31), 2 ** 53, 0.1, 1e21, -5e-324, 123.456, 4294967295]) {
      expect(written((to) => to.double(value))).toBe(
        JSON.stringify(value) === '0' && Object.is(value, -0) ? '-0' : String(value),
      );
    }
    for (let round = 0; round < 10_000; round++) {
      const value = Math.floor((random() - 0.5) * 2 ** Math.floor(random() * 32));
      expect(written((to) => to.integer(value))).toBe(String(value));
    }
  });

  it('grows, begins anew, and keeps what it gave', () => {
    writer.text('é😀');
    const first = writer.finish();
    const long = 'x'.repeat(100_000);
    expect(written((to) => to.ascii(long))).toBe(long);
    writer.ascii('left over');
    writer.reset();
    expect(written((to) => to.byte(0x41))).toBe('A');
    expect(first.toString()).toBe('é😀');
  });
});
