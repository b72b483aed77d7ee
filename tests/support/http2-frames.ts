/** An HTTP/2 client that sends and sees single frames, right or wrong ones. */
import { connect, type Socket } from 'node:net';
import { CODE, FLAG, FRAME } from '../../src/gateway/http2/codes.js';
import { PREFACE } from '../../src/gateway/http2/frame-reader.js';
import { frameHead } from '../../src/gateway/http2/frame-writer.js';
import { encodeHeaders } from '../../src/gateway/http2/hpack-encoder.js';

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

export function frame(type: number, flags: number, streamId: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  return Buffer.concat([frameHead(payload.length, type, flags, streamId), payload]);
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

export const SETTINGS = frame(FRAME.SETTINGS, 0, 0);
export const HELLO = Buffer.concat([PREFACE, SETTINGS]);

/** The headers of a gRPC call, with changes: undefined leaves one out. */
export function callHeaders(changes: Record<string, string | undefined> = {}): [string, string][] {
  const headers: Record<string, string | undefined> = {
    ':method': 'POST',
    ':scheme': 'http',
    ':path': '/test.Echo/Unary',
    ':authority': 'localhost',
    'content-type': 'application/grpc',
    te: 'trailers',
    ...changes,
  };
  return Object.entries(headers).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]]));
}

export function headersFrame(streamId: number, flags = 0, headers = callHeaders()): Buffer {
  return frame(FRAME.HEADERS, flags | FLAG.END_HEADERS, streamId, encodeHeaders(headers));
}

export function dataFrame(streamId: number, content: Uint8Array, flags = 0): Buffer {
  return frame(FRAME.DATA, flags, streamId, content);
}

/** A message as it goes into DATA. */
export function grpcMessage(bytes: Uint8Array, flag = 0): Buffer {
  return Buffer.concat([Buffer.of(flag), u32(bytes.length), bytes]);
}

/** A whole unary call. */
export function unaryCall(streamId: number, message: Uint8Array = Buffer.from('hello')): Buffer {
  return Buffer.concat([headersFrame(streamId), dataFrame(streamId, grpcMessage(message), FLAG.END_STREAM)]);
}

export class RawClient {
  /** Frames that came and were not taken yet. */
  readonly frames: Frame[] = [];
  private buffered: Buffer = Buffer.alloc(0);
  private ended = false;
  private wake: () => void = () => {};

  private constructor(readonly socket: Socket) {
    socket.on('data', (chunk: Buffer) => {
      this.buffered = Buffer.concat([this.buffered, chunk]);
      while (this.buffered.length >= 9) {
        const length = this.buffered.readUIntBE(0, 3);
        if (this.buffered.length < 9 + length) break;
        this.frames.push({
          type: this.buffered[3] as number,
          flags: this.buffered[4] as number,
          streamId: this.buffered.readUInt32BE(5),
          payload: this.buffered.subarray(9, 9 + length),
        });
        this.buffered = this.buffered.subarray(9 + length);
      }
      this.wake();
    });
    socket.on('error', () => {});
    for (const event of ['end', 'close'] as const) {
      socket.on(event, () => {
        this.ended = true;
        this.wake();
      });
    }
  }

  static async to(port: number, first: Buffer = HELLO): Promise<RawClient> {
    const socket = connect(port, '127.0.0.1');
    socket.setNoDelay(true);
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    const client = new RawClient(socket);
    if (first.length > 0) socket.write(first);
    return client;
  }

  send(...bytes: Buffer[]): void {
    this.socket.write(Buffer.concat(bytes));
  }

  /** The next frame that fits, those before it being dropped; undefined when the server ended the connection first. */
  async next(fits: (frame: Frame) => boolean): Promise<Frame | undefined> {
    for (;;) {
      while (this.frames.length > 0) {
        const taken = this.frames.shift() as Frame;
        if (fits(taken)) return taken;
      }
      if (this.ended) return undefined;
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }

  nextOf(type: number, streamId?: number): Promise<Frame | undefined> {
    return this.next((it) => it.type === type && (streamId === undefined || it.streamId === streamId));
  }

  /** How the server ended a stream or the connection: the code's name, and what it said of it. */
  async ending(): Promise<{ kind: 'stream' | 'connection' | 'closed'; code?: string; message?: string }> {
    const last = await this.next(
      ({ type, payload }) => type === FRAME.RST_STREAM || (type === FRAME.GOAWAY && payload.readUInt32BE(4) !== 0),
    );
    if (!last) return { kind: 'closed' };
    if (last.type === FRAME.RST_STREAM) return { kind: 'stream', code: nameOf(last.payload.readUInt32BE(0)) };
    const code = nameOf(last.payload.readUInt32BE(4));
    return { kind: 'connection', code, message: last.payload.toString('utf8', 8) };
  }

  close(): void {
    this.socket.destroy();
  }
}

function nameOf(code: number): string {
  return Object.entries(CODE).find(([, value]) => value === code)?.[0] ?? String(code);
}
