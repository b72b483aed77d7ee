/**
 * Tensors of strings as TensorFlow keeps them: an array of TF_TString, 24 bytes each (tsl/platform/ctstring_internal.h,
 * part of the C interface). The two lowest bits of the first byte say where the text lies:
 *
 *     0 small    u8 size·4, then up to 22 bytes of text
 *     1 large    u64 size·4+1, u64 capacity, u64 address
 *     2 offset   u32 size·4+2, u32 distance from the TF_TString itself
 *     3 view     u64 size·4+3, u64 address
 */
import { AppError } from '../../errors.js';

export const STRING_BYTES = 24;

/** A size has 30 bits where the distance is given, and a distance 32. */
const MAX_TEXT_BYTES = 2 ** 30 - 1;
const MAX_TENSOR_BYTES = 2 ** 32 - 1;

/**
 * The memory of a tensor of strings, in one piece: the array, and behind it all texts, found by their distance. So they
 * live exactly as long as the tensor, who copies them copies the text, and nothing has to be freed one by one. Behind
 * each text is a NUL, as behind every other TF_TString: some operations read up to it.
 */
export function encodeStrings(tensor: string, elements: readonly Buffer[]): Buffer {
  const start = elements.length * STRING_BYTES;
  const size = elements.reduce((sum, element) => sum + element.length + 1, start);
  if (size > MAX_TENSOR_BYTES) throw tooLarge(tensor, `the tensor takes ${size} bytes`, MAX_TENSOR_BYTES);
  const memory = Buffer.allocUnsafe(size).fill(0, 0, start);
  let at = start;
  for (const [index, element] of elements.entries()) {
    const { length } = element;
    if (length > MAX_TEXT_BYTES) throw tooLarge(tensor, `element ${index} has ${length} bytes`, MAX_TEXT_BYTES);
    const header = index * STRING_BYTES;
    memory.writeUInt32LE(length * 4 + 2, header);
    memory.writeUInt32LE(at - header, header + 4);
    memory.set(element, at);
    memory.writeUInt8(0, at + length);
    at += length + 1;
  }
  return memory;
}

/** Reads an array of TF_TString that was copied from `address`; `read` copies text from where it lies. */
export function decodeStrings(
  array: Buffer,
  address: bigint,
  read: (address: bigint, size: number) => Buffer,
): Buffer[] {
  const elements: Buffer[] = [];
  for (let at = 0; at < array.length; at += STRING_BYTES) {
    const first = array.readUInt8(at);
    switch (first & 3) {
      case 0:
        // a copy, so that one short text does not keep the whole array
        elements.push(Buffer.from(array.subarray(at + 1, at + 1 + (first >> 2))));
        break;
      case 1:
        elements.push(read(array.readBigUInt64LE(at + 16), longSize(array, at)));
        break;
      case 2: {
        const size = array.readUInt32LE(at) >>> 2;
        elements.push(read(address + BigInt(at + array.readUInt32LE(at + 4)), size));
        break;
      }
      default:
        elements.push(read(array.readBigUInt64LE(at + 8), longSize(array, at)));
    }
  }
  return elements;
}

function longSize(array: Buffer, at: number): number {
  return Number(array.readBigUInt64LE(at) >> 2n);
}

function tooLarge(tensor: string, what: string, bound: number): AppError {
  return new AppError('too_large', `input "${tensor}": ${what}, TensorFlow takes at most ${bound}`, {
    details: { input: tensor, bound },
  });
}
