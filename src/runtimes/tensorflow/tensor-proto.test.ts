import { describe, expect, it } from 'vitest';
import { shapeProto } from '../../../tests/support/tensorflow.js';
import type { Datatype } from '../../protocol/datatypes.js';
import { ProtoReader } from '../../protocol/protobuf/reader.js';
import { ProtoWriter } from '../../protocol/protobuf/writer.js';
import { makeTensor } from '../../protocol/tensor.js';
import { readTensorProto } from './tensor-proto.js';
import { TYPE_NUMBER } from './types.js';

/** A TensorProto of a type and shape, and the rest of it. */
function read(type: number, shape: readonly number[] | 'unknown', rest: (writer: ProtoWriter) => void = () => {}) {
  const writer = new ProtoWriter();
  writer.int32(1, type);
  writer.message(2, shapeProto(shape));
  rest(writer);
  return readTensorProto('x', new ProtoReader(writer.finish()));
}

const varints =
  (field: number, ...values: (number | bigint)[]) =>
  (writer: ProtoWriter) =>
    writer.packed(field, values.length, (inner, at) => inner.packedInt64(values[at] ?? 0));

describe('readTensorProto', () => {
  const cases: [Datatype, (writer: ProtoWriter) => void, unknown][] = [
    ['BOOL', varints(11, 1, 0), new Uint8Array([1, 0])],
    ['INT8', varints(7, -128, 127), new Int8Array([-128, 127])],
    ['INT16', varints(7, -1, 7), new Int16Array([-1, 7])],
    ['INT32', varints(7, -(2 ** 31), 5), new Int32Array([-(2 ** 31), 5])],
    ['INT64', varints(10, -(2n ** 63n), 5n), new BigInt64Array([-(2n ** 63n), 5n])],
    ['UINT8', varints(7, 255, 0), new Uint8Array([255, 0])],
    ['UINT16', varints(7, 65535, 0), new Uint16Array([65535, 0])],
    ['UINT32', varints(16, 2 ** 32 - 1, 0), new Uint32Array([2 ** 32 - 1, 0])],
    ['UINT64', varints(17, 2n ** 64n - 1n, 0n), new BigUint64Array([2n ** 64n - 1n, 0n])],
    ['FP16', varints(13, 0x3c00, 0xfbff), new Uint16Array([0x3c00, 0xfbff])],
    ['BF16', varints(13, 0x3f80, 0xff7f), new Uint16Array([0x3f80, 0xff7f])],
  ];
  it.each(cases)('reads %s from its own field', (datatype, rest, data) => {
    expect(read(TYPE_NUMBER[datatype], [2], rest)).toEqual(makeTensor('x', datatype, [2], data));
  });

  it('reads numbers with a point, one field for each too', () => {
    const single = read(TYPE_NUMBER.FP32, [2], (writer) => {
      writer.float(5, 0.5);
      writer.float(5, -1);
    });
    expect(single).toEqual(makeTensor('x', 'FP32', [2], new Float32Array([0.5, -1])));
    const double = read(TYPE_NUMBER.FP64, [], (writer) => writer.double(6, 0.1));
    expect(double).toEqual(makeTensor('x', 'FP64', [], new Float64Array([0.1])));
  });

  it('reads strings', () => {
    const tensor = read(TYPE_NUMBER.BYTES, [2], (writer) => {
      writer.bytes(8, Buffer.from([0, 255]));
      writer.string(8, '');
    });
    expect(tensor).toEqual(makeTensor('x', 'BYTES', [2], [Buffer.from([0, 255]), Buffer.alloc(0)]));
  });

  it('reads the packed bytes of any datatype', () => {
    const bytes = Buffer.from(new Float32Array([1, 2, 3, 4]).buffer);
    const tensor = read(TYPE_NUMBER.FP32, [2, 2], (writer) => writer.bytes(4, bytes));
    expect(tensor).toEqual(makeTensor('x', 'FP32', [2, 2], new Float32Array([1, 2, 3, 4])));
  });

  it('repeats the last value for the rest of the shape', () => {
    const rest = varints(7, 1, 9);
    expect(read(TYPE_NUMBER.INT32, [2, 2], rest)).toEqual(
      makeTensor('x', 'INT32', [2, 2], new Int32Array([1, 9, 9, 9])),
    );
    expect(read(TYPE_NUMBER.INT64, [2])).toEqual(makeTensor('x', 'INT64', [2], new BigInt64Array(2)));
    expect(read(TYPE_NUMBER.BYTES, [1])).toEqual(makeTensor('x', 'BYTES', [1], [Buffer.alloc(0)]));
  });

  it.each([
    ['more values than its shape holds', 3, [1], varints(7, 1, 2), 'tensor "x" has 2 values, its shape holds 1'],
    ['too few bytes', 1, [2], (writer: ProtoWriter) => writer.bytes(4, Buffer.alloc(4)), 'takes 8 bytes'],
    ['a type that is not carried', 20, [1], () => {}, 'tensor "x" has the type resource'],
    ['an unknown rank', 3, 'unknown' as const, () => {}, 'tensor "x" has no full shape'],
    ['an unknown dimension', 3, [-1], () => {}, 'tensor "x" has no full shape'],
    ['a shape that is a lie', 3, [2 ** 40], varints(7, 1), 'elements'],
  ])('refuses one with %s', (_what, type, shape, rest, message) => {
    expect(() => read(type, shape, rest)).toThrow(message);
  });
});
