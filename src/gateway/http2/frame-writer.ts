/** Frames as bytes. */
import { DEFAULT_FRAME_BYTES, FLAG, FRAME, FRAME_HEAD_BYTES } from './codes.js';

/** Writes a frame's head at `at`; returns where its payload begins. */
export function writeFrameHead(
  to: Buffer,
  at: number,
  head: { length: number; type: number; flags: number; streamId: number },
): number {
  const { length, streamId } = head;
  to[at] = length >>> 16;
  to[at + 1] = length >>> 8;
  to[at + 2] = length;
  to[at + 3] = head.type;
  to[at + 4] = head.flags;
  to[at + 5] = streamId >>> 24;
  to[at + 6] = streamId >>> 16;
  to[at + 7] = streamId >>> 8;
  to[at + 8] = streamId;
  return at + FRAME_HEAD_BYTES;
}

export function frameHead(length: number, type: number, flags: number, streamId: number): Buffer {
  const head = Buffer.allocUnsafe(FRAME_HEAD_BYTES);
  writeFrameHead(head, 0, { length, type, flags, streamId });
  return head;
}

function frame(type: number, flags: number, streamId: number, payload: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(FRAME_HEAD_BYTES + payload.length);
  bytes.set(payload, writeFrameHead(bytes, 0, { length: payload.length, type, flags, streamId }));
  return bytes;
}

/** A header block as HEADERS and, where it does not fit one frame, CONTINUATION. */
export function headersFrames(streamId: number, block: Buffer, endStream: boolean): Buffer {
  const flags = endStream ? FLAG.END_STREAM : 0;
  const first = block.subarray(0, DEFAULT_FRAME_BYTES);
  if (first.length === block.length) return frame(FRAME.HEADERS, flags | FLAG.END_HEADERS, streamId, block);
  const frames = [frame(FRAME.HEADERS, flags, streamId, first)];
  for (let at = DEFAULT_FRAME_BYTES; at < block.length; at += DEFAULT_FRAME_BYTES) {
    const last = at + DEFAULT_FRAME_BYTES >= block.length;
    const piece = block.subarray(at, at + DEFAULT_FRAME_BYTES);
    frames.push(frame(FRAME.CONTINUATION, last ? FLAG.END_HEADERS : 0, streamId, piece));
  }
  return Buffer.concat(frames);
}

export function rstStreamFrame(streamId: number, code: number): Buffer {
  const bytes = frame(FRAME.RST_STREAM, 0, streamId, new Uint8Array(4));
  bytes.writeUInt32BE(code, FRAME_HEAD_BYTES);
  return bytes;
}

/** On stream 0 it is the connection's window that grows. */
export function windowUpdateFrame(streamId: number, bytes: number): Buffer {
  const update = frame(FRAME.WINDOW_UPDATE, 0, streamId, new Uint8Array(4));
  update.writeUInt32BE(bytes, FRAME_HEAD_BYTES);
  return update;
}

export function settingsFrame(settings: ReadonlyArray<readonly [id: number, value: number]>): Buffer {
  const payload = Buffer.allocUnsafe(6 * settings.length);
  settings.forEach(([id, value], at) => {
    payload.writeUInt16BE(id, 6 * at);
    payload.writeUInt32BE(value, 6 * at + 2);
  });
  return frame(FRAME.SETTINGS, 0, 0, payload);
}

export function settingsAckFrame(): Buffer {
  return frame(FRAME.SETTINGS, FLAG.ACK, 0, new Uint8Array(0));
}

/** `payload` are 8 bytes that the answer repeats. */
export function pingFrame(payload: Uint8Array, ack: boolean): Buffer {
  return frame(FRAME.PING, ack ? FLAG.ACK : 0, 0, payload);
}

export function goawayFrame(lastStreamId: number, code: number, message: string): Buffer {
  const text = Buffer.from(message.slice(0, 1000), 'utf8');
  const payload = Buffer.allocUnsafe(8 + text.length);
  payload.writeUInt32BE(lastStreamId, 0);
  payload.writeUInt32BE(code, 4);
  payload.set(text, 8);
  return frame(FRAME.GOAWAY, 0, 0, payload);
}
