/**
 * Reading TFRecord files (tensorflow.org/tutorials/load_data/tfrecord): records one after the other, each as
 *
 *     u64LE length | u32LE masked CRC-32C of the length | bytes | u32LE masked CRC-32C of the bytes
 */
import type { FileHandle } from 'node:fs/promises';
import { open } from 'node:fs/promises';
import { AppError } from '../../errors.js';
import { crc32c } from './crc32c.js';

const HEAD_BYTES = 12;
const TAIL_BYTES = 4;
/** Longer than any message of protobuf may be. */
const MAX_RECORD_BYTES = 2 ** 31;

/** The records of a file in order; `invalid` naming the record where the file is cut short or damaged. */
export async function* readRecords(path: string): AsyncGenerator<Buffer> {
  const file = await open(path);
  try {
    for (let at = 0, index = 0; ; index++) {
      const head = await readFully(file, at, HEAD_BYTES);
      if (head.length === 0) return;
      if (head.length < HEAD_BYTES) throw damaged(index, 'the file ends within it');
      if (masked(head.subarray(0, 8)) !== head.readUInt32LE(8))
        throw damaged(index, 'the checksum of its length is wrong');
      const length = Number(head.readBigUInt64LE(0));
      if (length > MAX_RECORD_BYTES)
        throw damaged(index, `it is ${length} bytes long, at most ${MAX_RECORD_BYTES} can be`);
      const body = await readFully(file, at + HEAD_BYTES, length + TAIL_BYTES);
      if (body.length < length + TAIL_BYTES) throw damaged(index, 'the file ends within it');
      const bytes = body.subarray(0, length);
      if (masked(bytes) !== body.readUInt32LE(length)) throw damaged(index, 'its checksum is wrong');
      yield bytes;
      at += HEAD_BYTES + length + TAIL_BYTES;
    }
  } finally {
    await file.close();
  }
}

/** Up to `length` bytes from a place in the file; fewer where it ends before. */
async function readFully(file: FileHandle, at: number, length: number): Promise<Buffer> {
  // a length that is a lie must not cost the memory of what it claims
  const { size } = await file.stat();
  const buffer = Buffer.allocUnsafe(Math.max(0, Math.min(length, size - at)));
  let done = 0;
  while (done < buffer.length) {
    const { bytesRead } = await file.read(buffer, done, buffer.length - done, at + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return buffer.subarray(0, done);
}

/** A CRC as it is stored: rotated and moved on, so that the CRC of a string with CRCs in it is no trivial one. */
export function masked(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

function damaged(index: number, problem: string): AppError {
  return new AppError('invalid', `record ${index + 1}: ${problem}`, { details: { record: index + 1 } });
}
