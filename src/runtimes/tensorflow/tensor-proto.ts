/** Reading TensorFlow's TensorProto (tensorflow/core/framework/tensor.proto). */
import { AppError } from '../../errors.js';
import { DATATYPE_BYTES, type Datatype } from '../../protocol/datatypes.js';
import { BYTES, FIXED32, FIXED64, type ProtoReader, VARINT } from '../../protocol/protobuf/reader.js';
import { elementCount, makeTensor, type Tensor, tensorFromBytes } from '../../protocol/tensor.js';
import { nested, readShape } from './saved-model.js';
import { datatypeOf, typeName } from './types.js';

type Numbers = (number | bigint)[];

interface NumberField {
  readonly wire: number;
  readonly read: (reader: ProtoReader) => number | bigint;
}

/** The fields with numbers, one value after the other. */
const NUMBER_FIELDS: Readonly<Record<number, NumberField>> = {
  5: { wire: FIXED32, read: (reader) => reader.float() },
  6: { wire: FIXED64, read: (reader) => reader.double() },
  7: { wire: VARINT, read: (reader) => reader.int32() },
  10: { wire: VARINT, read: (reader) => reader.int64() },
  11: { wire: VARINT, read: (reader) => (reader.bool() ? 1 : 0) },
  13: { wire: VARINT, read: (reader) => reader.int32() },
  16: { wire: VARINT, read: (reader) => reader.uint32() },
  17: { wire: VARINT, read: (reader) => reader.uint64() },
};

interface Elements {
  readonly field: number;
  readonly make: (values: Numbers) => ArrayBufferView;
}

const plain = (values: Numbers) => values as number[];
const big = (values: Numbers) => values as bigint[];

/** Which field holds the elements of a datatype, and what they become. */
const ELEMENTS: Readonly<Record<Exclude<Datatype, 'BYTES'>, Elements>> = {
  BOOL: { field: 11, make: (values) => Uint8Array.from(plain(values)) },
  UINT8: { field: 7, make: (values) => Uint8Array.from(plain(values)) },
  UINT16: { field: 7, make: (values) => Uint16Array.from(plain(values)) },
  UINT32: { field: 16, make: (values) => Uint32Array.from(plain(values)) },
  UINT64: { field: 17, make: (values) => BigUint64Array.from(big(values)) },
  INT8: { field: 7, make: (values) => Int8Array.from(plain(values)) },
  INT16: { field: 7, make: (values) => Int16Array.from(plain(values)) },
  INT32: { field: 7, make: (values) => Int32Array.from(plain(values)) },
  INT64: { field: 10, make: (values) => BigInt64Array.from(big(values)) },
  FP16: { field: 13, make: (values) => Uint16Array.from(plain(values)) },
  BF16: { field: 13, make: (values) => Uint16Array.from(plain(values)) },
  FP32: { field: 5, make: (values) => Float32Array.from(plain(values)) },
  FP64: { field: 6, make: (values) => Float64Array.from(plain(values)) },
};

/** Few values may stand for a large tensor; beyond this many bytes it is taken for damage. */
const MAX_BYTES = 2 ** 30;

/** Reads a tensor; `invalid` or `unsupported`, naming it, when it cannot be. */
export function readTensorProto(name: string, reader: ProtoReader): Tensor {
  let type = 0;
  let shape: readonly number[] | undefined = [];
  let content: Buffer | undefined;
  const strings: Buffer[] = [];
  const numbers = new Map<number, Numbers>();
  while (reader.next()) {
    const { field } = reader;
    if (field === 1) {
      reader.expect(VARINT);
      type = reader.int32();
    } else if (field === 2) shape = readShape(nested(reader));
    else if (field === 4) content = bytes(reader);
    else if (field === 8) strings.push(bytes(reader));
    else if (NUMBER_FIELDS[field]) readNumbers(reader, NUMBER_FIELDS[field], valuesOf(numbers, field));
    else reader.skip();
  }
  const datatype = datatypeOf(type);
  if (datatype === undefined) {
    throw new AppError(
      'unsupported',
      `tensor "${name}" has the type ${typeName(type)}, which the protocol cannot carry`,
    );
  }
  if (shape === undefined || shape.some((size) => size < 0)) throw invalid(name, 'has no full shape');
  const count = elementCount(shape);
  if (count * Math.max(1, DATATYPE_BYTES[datatype]) > MAX_BYTES) throw invalid(name, `has ${count} elements`);
  if (content !== undefined && content.length > 0) {
    if (datatype === 'BYTES') throw invalid(name, 'has strings in tensor_content; only string_val is read');
    return tensorFromBytes(name, datatype, shape, content);
  }
  if (datatype === 'BYTES') return makeTensor(name, datatype, shape, filled(name, strings, count, Buffer.alloc(0)));
  const { field, make } = ELEMENTS[datatype];
  const zero = datatype === 'INT64' || datatype === 'UINT64' ? 0n : 0;
  return makeTensor(name, datatype, shape, make(filled(name, valuesOf(numbers, field), count, zero)));
}

function readNumbers(reader: ProtoReader, { wire, read }: NumberField, into: Numbers): void {
  if (reader.wire === BYTES) {
    const packed = reader.message();
    while (!packed.done) into.push(read(packed));
    return;
  }
  reader.expect(wire);
  into.push(read(reader));
}

function valuesOf(numbers: Map<number, Numbers>, field: number): Numbers {
  const values = numbers.get(field) ?? [];
  numbers.set(field, values);
  return values;
}

/** As many values as the shape holds: the last one is repeated, and no value at all means zeros. */
function filled<T>(name: string, values: readonly T[], count: number, zero: T): T[] {
  if (values.length > count) throw invalid(name, `has ${values.length} values, its shape holds ${count}`);
  const last = values.length > 0 ? (values[values.length - 1] as T) : zero;
  return [...values, ...new Array<T>(count - values.length).fill(last)];
}

function bytes(reader: ProtoReader): Buffer {
  reader.expect(BYTES);
  return reader.view();
}

function invalid(name: string, problem: string): AppError {
  return new AppError('invalid', `tensor "${name}" ${problem}`);
}
