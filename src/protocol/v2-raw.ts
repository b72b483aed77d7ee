import { AppError } from '../errors.js';
import { DATATYPE_BYTES } from './datatypes.js';
import type { InferRequest } from './infer.js';
import type { Signature } from './signature.js';
import { elementCount, tensorFromBytes } from './tensor.js';

/**
 * A raw binary request: the header length is 0 and the body is the one input's bytes, nothing else. The shape comes
 * from the model: a variable first dimension is the batch and is 1 when another one is variable too, otherwise the one
 * variable dimension is what the bytes fill. All outputs come back binary.
 */
export function rawInput(body: Buffer, signature: Signature | undefined): InferRequest {
  const [input, ...more] = signature?.inputs ?? [];
  if (!input || more.length > 0) {
    throw new AppError(
      'invalid',
      `a raw binary request needs a model of one input, this one has ${signature?.inputs.length ?? 0}`,
    );
  }
  if (input.datatype === 'BYTES') {
    const length = Buffer.alloc(4);
    length.writeUInt32LE(body.length);
    const tensor = tensorFromBytes(
      input.name,
      'BYTES',
      input.shape.map(() => 1),
      Buffer.concat([length, body]),
    );
    return raw(tensor);
  }
  const shape = [...input.shape];
  const variable = shape.flatMap((size, axis) => (size === -1 ? [axis] : []));
  if (variable.length > 1 && variable[0] === 0) {
    shape[0] = 1;
    variable.shift();
  }
  const [axis, ...rest] = variable;
  if (rest.length > 0) {
    throw new AppError('invalid', `a raw binary request cannot fill the shape [${input.shape.join(',')}]`);
  }
  if (axis !== undefined) {
    shape[axis] = 1;
    const unit = elementCount(shape) * DATATYPE_BYTES[input.datatype];
    shape[axis] = unit === 0 ? 0 : Math.floor(body.length / unit);
  }
  return raw(tensorFromBytes(input.name, input.datatype, shape, body));
}

function raw(tensor: InferRequest['inputs'][number]): InferRequest {
  return { id: undefined, parameters: { binary_data_output: true }, inputs: [tensor], outputs: undefined };
}
