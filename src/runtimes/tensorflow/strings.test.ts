import { describe, expect, it } from 'vitest';
import { decodeStrings, encodeStrings, STRING_BYTES } from './strings.js';

describe('the memory of a tensor of strings', () => {
  it('is read as it was written', () => {
    const elements = ['', 'a', 'é😀', 'x'.repeat(1000)].map((text) => Buffer.from(text));
    const memory = encodeStrings('x', elements);
    const base = 4096n;
    const read = (address: bigint, size: number) => {
      const at = Number(address - base);
      return memory.subarray(at, at + size);
    };
    const array = memory.subarray(0, elements.length * STRING_BYTES);
    expect(decodeStrings(array, base, read)).toEqual(elements);
    expect(encodeStrings('x', [])).toEqual(Buffer.alloc(0));
    // behind each text is a NUL: there are operations that read up to it
    expect(memory.subarray(array.length, array.length + 3)).toEqual(Buffer.from('\0a\0'));
  });

  it('is read wherever TensorFlow put the text', () => {
    const array = Buffer.alloc(3 * STRING_BYTES);
    array.writeUInt8(22 * 4, 0);
    array.write('twenty-two bytes here!', 1);
    array.writeBigUInt64LE(5_000_000_000n * 4n + 1n, STRING_BYTES);
    array.writeBigUInt64LE(1000n, STRING_BYTES + 16);
    array.writeBigUInt64LE(7n * 4n + 3n, 2 * STRING_BYTES);
    array.writeBigUInt64LE(2000n, 2 * STRING_BYTES + 8);
    const asked: [bigint, number][] = [];
    const read = (address: bigint, size: number) => {
      asked.push([address, size]);
      return Buffer.from('text');
    };
    expect(decodeStrings(array, 0n, read).map(String)).toEqual(['twenty-two bytes here!', 'text', 'text']);
    expect(asked).toEqual([
      [1000n, 5_000_000_000],
      [2000n, 7],
    ]);
  });

  it('refuses what TensorFlow could not take', () => {
    const large = Buffer.alloc(2 ** 30);
    expect(() => encodeStrings('x', [large])).toThrow('element 0 has 1073741824 bytes');
    const most = large.subarray(1);
    expect(() => encodeStrings('x', [most, most, most, most, most])).toThrow('TensorFlow takes at most 4294967295');
  });
});
