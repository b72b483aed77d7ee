/** Frames, right and wrong, against a server of calls. */
import { afterEach, describe, expect, it } from 'vitest';
import { grpcServer } from '../../../tests/support/grpc-server.js';
import {
  callHeaders,
  dataFrame,
  type Frame,
  frame,
  grpcMessage,
  HELLO,
  headersFrame,
  RawClient,
  SETTINGS,
  u32,
  unaryCall,
} from '../../../tests/support/http2-frames.js';
import { unary } from '../grpc/unary.js';
import { FLAG, FRAME } from './codes.js';
import { PREFACE, startsHttp2 } from './frame-reader.js';
import { HpackDecoder } from './hpack-decoder.js';
import { encodeHeaders } from './hpack-encoder.js';
import type { Http2Limits } from './limits.js';

const clients: RawClient[] = [];
afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});

const echo = (limits: Partial<Http2Limits> = {}) =>
  grpcServer({
    limits,
    onCall: (call) =>
      unary((message) => {
        if (call.path !== '/test.Echo/Never') call.reply([message]);
        return undefined;
      }),
  });

async function connected(port: number, first?: Buffer): Promise<RawClient> {
  const client = await RawClient.to(port, first);
  clients.push(client);
  return client;
}

const END = FLAG.END_STREAM;
const block = (changes = {}) => encodeHeaders(callHeaders(changes));
const never = callHeaders({ ':path': '/test.Echo/Never' });

/** The answer's frames on a stream: its heads as text, its data. */
async function answer(client: RawClient, streamId: number): Promise<{ head: string; data: string; trailers: string }> {
  const texts: string[] = [];
  let data = Buffer.alloc(0);
  for (;;) {
    const next = await client.next(
      (it) => it.streamId === streamId && (it.type === FRAME.HEADERS || it.type === FRAME.DATA),
    );
    if (!next) throw new Error('the connection ended before the answer did');
    if (next.type === FRAME.DATA) data = Buffer.concat([data, next.payload]);
    else texts.push(textOf(next));
    if (next.flags & END) break;
  }
  const [head = '', trailers = head] = texts;
  return { head, data: data.toString('latin1'), trailers };
}

function textOf({ payload }: Frame): string {
  const { fields } = new HpackDecoder(100_000).decode(payload, 0, payload.length);
  return fields.map(({ name, value }) => `${name}: ${value}`).join(', ');
}

const HELLO_BACK = {
  head: ':status: 200, content-type: application/grpc',
  data: '\0\0\0\0\u0005hello',
  trailers: 'grpc-status: 0',
};

describe('a call', () => {
  it('is answered wherever its bytes are cut', async () => {
    const { port } = await echo();
    const bytes = Buffer.concat([HELLO, unaryCall(1), frame(FRAME.PING, 0, 0, Buffer.from('12345678')), unaryCall(3)]);
    const client = await connected(port, bytes.subarray(0, 1));
    for (let at = 1; at < bytes.length; at++) {
      client.send(bytes.subarray(at, at + 1));
      // each byte in a turn of its own, so that it arrives alone
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(await answer(client, 1)).toEqual(HELLO_BACK);
    expect((await client.nextOf(FRAME.PING))?.payload.toString()).toBe('12345678');
    expect(await answer(client, 3)).toEqual(HELLO_BACK);
  });

  it.each<[string, Buffer[]]>([
    [
      'with padding and a priority',
      [
        frame(
          FRAME.HEADERS,
          FLAG.END_HEADERS | FLAG.PADDED | FLAG.PRIORITY,
          1,
          Buffer.concat([Buffer.of(3), u32(0), Buffer.of(9), block(), Buffer.alloc(3)]),
        ),
        frame(
          FRAME.DATA,
          FLAG.PADDED,
          1,
          Buffer.concat([Buffer.of(4), grpcMessage(Buffer.from('hello')).subarray(0, 7), Buffer.alloc(4)]),
        ),
        frame(
          FRAME.DATA,
          FLAG.PADDED | END,
          1,
          Buffer.concat([Buffer.of(0), grpcMessage(Buffer.from('hello')).subarray(7)]),
        ),
      ],
    ],
    [
      'with CONTINUATION',
      [
        frame(FRAME.HEADERS, 0, 1, block().subarray(0, 10)),
        frame(FRAME.CONTINUATION, 0, 1, block().subarray(10, 10)),
        frame(FRAME.CONTINUATION, FLAG.END_HEADERS, 1, block().subarray(10)),
        dataFrame(1, grpcMessage(Buffer.from('hello')), END),
      ],
    ],
    [
      'that ends by an empty DATA',
      [headersFrame(1), dataFrame(1, grpcMessage(Buffer.from('hello'))), dataFrame(1, Buffer.alloc(0), END)],
    ],
    [
      'that ends by trailers',
      [headersFrame(1), dataFrame(1, grpcMessage(Buffer.from('hello'))), headersFrame(1, END, [['x-end', '1']])],
    ],
    [
      'with frames between that mean nothing to us',
      [
        frame(0xbe, 0xff, 1, Buffer.from('extension')),
        headersFrame(1),
        frame(FRAME.PRIORITY, 0, 1, Buffer.concat([u32(0), Buffer.of(1)])),
        frame(FRAME.WINDOW_UPDATE, 0, 1, u32(10)),
        frame(FRAME.GOAWAY, 0, 0, Buffer.concat([u32(0), u32(0)])),
        frame(FRAME.SETTINGS, FLAG.ACK, 0),
        dataFrame(1, grpcMessage(Buffer.from('hello')), END),
      ],
    ],
  ])('%s', async (_what, frames) => {
    const { port } = await echo();
    const client = await connected(port);
    client.send(...frames);
    expect(await answer(client, 1)).toEqual(HELLO_BACK);
  });

  it('whose answer is sent before it ended is told to stop', async () => {
    const { port } = await grpcServer({
      onCall: () => {
        throw new Error('of ours');
      },
    });
    const client = await connected(port);
    client.send(headersFrame(1));
    const { head } = await answer(client, 1);
    expect(head).toBe(
      ':status: 200, content-type: application/grpc, grpc-status: 13, grpc-message: internal error, sluice-error-code: internal',
    );
    expect(await client.ending()).toEqual({ kind: 'stream', code: 'NO_ERROR' });
    // what was on its way is no error
    client.send(dataFrame(1, grpcMessage(Buffer.from('late')), END), headersFrame(1, END, [['x', '1']]), unaryCall(3));
    expect((await answer(client, 3)).trailers).toContain('grpc-status: 13');
  });
});

describe('a connection error', () => {
  const big = Buffer.alloc(16_385);
  it.each<[string, Buffer[], string]>([
    ['no preface', [Buffer.from('GET / HTTP/1.1\r\nhost: localhost\r\n\r\n')], 'PROTOCOL_ERROR'],
    ['another frame before SETTINGS', [PREFACE, frame(FRAME.PING, 0, 0, Buffer.alloc(8))], 'PROTOCOL_ERROR'],
    ['DATA before SETTINGS', [PREFACE, dataFrame(1, Buffer.from('x'))], 'PROTOCOL_ERROR'],
    ['DATA on stream 0', [HELLO, dataFrame(0, Buffer.from('x'))], 'PROTOCOL_ERROR'],
    ['DATA on an idle stream', [HELLO, dataFrame(5, Buffer.from('x'))], 'PROTOCOL_ERROR'],
    [
      'more padding than DATA',
      [HELLO, headersFrame(1), frame(FRAME.DATA, FLAG.PADDED, 1, Buffer.of(5, 1, 2))],
      'PROTOCOL_ERROR',
    ],
    ['padded DATA without a byte', [HELLO, headersFrame(1), frame(FRAME.DATA, FLAG.PADDED, 1)], 'FRAME_SIZE_ERROR'],
    ['a frame that is too large', [HELLO, headersFrame(1), dataFrame(1, big)], 'FRAME_SIZE_ERROR'],
    ['HEADERS on stream 0', [HELLO, headersFrame(0)], 'PROTOCOL_ERROR'],
    ['HEADERS on a stream of ours', [HELLO, headersFrame(2)], 'PROTOCOL_ERROR'],
    ['HEADERS on a closed stream', [HELLO, unaryCall(3), headersFrame(1)], 'STREAM_CLOSED'],
    [
      'more padding than HEADERS',
      [HELLO, frame(FRAME.HEADERS, FLAG.END_HEADERS | FLAG.PADDED, 1, Buffer.concat([Buffer.of(255), block()]))],
      'PROTOCOL_ERROR',
    ],
    [
      'HEADERS shorter than its priority',
      [HELLO, frame(FRAME.HEADERS, FLAG.END_HEADERS | FLAG.PRIORITY, 1, Buffer.alloc(3))],
      'FRAME_SIZE_ERROR',
    ],
    [
      'a block that is no HPACK',
      [HELLO, frame(FRAME.HEADERS, FLAG.END_HEADERS, 1, Buffer.of(0x80))],
      'COMPRESSION_ERROR',
    ],
    [
      'CONTINUATION without HEADERS',
      [HELLO, frame(FRAME.CONTINUATION, FLAG.END_HEADERS, 1, block())],
      'PROTOCOL_ERROR',
    ],
    [
      'CONTINUATION of another stream',
      [HELLO, frame(FRAME.HEADERS, 0, 1), frame(FRAME.CONTINUATION, 0, 3)],
      'PROTOCOL_ERROR',
    ],
    [
      'a frame within a header block',
      [HELLO, frame(FRAME.HEADERS, 0, 1), frame(FRAME.PING, 0, 0, Buffer.alloc(8))],
      'PROTOCOL_ERROR',
    ],
    [
      'DATA within a header block',
      [HELLO, frame(FRAME.HEADERS, 0, 1), dataFrame(1, Buffer.from('x'))],
      'PROTOCOL_ERROR',
    ],
    ['PRIORITY on stream 0', [HELLO, frame(FRAME.PRIORITY, 0, 0, Buffer.alloc(5))], 'PROTOCOL_ERROR'],
    ['RST_STREAM on an idle stream', [HELLO, frame(FRAME.RST_STREAM, 0, 1, u32(8))], 'PROTOCOL_ERROR'],
    [
      'RST_STREAM of 3 bytes',
      [HELLO, headersFrame(1), frame(FRAME.RST_STREAM, 0, 1, Buffer.alloc(3))],
      'FRAME_SIZE_ERROR',
    ],
    ['SETTINGS on a stream', [HELLO, frame(FRAME.SETTINGS, 0, 1)], 'PROTOCOL_ERROR'],
    ['SETTINGS of 5 bytes', [HELLO, frame(FRAME.SETTINGS, 0, 0, Buffer.alloc(5))], 'FRAME_SIZE_ERROR'],
    [
      'an acknowledgement with content',
      [HELLO, frame(FRAME.SETTINGS, FLAG.ACK, 0, Buffer.alloc(6))],
      'FRAME_SIZE_ERROR',
    ],
    ['ENABLE_PUSH 2', [HELLO, frame(FRAME.SETTINGS, 0, 0, Buffer.of(0, 2, 0, 0, 0, 2))], 'PROTOCOL_ERROR'],
    [
      'a window beyond 2^31',
      [HELLO, frame(FRAME.SETTINGS, 0, 0, Buffer.of(0, 4, 0x80, 0, 0, 0))],
      'FLOW_CONTROL_ERROR',
    ],
    [
      'a frame size below the least',
      [HELLO, frame(FRAME.SETTINGS, 0, 0, Buffer.of(0, 5, 0, 0, 0x3f, 0xff))],
      'PROTOCOL_ERROR',
    ],
    ['PUSH_PROMISE', [HELLO, frame(FRAME.PUSH_PROMISE, 0, 1, Buffer.alloc(8))], 'PROTOCOL_ERROR'],
    ['PING on a stream', [HELLO, frame(FRAME.PING, 0, 1, Buffer.alloc(8))], 'PROTOCOL_ERROR'],
    ['PING of 7 bytes', [HELLO, frame(FRAME.PING, 0, 0, Buffer.alloc(7))], 'FRAME_SIZE_ERROR'],
    ['GOAWAY on a stream', [HELLO, frame(FRAME.GOAWAY, 0, 1, Buffer.alloc(8))], 'PROTOCOL_ERROR'],
    ['WINDOW_UPDATE of 0', [HELLO, frame(FRAME.WINDOW_UPDATE, 0, 0, u32(0))], 'PROTOCOL_ERROR'],
    ['WINDOW_UPDATE on an idle stream', [HELLO, frame(FRAME.WINDOW_UPDATE, 0, 1, u32(1))], 'PROTOCOL_ERROR'],
    ['WINDOW_UPDATE of 3 bytes', [HELLO, frame(FRAME.WINDOW_UPDATE, 0, 0, Buffer.alloc(3))], 'FRAME_SIZE_ERROR'],
    [
      'a connection window beyond 2^31',
      [HELLO, frame(FRAME.WINDOW_UPDATE, 0, 0, u32(0x7fffffff))],
      'FLOW_CONTROL_ERROR',
    ],
    [
      'windows beyond 2^31 by SETTINGS',
      [
        HELLO,
        headersFrame(1, 0, never),
        frame(FRAME.WINDOW_UPDATE, 0, 1, u32(0x7ffffff0 - 65_535)),
        frame(FRAME.SETTINGS, 0, 0, Buffer.of(0, 4, 0, 1, 0, 0xff)),
      ],
      'FLOW_CONTROL_ERROR',
    ],
  ])('%s', async (_what, bytes, code) => {
    const { port, connections, faults } = await echo();
    const client = await connected(port, Buffer.concat(bytes));
    expect(await client.ending()).toMatchObject({ kind: 'connection', code });
    expect(await client.next(() => false)).toBeUndefined();
    expect(connections[0]?.openCalls).toBe(0);
    expect(faults).toEqual([]);
  });
});

describe('a stream error', () => {
  const call = (changes: Record<string, string | undefined>, extra: [string, string][] = []) =>
    headersFrame(1, END, [...callHeaders(changes), ...extra]);
  it.each<[string, Buffer[], string]>([
    ['no :path', [call({ ':path': undefined })], 'PROTOCOL_ERROR'],
    ['an empty :path', [call({ ':path': '' })], 'PROTOCOL_ERROR'],
    ['no :method', [call({ ':method': undefined })], 'PROTOCOL_ERROR'],
    ['two :method', [headersFrame(1, END, [[':method', 'POST'], ...callHeaders()])], 'PROTOCOL_ERROR'],
    ['an unknown pseudo-header', [headersFrame(1, END, [[':status', '200'], ...callHeaders()])], 'PROTOCOL_ERROR'],
    ['a pseudo-header after others', [call({ ':path': undefined }, [[':path', '/']])], 'PROTOCOL_ERROR'],
    ['a name in upper case', [call({ 'X-Upper': '1' })], 'PROTOCOL_ERROR'],
    ['an empty name', [call({ '': '1' })], 'PROTOCOL_ERROR'],
    ['a line break in a value', [call({ x: 'a\r\nb' })], 'PROTOCOL_ERROR'],
    ['a value that begins with a blank', [call({ x: ' a' })], 'PROTOCOL_ERROR'],
    ['connection', [call({ connection: 'close' })], 'PROTOCOL_ERROR'],
    ['transfer-encoding', [call({ 'transfer-encoding': 'chunked' })], 'PROTOCOL_ERROR'],
    ['te other than trailers', [call({ te: 'gzip' })], 'PROTOCOL_ERROR'],
    [
      'a body of another length than said',
      [headersFrame(1, 0, callHeaders({ 'content-length': '5' })), dataFrame(1, Buffer.alloc(6), END)],
      'PROTOCOL_ERROR',
    ],
    ['trailers that end nothing', [headersFrame(1), headersFrame(1, 0, [['x', '1']])], 'PROTOCOL_ERROR'],
    ['pseudo-headers in trailers', [headersFrame(1), headersFrame(1, END, [[':path', '/']])], 'PROTOCOL_ERROR'],
    [
      'DATA after the end',
      [headersFrame(1, 0, never), dataFrame(1, grpcMessage(Buffer.alloc(1)), END), dataFrame(1, Buffer.from('x'))],
      'STREAM_CLOSED',
    ],
    [
      'HEADERS after the end',
      [headersFrame(1, 0, never), dataFrame(1, grpcMessage(Buffer.alloc(1)), END), headersFrame(1, END, [['x', '1']])],
      'STREAM_CLOSED',
    ],
    [
      'a stream that depends on itself',
      [frame(FRAME.HEADERS, FLAG.END_HEADERS | FLAG.PRIORITY, 1, Buffer.concat([u32(1), Buffer.of(1), block()]))],
      'PROTOCOL_ERROR',
    ],
    ['PRIORITY of 4 bytes', [frame(FRAME.PRIORITY, 0, 1, Buffer.alloc(4))], 'FRAME_SIZE_ERROR'],
    ['WINDOW_UPDATE of 0', [headersFrame(1), frame(FRAME.WINDOW_UPDATE, 0, 1, u32(0))], 'PROTOCOL_ERROR'],
    [
      'a window beyond 2^31',
      [headersFrame(1), frame(FRAME.WINDOW_UPDATE, 0, 1, u32(0x7fffffff))],
      'FLOW_CONTROL_ERROR',
    ],
  ])('%s', async (_what, frames, code) => {
    const { port, faults } = await echo();
    const client = await connected(port);
    client.send(...frames);
    expect(await client.ending()).toEqual({ kind: 'stream', code });
    client.send(unaryCall(3));
    expect(await answer(client, 3)).toEqual(HELLO_BACK);
    expect(faults).toEqual([]);
  });
});

describe('an attack ends in ENHANCE_YOUR_CALM', () => {
  const few = { burst: 20, perSecond: 0.001 };
  const times = (count: number, make: (at: number) => Buffer) => Array.from({ length: count }, (_, at) => make(at));
  it.each<[string, (at: number) => Buffer]>([
    [
      'streams opened and reset at once',
      (at) => Buffer.concat([headersFrame(2 * at + 1, 0, never), frame(FRAME.RST_STREAM, 0, 2 * at + 1, u32(8))]),
    ],
    ['PING', () => frame(FRAME.PING, 0, 0, Buffer.alloc(8))],
    ['SETTINGS', () => SETTINGS],
    ['acknowledgements', () => frame(FRAME.SETTINGS, FLAG.ACK, 0)],
    ['PRIORITY', () => frame(FRAME.PRIORITY, 0, 1, Buffer.concat([u32(0), Buffer.of(1)]))],
    ['WINDOW_UPDATE', () => frame(FRAME.WINDOW_UPDATE, 0, 0, u32(1))],
    ['unknown frames', () => frame(0x77, 0, 0)],
    ['empty DATA', (at) => (at === 0 ? headersFrame(1) : dataFrame(1, Buffer.alloc(0)))],
  ])('%s', async (_what, make) => {
    const { port } = await echo({ resets: few, idleFrames: few });
    const client = await connected(port);
    client.send(...times(100, make));
    expect(await client.ending()).toMatchObject({ kind: 'connection', code: 'ENHANCE_YOUR_CALM' });
  });

  it.each<[string, Buffer[]]>([
    [
      'a header block without end',
      [
        frame(FRAME.HEADERS, 0, 1, Buffer.alloc(16_000)),
        ...times(10, () => frame(FRAME.CONTINUATION, 0, 1, Buffer.alloc(16_000))),
      ],
    ],
    [
      'CONTINUATION without content',
      [frame(FRAME.HEADERS, 0, 1), ...times(100, () => frame(FRAME.CONTINUATION, 0, 1))],
    ],
  ])('%s', async (_what, frames) => {
    const { port } = await echo();
    const client = await connected(port);
    client.send(...frames);
    expect(await client.ending()).toMatchObject({ kind: 'connection', code: 'ENHANCE_YOUR_CALM' });
  });

  it('unless the frames go with real work', async () => {
    const { port } = await echo({ idleFrames: few });
    const client = await connected(port);
    for (let at = 0; at < 100; at++) {
      client.send(
        unaryCall(2 * at + 1),
        frame(FRAME.WINDOW_UPDATE, 0, 0, u32(10)),
        frame(FRAME.PING, 0, 0, Buffer.alloc(8)),
      );
      expect(await answer(client, 2 * at + 1)).toEqual(HELLO_BACK);
    }
  });
});

it('tells HTTP/2 by its first bytes', () => {
  expect(startsHttp2(HELLO)).toBe(true);
  expect(startsHttp2(PREFACE.subarray(0, 23))).toBeUndefined();
  expect(startsHttp2(Buffer.alloc(0))).toBeUndefined();
  expect(startsHttp2(Buffer.from('POST /v2'))).toBe(false);
  expect(startsHttp2(Buffer.from('PRI * HTTP/1.1'))).toBe(false);
});

describe('bounds', () => {
  it('metadata beyond its bound is refused in words, and the connection goes on', async () => {
    const { port } = await echo({ maxHeaderListBytes: 1000 });
    const client = await connected(port);
    client.send(headersFrame(1, END, callHeaders({ 'x-large': 'v'.repeat(1000) })), unaryCall(3));
    expect((await answer(client, 1)).trailers).toContain(
      'grpc-status: 8, grpc-message: the metadata of the call has more than 1000 bytes, which is the bound',
    );
    expect(await answer(client, 3)).toEqual(HELLO_BACK);
  });

  it('a connection that does not begin, or stops within a frame, is cut', async () => {
    const { port } = await echo({ stallMs: 100 });
    for (const first of [
      Buffer.alloc(0),
      PREFACE,
      Buffer.concat([HELLO, Buffer.of(0, 0, 8)]),
      Buffer.concat([HELLO, frame(FRAME.HEADERS, 0, 1)]),
    ]) {
      const client = await connected(port, first);
      expect(await client.ending()).toEqual({ kind: 'closed' });
    }
  });

  it('a connection without requests is drained, one with an open one is not', async () => {
    const { port } = await echo({ idleMs: 150, stallMs: 400 });
    const [idle, busy] = [await connected(port), await connected(port)];
    busy.send(headersFrame(1, 0, never), dataFrame(1, grpcMessage(Buffer.alloc(1)), END));
    expect((await idle.nextOf(FRAME.GOAWAY))?.payload.readUInt32BE(4)).toBe(0);
    expect(await idle.ending()).toEqual({ kind: 'closed' });
    busy.send(unaryCall(3));
    expect(await answer(busy, 3)).toEqual(HELLO_BACK);
  });

  it('streams beyond their bound are refused, and taken once others have ended', async () => {
    const { port } = await echo({ maxStreams: 2 });
    const client = await connected(port);
    client.send(headersFrame(1), headersFrame(3), headersFrame(5));
    expect(await client.next((it) => it.type === FRAME.RST_STREAM)).toMatchObject({ streamId: 5, payload: u32(7) });
    client.send(dataFrame(1, grpcMessage(Buffer.from('hello')), END));
    await answer(client, 1);
    client.send(unaryCall(7));
    expect(await answer(client, 7)).toEqual(HELLO_BACK);
  });

  it('DATA beyond the window of its stream resets it, beyond that of the connection ends it', async () => {
    const server = await grpcServer({
      limits: { streamWindowBytes: 1000, connectionWindowBytes: 70_000 },
      onCall: (call) => {
        call.pause();
        return { message() {}, end() {}, cancel() {} };
      },
    });
    const client = await connected(server.port);
    client.send(headersFrame(1), dataFrame(1, Buffer.alloc(1001)));
    expect(await client.ending()).toEqual({ kind: 'stream', code: 'FLOW_CONTROL_ERROR' });
    for (let id = 3; id < 200; id += 2) client.send(headersFrame(id), dataFrame(id, Buffer.alloc(1000)));
    expect(await client.ending()).toMatchObject({ kind: 'connection', code: 'FLOW_CONTROL_ERROR' });
  });

  it('the windows grow again by what was used', async () => {
    const { port } = await echo({ streamWindowBytes: 20_000, connectionWindowBytes: 70_000 });
    const client = await connected(port);
    const message = grpcMessage(Buffer.alloc(120_000, 'x'));
    client.send(headersFrame(1));
    let [stream, connection] = [20_000, 70_000];
    for (let at = 0; at < message.length; ) {
      const bytes = Math.min(stream, connection, 10_000, message.length - at);
      if (bytes > 0)
        client.send(dataFrame(1, message.subarray(at, at + bytes), at + bytes === message.length ? END : 0));
      at += bytes;
      stream -= bytes;
      connection -= bytes;
      if (stream >= 10_000 && connection >= 10_000) continue;
      const update = await client.next((it) => it.type === FRAME.WINDOW_UPDATE && it.payload.readUInt32BE(0) < 60_000);
      const grown = update?.payload.readUInt32BE(0) ?? 0;
      if (update?.streamId === 1) stream += grown;
      else connection += grown;
    }
    client.send(frame(FRAME.WINDOW_UPDATE, 0, 0, u32(100_000)), frame(FRAME.WINDOW_UPDATE, 0, 1, u32(100_000)));
    expect((await answer(client, 1)).data.length).toBe(120_005);
  });
});
