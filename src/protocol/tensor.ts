import { AppError } from '../errors.js';
import { DATATYPE_BYTES, type Datatype } from './datatypes.js';

/**
 * How the elements of each datatype lie in memory. Always the packed little-endian form that the binary wire has, so
 * that bytes become elements without a loop. BYTES are Buffers, not strings: they need not be UTF-8.
 */
export interface TensorDataOf {
  BOOL: Uint8Array;
  UINT8: Uint8Array;
  UINT16: Uint16Array;
  UINT32: Uint32Array;
  UINT64: BigUint64Array;
  INT8: Int8Array;
  INT16: Int16Array;
  INT32: Int32Array;
  INT64: BigInt64Array;
  /** The 16 bits of each half-precision number; `float16.ts` converts. */
  FP16: Uint16Array;
  /** The upper 16 bits of each single-precision number. */
  BF16: Uint16Array;
  FP32: Float32Array;
  FP64: Float64Array;
  BYTES: readonly Buffer[];
}

/** A tensor of one datatype. `data` is row-major and may be a view into the request's body: never write to it. */
export interface TensorOf<D extends Datatype> {
  readonly name: string;
  readonly datatype: D;
  readonly shape: readonly number[];
  readonly data: TensorDataOf[D];
}

/** A tensor; switching on `datatype` narrows `data`. */
export type Tensor = { [D in Datatype]: TensorOf<D> }[Datatype];

const ARRAYS = {
  BOOL: Uint8Array,
  UINT8: Uint8Array,
  UINT16: Uint16Array,
  UINT32: Uint32Array,
  UINT64: BigUint64Array,
  INT8: Int8Array,
  INT16: Int16Array,
  INT32: Int32Array,
  INT64: BigInt64Array,
  FP16: Uint16Array,
  BF16: Uint16Array,
  FP32: Float32Array,
  FP64: Float64Array,
} as const;

/** The product of the dimensions: 1 for a scalar's empty shape, 0 where any dimension is 0. */
export function elementCount(shape: readonly number[]): number {
  let count = 1;
  for (let i = 0; i < shape.length; i++) count *= shape[i] as number;
  return count;
}

/** Builds a tensor from parts whose types are known only at run time; refuses a wrong kind of array or a wrong count. */
export function makeTensor(name: string, datatype: Datatype, shape: readonly number[], data: unknown): Tensor {
  const rightKind =
    datatype === 'BYTES' ? Array.isArray(data) : data instanceof ARRAYS[datatype as Exclude<Datatype, 'BYTES'>];
  if (!rightKind) {
    throw new AppError('internal', `tensor "${name}": the data of ${datatype} is in the wrong kind of array`);
  }
  const tensor = { name, datatype, shape, data } as Tensor;
  checkCount(name, shape, tensor.data.length);
  return tensor;
}

/** Refuses a tensor whose shape does not hold exactly `count` elements. */
export function checkCount(name: string, shape: readonly number[], count: number): void {
  const wanted = elementCount(shape);
  if (wanted !== count) {
    throw new AppError(
      'invalid',
      `tensor "${name}": shape [${shape.join(',')}] holds ${wanted} elements, the data has ${count}`,
      { details: { tensor: name, shape, expected: wanted, actual: count } },
    );
  }
}

/**
 * Reads the binary form of a tensor. Takes a view where the bytes are aligned, copies where they are not. BOOL bytes
 * other than 0 and 1 are normalised, because an engine may do anything with them.
 */
export function tensorFromBytes(name: string, datatype: Datatype, shape: readonly number[], bytes: Uint8Array): Tensor {
  if (datatype === 'BYTES') return makeTensor(name, datatype, shape, readByteElements(name, bytes));
  const width = DATATYPE_BYTES[datatype];
  if (bytes.length !== elementCount(shape) * width) {
    throw new AppError(
      'invalid',
      `tensor "${name}": shape [${shape.join(',')}] of ${datatype} takes ${elementCount(shape) * width} bytes, ` +
        `binary_data_size is ${bytes.length}`,
      { details: { tensor: name, shape, datatype, actual: bytes.length } },
    );
  }
  if (datatype === 'BOOL' && bytes.some((byte) => byte > 1)) {
    return { name, datatype, shape, data: bytes.map((byte) => (byte === 0 ? 0 : 1)) };
  }
  const aligned = bytes.byteOffset % width === 0 ? bytes : new Uint8Array(bytes);
  const data = new ARRAYS[datatype](aligned.buffer as ArrayBuffer, aligned.byteOffset, aligned.byteLength / width);
  return { name, datatype, shape, data } as Tensor;
}

/** The binary form of a tensor: a view over its elements, except for BYTES, which are joined with their lengths. */
export function tensorToBytes(tensor: Tensor): Buffer {
  if (tensor.datatype !== 'BYTES') {
    return Buffer.from(tensor.data.buffer as ArrayBuffer, tensor.data.byteOffset, tensor.data.byteLength);
  }
  let size = 0;
  for (const element of tensor.data) size += 4 + element.length;
  const out = Buffer.allocUnsafe(size);
  let at = 0;
  for (const element of tensor.data) {
    out.writeUInt32LE(element.length, at);
    out.set(element, at + 4);
    at += 4 + element.length;
  }
  return out;
}

function readByteElements(name: string, bytes: Uint8Array): Buffer[] {
  const source = Buffer.from(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength);
  const elements: Buffer[] = [];
  let at = 0;
  while (at < source.length) {
    const length = source.length - at >= 4 ? source.readUInt32LE(at) : Number.POSITIVE_INFINITY;
    if (source.length - at - 4 < length) {
      throw new AppError(
        'invalid',
        `tensor "${name}": BYTES element ${elements.length} runs past the end of the tensor's ${source.length} bytes`,
        { details: { tensor: name, element: elements.length } },
      );
    }
    elements.push(source.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return elements;
}
