/** The numbers of HTTP/2 (RFC 9113): frame types, flags, error codes and settings, and the error that carries a code. */

export const FRAME = {
  DATA: 0x0,
  HEADERS: 0x1,
  PRIORITY: 0x2,
  RST_STREAM: 0x3,
  SETTINGS: 0x4,
  PUSH_PROMISE: 0x5,
  PING: 0x6,
  GOAWAY: 0x7,
  WINDOW_UPDATE: 0x8,
  CONTINUATION: 0x9,
} as const;

export const FLAG = {
  END_STREAM: 0x1,
  /** Of SETTINGS and PING. */
  ACK: 0x1,
  END_HEADERS: 0x4,
  PADDED: 0x8,
  PRIORITY: 0x20,
} as const;

export const CODE = {
  NO_ERROR: 0x0,
  PROTOCOL_ERROR: 0x1,
  INTERNAL_ERROR: 0x2,
  FLOW_CONTROL_ERROR: 0x3,
  STREAM_CLOSED: 0x5,
  FRAME_SIZE_ERROR: 0x6,
  REFUSED_STREAM: 0x7,
  CANCEL: 0x8,
  COMPRESSION_ERROR: 0x9,
  ENHANCE_YOUR_CALM: 0xb,
} as const;

export const SETTING = {
  HEADER_TABLE_SIZE: 0x1,
  ENABLE_PUSH: 0x2,
  MAX_CONCURRENT_STREAMS: 0x3,
  INITIAL_WINDOW_SIZE: 0x4,
  MAX_FRAME_SIZE: 0x5,
  MAX_HEADER_LIST_SIZE: 0x6,
} as const;

/** Bytes before each frame's payload: length (3), type, flags, stream id (4). */
export const FRAME_HEAD_BYTES = 9;
/** The window of a stream and of the connection before anybody says otherwise. */
export const DEFAULT_WINDOW_BYTES = 65_535;
/** What a frame's payload may have before anybody says otherwise; also the least that may be agreed on. */
export const DEFAULT_FRAME_BYTES = 16_384;
/** The largest window, and the largest stream id. */
export const MAX_31_BITS = 0x7fffffff;

/**
 * What a peer did against the protocol. It ends the connection, or only the stream where `streamId` is given. It never
 * leaves this folder: the answer to it is a GOAWAY or RST_STREAM frame.
 */
export class Http2Error extends Error {
  override readonly name = 'Http2Error';

  constructor(
    readonly code: number,
    message: string,
    readonly streamId?: number,
  ) {
    super(message);
  }
}
