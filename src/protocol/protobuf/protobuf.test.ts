import { describe, expect, it } from 'vitest';
import { BYTES, ProtoReader, VARINT } from './reader.js';
import { ProtoWriter } from './writer.js';

const written = (write: (to: ProtoWriter) => void) => {
  const writer = new ProtoWriter();
  write(writer);
  const { length } = writer;
  const bytes = writer.finish();
  expect(bytes.length).toBe(length);
  return bytes;
};
const reading = (bytes: Buffer) => {
  const reader = new ProtoReader(bytes);
  expect(reader.next()).toBe(true);
  return reader;
};

describe('the protobuf wire format', () => {
  it.each([
    // from the encoding's own description
    ['a varint', (to: ProtoWriter) => to.uint32(1, 150), '089601'],
    ['a string', (to: ProtoWriter) => to.string(2, 'testing'), '120774657374696e67'],
    ['a message', (to: ProtoWriter) => to.message(3, withField1of150()), '1a03089601'],
    [
      'packed numbers',
      (to: ProtoWriter) => to.packed(6, 3, (inner, at) => inner.packedUint32([3, 270, 86942][at] ?? 0)),
      '3206038e029ea705',
    ],
    ['a negative int32', (to: ProtoWriter) => to.int32(1, -2), '08feffffffffffffffff01'],
  ])('writes %s as described', (_what, write, hex) => {
    expect(written(write).toString('hex')).toBe(hex);
  });

  it.each([
    0n,
    1n,
    127n,
    128n,
    2n ** 28n - 1n,
    2n ** 28n,
    2n ** 32n,
    2n ** 53n + 1n,
    2n ** 63n - 1n,
    -1n,
    -(2n ** 63n),
  ])('carries the int64 %d', (value) => {
    expect(reading(written((to) => to.int64(7, value))).int64()).toBe(value);
  });

  it.each([0, 1, 300, 2 ** 31, 2 ** 32 - 1])('carries the uint32 %d', (value) => {
    expect(reading(written((to) => to.uint32(7, value))).uint32()).toBe(value);
    expect(reading(written((to) => to.int64(7, value))).uint64()).toBe(BigInt(value));
  });

  it('carries numbers beyond 32 bits that come as numbers', () => {
    expect(reading(written((to) => to.int64(1, 2 ** 40 + 5))).safeInt64()).toBe(2 ** 40 + 5);
    expect(() => reading(written((to) => to.int64(1, 2n ** 60n))).safeInt64()).toThrow('beyond what a count may be');
  });

  it('carries floats, text and large bytes among small ones, in order', () => {
    const large = Buffer.alloc(5000, 7);
    const text = 'é😀'.repeat(100);
    const reader = new ProtoReader(
      written((to) => {
        to.float(1, 0.5);
        to.double(2, -1e300);
        to.bytes(3, large);
        to.string(4, text);
        to.bool(5, true);
      }),
    );
    const read = [];
    while (reader.next()) {
      if (reader.field === 1) read.push(reader.float());
      else if (reader.field === 2) read.push(reader.double());
      else if (reader.field === 3) read.push(reader.view().equals(large));
      else if (reader.field === 4) read.push(reader.string() === text);
      else read.push(reader.bool());
    }
    expect(read).toEqual([0.5, -1e300, true, true, true]);
  });

  it('skips what it does not know, groups included', () => {
    const group = Buffer.from([0x0b, 0x10, 0x01, 0x13, 0x14, 0x0c]);
    const reader = new ProtoReader(Buffer.concat([group, written((to) => to.uint32(9, 5))]));
    reader.next();
    reader.skip();
    reader.next();
    expect([reader.field, reader.wire, reader.uint32(), reader.next()]).toEqual([9, VARINT, 5, false]);
  });

  it.each([
    ['a cut varint', '08ff', 'cut short'],
    ['an endless varint', `08${'ff'.repeat(11)}`, 'more than 10 bytes'],
    ['a length beyond the end', '120774', 'a field of 7 bytes is cut short'],
    ['a length near 2^32', '12ffffffff0f', 'cut short'],
    ['field number 0', '00', 'number 0'],
    ['an unknown wire type', '0e', 'wire type 6'],
    ['a group without end', '0b', 'a group is cut short'],
    ['a group that ends another', '0b14', 'did not begin'],
    ['groups without end', '0b'.repeat(100), 'nested more than'],
  ])('refuses %s', (_what, hex, message) => {
    const run = () => {
      const reader = new ProtoReader(Buffer.from(hex, 'hex'));
      while (reader.next()) {
        if (reader.wire === BYTES) reader.view();
        else reader.skip();
      }
    };
    expect(run).toThrow(message);
  });
});

function withField1of150(): ProtoWriter {
  const inner = new ProtoWriter();
  inner.uint32(1, 150);
  return inner;
}

describe('messages within messages', () => {
  it('of any size, three deep', () => {
    for (const size of [0, 1, 60, 100, 115, 116, 117, 118, 119, 120, 126, 127, 128, 300, 5000]) {
      const content = Buffer.alloc(size, size);
      const bytes = written((to) => {
        to.string(1, 'before');
        to.nested(2, (middle) => {
          middle.nested(3, (inner) => inner.bytes(4, content));
          middle.packed(5, size, (numbers, at) => numbers.packedUint32(at));
        });
        to.string(1, 'after');
      });
      const reader = new ProtoReader(bytes);
      expect([reader.next(), reader.string(), reader.next()]).toEqual([true, 'before', true]);
      const middle = reader.message();
      expect([middle.next(), middle.field]).toEqual([true, 3]);
      const inner = middle.message();
      expect([inner.next(), inner.view().equals(content), inner.next()]).toEqual([true, true, false]);
      if (middle.next()) for (const numbers = middle.message(); !numbers.done; ) numbers.uint32();
      expect([middle.next(), reader.next(), reader.string(), reader.next()]).toEqual([false, true, 'after', false]);
    }
  });
});
