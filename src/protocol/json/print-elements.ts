import { isUtf8 } from 'node:buffer';
import { AppError } from '../../errors.js';
import { fromBfloat, fromHalf } from '../float16.js';
import type { Tensor } from '../tensor.js';
import type { ByteWriter } from './byte-writer.js';

const COMMA = 0x2c;

/**
 * Prints a tensor's elements flat, separated by commas. JSON has no NaN and no infinities: they become `null` (which numpy
 * reads back as NaN); how many is the result, so that the answer can say so, and the binary extension carries them
 * exactly. 64-bit integers are printed with all their digits. BYTES that are not UTF-8 cannot be JSON and are refused.
 */
export function printElements(to: ByteWriter, tensor: Tensor): number {
  switch (tensor.datatype) {
    case 'FP32':
      return singles(to, tensor.data);
    case 'FP64':
      return doubles(to, tensor.data);
    case 'FP16':
      return singles(to, Float32Array.from(tensor.data, fromHalf));
    case 'BF16':
      return singles(to, Float32Array.from(tensor.data, fromBfloat));
    case 'INT64':
      return wide(to, tensor.data, true);
    case 'UINT64':
      return wide(to, tensor.data, false);
    case 'BOOL':
      return booleans(to, tensor.data);
    case 'BYTES':
      return strings(to, tensor.name, tensor.data);
    default:
      return doubles(to, tensor.data);
  }
}

function singles(to: ByteWriter, data: Float32Array): number {
  let nonFinite = 0;
  for (let i = 0; i < data.length; i++) {
    const value = data[i] as number;
    if (i > 0) to.byte(COMMA);
    if (value - value === 0) to.single(value);
    else {
      to.ascii('null');
      nonFinite++;
    }
  }
  return nonFinite;
}

function doubles(to: ByteWriter, data: ArrayLike<number>): number {
  let nonFinite = 0;
  for (let i = 0; i < data.length; i++) {
    const value = data[i] as number;
    if (i > 0) to.byte(COMMA);
    if (value - value === 0) to.double(value);
    else {
      to.ascii('null');
      nonFinite++;
    }
  }
  return nonFinite;
}

function wide(to: ByteWriter, data: BigInt64Array | BigUint64Array, signed: boolean): number {
  const words = new Uint32Array(data.buffer, data.byteOffset, data.length * 2);
  for (let i = 0; i < data.length; i++) {
    const high = words[2 * i + 1] as number;
    const number = (signed ? high | 0 : high) * 4294967296 + (words[2 * i] as number);
    if (i > 0) to.byte(COMMA);
    if (Number.isSafeInteger(number)) to.double(number);
    else to.ascii(`${data[i]}`);
  }
  return 0;
}

function booleans(to: ByteWriter, data: Uint8Array): number {
  for (let i = 0; i < data.length; i++) {
    if (i > 0) to.byte(COMMA);
    to.ascii(data[i] ? 'true' : 'false');
  }
  return 0;
}

function strings(to: ByteWriter, name: string, data: readonly Buffer[]): number {
  for (const [i, element] of data.entries()) {
    if (!isUtf8(element)) {
      throw new AppError(
        'unsupported',
        `tensor "${name}": element ${i} is not UTF-8 and so cannot be JSON; ask for it with binary_data`,
        { details: { tensor: name, element: i } },
      );
    }
    if (i > 0) to.byte(COMMA);
    to.text(JSON.stringify(element.toString('utf8')));
  }
  return 0;
}
