/** `InferTensorContents`: the elements of a tensor as a repeated field of their type. */
import { AppError } from '../../errors.js';
import { DATATYPE_BYTES, type Datatype } from '../datatypes.js';
import { BYTES, FIXED32, FIXED64, type ProtoReader, VARINT } from '../protobuf/reader.js';
import type { ProtoWriter } from '../protobuf/writer.js';
import { elementCount, makeTensor, type Tensor, tensorFromBytes, tensorToBytes } from '../tensor.js';

/** What a tensor says of itself beside its elements; `label` is how messages name it. */
export interface TensorHead {
  readonly label: string;
  readonly name: string;
  readonly datatype: Datatype;
  readonly shape: readonly number[];
}

const FIELDS = [
  '',
  'bool_contents',
  'int_contents',
  'int64_contents',
  'uint_contents',
  'uint64_contents',
  'fp32_contents',
  'fp64_contents',
  'bytes_contents',
];

/** The field of each datatype. Half precision has none: it can only be raw. */
const FIELD_OF: Readonly<Record<Datatype, number | undefined>> = {
  BOOL: 1,
  INT8: 2,
  INT16: 2,
  INT32: 2,
  INT64: 3,
  UINT8: 4,
  UINT16: 4,
  UINT32: 4,
  UINT64: 5,
  FP32: 6,
  FP64: 7,
  BYTES: 8,
  FP16: undefined,
  BF16: undefined,
};

const WIRES: readonly number[] = [VARINT, VARINT, VARINT, VARINT, VARINT, VARINT, FIXED32, FIXED64, BYTES];

/** Whether tensors of this datatype can be sent as contents at all. */
export function hasContents(datatype: Datatype): boolean {
  return FIELD_OF[datatype] !== undefined;
}

/** Reads the elements; repeated numbers may be packed or not. Floats that come in one piece are a view. */
export function readContents(head: TensorHead, contents: ProtoReader): Tensor {
  const { label, name, datatype, shape } = head;
  const field = FIELD_OF[datatype];
  if (field === undefined) {
    throw new AppError('invalid', `${label}: ${datatype} has no field in contents; send it as raw contents`);
  }
  if (datatype === 'BYTES') return readByteContents(head, contents);
  const wanted = elementCount(shape);
  const width = DATATYPE_BYTES[datatype];
  // no element takes less than a byte of the message, so that a large shape alone reserves nothing
  const bytes = new Uint8Array(Math.min(wanted, contents.left) * width);
  const store = storeOf(head, bytes);
  const wire = WIRES[field] as number;
  let count = 0;
  const one = (from: ProtoReader) => {
    if (count < wanted) store(from, count);
    else skip(from, wire);
    count++;
  };
  while (nextOf(head, field, contents)) {
    if (contents.wire !== BYTES) {
      contents.expect(wire);
      one(contents);
    } else if (wire === VARINT) {
      for (const packed = contents.message(); !packed.done; ) one(packed);
    } else {
      const packed = contents.view();
      if (count === 0 && contents.done && packed.length === wanted * width) {
        return tensorFromBytes(name, datatype, shape, packed);
      }
      if (packed.length % width !== 0) throw wrongCount(head, packed.length / width);
      if (count * width + packed.length <= bytes.length) bytes.set(packed, count * width);
      count += packed.length / width;
    }
  }
  if (count !== wanted) throw wrongCount(head, count);
  return tensorFromBytes(name, datatype, shape, bytes);
}

/** Writes the elements as the field of their type. */
export function writeContents(to: ProtoWriter, tensor: Tensor): void {
  const field = FIELD_OF[tensor.datatype];
  if (field === undefined) throw new AppError('internal', `${tensor.datatype} has no field in contents`);
  switch (tensor.datatype) {
    case 'BYTES':
      for (const element of tensor.data) to.bytes(field, element);
      break;
    case 'INT64':
    case 'UINT64': {
      const { data } = tensor;
      to.packed(field, data.length, (inner, at) => inner.packedInt64(data[at] as bigint));
      break;
    }
    case 'INT8':
    case 'INT16':
    case 'INT32': {
      const { data } = tensor;
      to.packed(field, data.length, (inner, at) => inner.packedInt64(data[at] as number));
      break;
    }
    case 'UINT8':
    case 'UINT16':
    case 'UINT32': {
      const { data } = tensor;
      to.packed(field, data.length, (inner, at) => inner.packedUint32(data[at] as number));
      break;
    }
    default:
      // BOOL as bytes of 0 and 1, floats little-endian: the packed form is the tensor's own
      if (tensor.data.length > 0) to.bytes(field, tensorToBytes(tensor));
  }
}

/** Moves to the next element, or run of elements; refuses those of another field. */
function nextOf(head: TensorHead, field: number, contents: ProtoReader): boolean {
  while (contents.next()) {
    if (contents.field === field) return true;
    if (contents.field < FIELDS.length) {
      const wanted = `${head.datatype} goes in ${FIELDS[field]}`;
      throw new AppError('invalid', `${head.label}: ${wanted}, not in ${FIELDS[contents.field]}`);
    }
    contents.skip();
  }
  return false;
}

function readByteContents(head: TensorHead, contents: ProtoReader): Tensor {
  const { name, datatype, shape } = head;
  const data: Buffer[] = [];
  while (nextOf(head, FIELD_OF.BYTES as number, contents)) {
    contents.expect(BYTES);
    data.push(contents.view());
  }
  if (data.length !== elementCount(shape)) throw wrongCount(head, data.length);
  return makeTensor(name, datatype, shape, data);
}

/** Passes over an element beyond the shape's: it only counts. */
function skip(from: ProtoReader, wire: number): void {
  if (wire === VARINT) from.uint32();
  else from.fixed(wire === FIXED32 ? 4 : 8);
}

type Store = (from: ProtoReader, at: number) => void;

/** How one element is read into the packed form of its datatype. */
function storeOf(head: TensorHead, bytes: Uint8Array): Store {
  const buffer = bytes.buffer as ArrayBuffer;
  switch (head.datatype) {
    case 'BOOL':
      return (from, at) => {
        bytes[at] = from.bool() ? 1 : 0;
      };
    case 'INT8':
      return integers(head, new Int8Array(buffer), true);
    case 'INT16':
      return integers(head, new Int16Array(buffer), true);
    case 'INT32':
      return integers(head, new Int32Array(buffer), true);
    case 'UINT8':
      return integers(head, bytes, false);
    case 'UINT16':
      return integers(head, new Uint16Array(buffer), false);
    case 'UINT32':
      return integers(head, new Uint32Array(buffer), false);
    case 'INT64':
    case 'UINT64': {
      const words = new Uint32Array(buffer);
      return (from, at) => from.words64(words, 2 * at);
    }
    default: {
      const width = DATATYPE_BYTES[head.datatype];
      return (from, at) => bytes.set(from.fixed(width), at * width);
    }
  }
}

type Integers = Int8Array | Int16Array | Int32Array | Uint8Array | Uint16Array | Uint32Array;

function integers({ label, datatype }: TensorHead, into: Integers, signed: boolean): Store {
  return (from, at) => {
    const value = signed ? from.int32() : from.uint32();
    into[at] = value;
    if (into[at] === value) return;
    throw new AppError('invalid', `${label}: element ${at} is ${value}, out of range for ${datatype}`);
  };
}

function wrongCount({ label, shape, datatype }: TensorHead, count: number): AppError {
  const wanted = elementCount(shape);
  const field = FIELDS[FIELD_OF[datatype] ?? 0];
  return new AppError(
    'invalid',
    `${label}: shape [${shape.join(',')}] holds ${wanted} elements, ${field} has ${count}`,
    { details: { expected: wanted, actual: count, shape } },
  );
}
