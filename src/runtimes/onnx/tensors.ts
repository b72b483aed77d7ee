import { AppError } from '../../errors.js';
import { DATATYPE_BYTES } from '../../protocol/datatypes.js';
import { elementCount, type Tensor, tensorFromBytes } from '../../protocol/tensor.js';
import type { Pointer } from '../foreign.js';
import type { Api } from './api.js';
import type { OrtLibrary } from './library.js';
import { addressFrom, check, numberFrom } from './status.js';
import { datatypeOf, TYPE_NUMBER } from './types.js';

/**
 * An OrtValue of a tensor, for the caller to release. Numbers are not copied: the tensor must stay alive until that.
 */
export function toNative({ api, allocator, cpuMemory }: OrtLibrary, tensor: Tensor): Pointer {
  const { datatype, shape, data } = tensor;
  const { length } = shape;
  const sizes = new BigInt64Array(length);
  for (let axis = 0; axis < length; axis++) sizes[axis] = BigInt(shape[axis] as number);
  const type = TYPE_NUMBER[datatype];
  if (datatype !== 'BYTES') {
    const memory = data.byteLength === 0 ? NOTHING : data;
    return addressFrom(api, (out) => api.tensorOver(cpuMemory, memory, data.byteLength, sizes, length, type, out));
  }
  const value = addressFrom(api, (out) => api.createTensor(allocator, sizes, length, type, out));
  try {
    writeStrings(api, value, data);
    return value;
  } catch (error) {
    api.releaseValue(value);
    throw error;
  }
}

/** An address for tensors without elements, which may have none of their own. */
const NOTHING = new Uint8Array(8);

function writeStrings(api: Api, value: Pointer, elements: readonly Buffer[]): void {
  for (const [index, text] of elements.entries()) {
    const memory = addressFrom(api, (out) => api.stringMemory(value, index, text.length, out));
    if (text.length > 0) api.copyIn(memory, text, text.length);
  }
}

/** Copies a tensor out of an OrtValue. */
export function fromNative(api: Api, name: string, value: Pointer): Tensor {
  const head = addressFrom(api, (out) => api.tensorShape(value, out));
  let elementType: number;
  let shape: number[];
  try {
    elementType = numberFrom(api, (out) => api.elementType(head, out));
    shape = readShape(api, head);
  } finally {
    api.releaseTensorShape(head);
  }
  const datatype = datatypeOf(elementType);
  if (datatype === undefined) {
    throw new AppError(
      'internal',
      `output "${name}" has the element type ${elementType}, which the protocol cannot carry`,
    );
  }
  const count = elementCount(shape);
  if (datatype === 'BYTES') return { name, datatype, shape, data: readStrings(api, value, count) };
  const bytes = Buffer.allocUnsafe(count * DATATYPE_BYTES[datatype]);
  if (count > 0)
    api.copyOut(
      bytes,
      addressFrom(api, (out) => api.tensorData(value, out)),
      bytes.length,
    );
  return tensorFromBytes(name, datatype, shape, bytes);
}

/** Enough for all but strange shapes; read before anybody else writes. */
const dimensions = new BigInt64Array(16);

function readShape(api: Api, head: Pointer): number[] {
  const rank = Number(addressFrom(api, (out) => api.rank(head, out)));
  if (rank === 0) return [];
  const sizes = rank <= dimensions.length ? dimensions : new BigInt64Array(rank);
  check(api, api.dimensions(head, sizes, rank));
  const shape = new Array<number>(rank);
  for (let axis = 0; axis < rank; axis++) shape[axis] = Number(sizes[axis]);
  return shape;
}

function readStrings(api: Api, value: Pointer, count: number): Buffer[] {
  if (count === 0) return [];
  const size = Number(addressFrom(api, (out) => api.stringsLength(value, out)));
  // it wants memory, also for none
  const text = Buffer.allocUnsafe(Math.max(1, size));
  const offsets = new BigUint64Array(count);
  check(api, api.stringsContent(value, text, size, offsets, count));
  return Array.from(offsets, (from, at) => text.subarray(Number(from), Number(offsets[at + 1] ?? size)));
}
