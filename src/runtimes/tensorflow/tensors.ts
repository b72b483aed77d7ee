import { AppError } from '../../errors.js';
import { type Tensor, tensorFromBytes, tensorToBytes } from '../../protocol/tensor.js';
import type { Pointer } from '../foreign.js';
import type { Api } from './api.js';
import { decodeStrings, encodeStrings, STRING_BYTES } from './strings.js';
import { datatypeOf, TYPE_NUMBER, typeName } from './types.js';

/** TensorFlow ends the process where a shape has more dimensions, or where its sizes multiply to more than 63 bits. */
const MAX_RANK = 254;

/** Copies a tensor into TensorFlow's memory. The caller deletes it. */
export function toNative(api: Api, tensor: Tensor): Pointer {
  checkShape(tensor);
  const bytes = tensor.datatype === 'BYTES' ? encodeStrings(tensor.name, tensor.data) : tensorToBytes(tensor);
  const { shape } = tensor;
  const native = api.allocateTensor(TYPE_NUMBER[tensor.datatype], shape, shape.length, bytes.length);
  if (native === null) throw outOfMemory(tensor, bytes.length);
  if (bytes.length === 0) return native;
  const data = api.tensorData(native);
  if (data === null) {
    api.deleteTensor(native);
    throw outOfMemory(tensor, bytes.length);
  }
  api.copyIn(data, bytes, bytes.length);
  return native;
}

/** Copies a tensor out of TensorFlow's memory. */
export function fromNative(api: Api, name: string, native: Pointer): Tensor {
  const type = api.tensorType(native);
  const datatype = datatypeOf(type);
  if (datatype === undefined) {
    throw new AppError('internal', `output "${name}" has the type ${typeName(type)}, which the protocol cannot carry`);
  }
  const shape = Array.from({ length: api.tensorRank(native) }, (_, axis) => Number(api.tensorDim(native, axis)));
  const data = api.tensorData(native);
  const copy = (from: Pointer | null, size: number): Buffer => {
    const bytes = Buffer.allocUnsafe(size);
    if (from !== null && size > 0) api.copyOut(bytes, from, size);
    return bytes;
  };
  if (datatype !== 'BYTES') return tensorFromBytes(name, datatype, shape, copy(data, Number(api.tensorBytes(native))));
  const count = shape.reduce((product, size) => product * size, 1);
  const elements = data === null ? [] : decodeStrings(copy(data, count * STRING_BYTES), data, copy);
  return { name, datatype, shape, data: elements };
}

function checkShape({ name, shape }: Tensor): void {
  const details = { input: name };
  if (shape.length > MAX_RANK) {
    throw new AppError('invalid', `input "${name}" has ${shape.length} dimensions, TensorFlow takes ${MAX_RANK}`, {
      details,
    });
  }
  // an empty tensor may have other dimensions of any size
  const product = shape.reduce((sum, size) => sum * Math.max(1, size), 1);
  if (product > Number.MAX_SAFE_INTEGER) {
    throw new AppError(
      'invalid',
      `input "${name}" has shape [${shape.join(',')}], which multiplies to more than 2^53`,
      {
        details,
      },
    );
  }
}

function outOfMemory({ name }: Tensor, bytes: number): AppError {
  return new AppError('internal', `TensorFlow has no memory for the ${bytes} bytes of input "${name}"`);
}
