/** A header block that comes in several frames: HEADERS, then CONTINUATION until one says that it is the last. */
import { CODE, FLAG, FRAME, Http2Error } from './codes.js';

/** As large as four whole frames. Beyond is nothing that a client of ours has to say. */
const MAX_BLOCK_BYTES = 64 * 1024;
/** Many tiny CONTINUATION frames are an attack (CVE-2024-27316), not a way to write headers. */
const MAX_FRAMES = 64;

export class HeaderBlock {
  private readonly pieces: Buffer[] = [];
  private bytes = 0;

  constructor(
    readonly streamId: number,
    readonly endStream: boolean,
  ) {}

  add(bytes: Buffer, start: number, end: number): void {
    this.bytes += end - start;
    if (this.bytes > MAX_BLOCK_BYTES || this.pieces.length >= MAX_FRAMES) {
      const bounds = `${MAX_BLOCK_BYTES} bytes or ${MAX_FRAMES} frames`;
      throw new Http2Error(CODE.ENHANCE_YOUR_CALM, `a header block of more than ${bounds}`);
    }
    // the chunk that it came in need not be kept for it
    this.pieces.push(Buffer.from(bytes.subarray(start, end)));
  }

  whole(): Buffer {
    return Buffer.concat(this.pieces, this.bytes);
  }
}

/** Where the block begins and ends within a HEADERS frame, its padding and priority left out. */
export function blockWithin(
  frame: { bytes: Buffer; start: number; end: number },
  flags: number,
  streamId: number,
): { start: number; end: number } {
  let { start, end } = frame;
  const least = (flags & FLAG.PADDED ? 1 : 0) + (flags & FLAG.PRIORITY ? 5 : 0);
  if (end - start < least) throw new Http2Error(CODE.FRAME_SIZE_ERROR, `a HEADERS frame of ${end - start} bytes`);
  if (flags & FLAG.PADDED) {
    end -= frame.bytes[start] as number;
    start++;
  }
  if (flags & FLAG.PRIORITY) {
    checkDependency(frame.bytes, start, streamId);
    start += 5;
  }
  if (end < start) throw new Http2Error(CODE.PROTOCOL_ERROR, 'HEADERS with more padding than bytes');
  return { start, end };
}

/** Priorities are not used (RFC 9113, section 5.3.2), but a stream that depends on itself is malformed still. */
export function checkDependency(bytes: Buffer, at: number, streamId: number): void {
  if ((bytes.readUInt32BE(at) & 0x7fffffff) !== streamId) return;
  throw new Http2Error(CODE.PROTOCOL_ERROR, 'a stream that depends on itself', streamId);
}

/** Refuses a frame whose length cannot be. */
export function checkLength(type: number, bytes: number, streamId: number): void {
  const wanted = LENGTHS[type];
  if (wanted === undefined || bytes === wanted) return;
  // of a PRIORITY frame only the stream suffers
  const only = type === FRAME.PRIORITY ? streamId : undefined;
  throw new Http2Error(CODE.FRAME_SIZE_ERROR, `a frame of type ${type} with ${bytes} bytes, expected ${wanted}`, only);
}

const LENGTHS: Readonly<Record<number, number>> = {
  [FRAME.PRIORITY]: 5,
  [FRAME.RST_STREAM]: 4,
  [FRAME.PING]: 8,
  [FRAME.WINDOW_UPDATE]: 4,
};
