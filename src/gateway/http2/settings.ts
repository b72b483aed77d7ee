/** The settings of both sides (RFC 9113, section 6.5). */
import { CODE, DEFAULT_FRAME_BYTES, Http2Error, MAX_31_BITS, SETTING } from './codes.js';
import { settingsFrame } from './frame-writer.js';
import type { Http2Limits } from './limits.js';

/** The frame that tells a client our limits. */
export function ourSettings(limits: Http2Limits): Buffer {
  return settingsFrame([
    [SETTING.MAX_CONCURRENT_STREAMS, limits.maxStreams],
    [SETTING.INITIAL_WINDOW_SIZE, limits.streamWindowBytes],
    [SETTING.MAX_HEADER_LIST_SIZE, limits.maxHeaderListBytes],
  ]);
}

/** What of a client's settings matters to us; undefined: not said. */
export interface PeerSettings {
  readonly initialWindowBytes: number | undefined;
  readonly maxFrameBytes: number | undefined;
}

/** Reads a SETTINGS frame's payload; values that may not be end the connection. */
export function readSettings(bytes: Buffer, start: number, end: number): PeerSettings {
  if ((end - start) % 6 !== 0) throw new Http2Error(CODE.FRAME_SIZE_ERROR, `SETTINGS of ${end - start} bytes`);
  let initialWindowBytes: number | undefined;
  let maxFrameBytes: number | undefined;
  for (let at = start; at < end; at += 6) {
    const id = bytes.readUInt16BE(at);
    const value = bytes.readUInt32BE(at + 2);
    if (id === SETTING.ENABLE_PUSH) check(value <= 1, CODE.PROTOCOL_ERROR, 'ENABLE_PUSH', value);
    if (id === SETTING.INITIAL_WINDOW_SIZE) {
      check(value <= MAX_31_BITS, CODE.FLOW_CONTROL_ERROR, 'INITIAL_WINDOW_SIZE', value);
      initialWindowBytes = value;
    }
    if (id === SETTING.MAX_FRAME_SIZE) {
      check(value >= DEFAULT_FRAME_BYTES && value < 2 ** 24, CODE.PROTOCOL_ERROR, 'MAX_FRAME_SIZE', value);
      maxFrameBytes = value;
    }
  }
  return { initialWindowBytes, maxFrameBytes };
}

function check(holds: boolean, code: number, name: string, value: number): void {
  if (!holds) throw new Http2Error(code, `SETTINGS with ${name} ${value}`);
}
