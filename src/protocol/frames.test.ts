import { PassThrough, Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { seeded } from '../../tests/support/random.js';
import {
  asRequestMeta,
  asResponseMeta,
  encodeMeta,
  FRAME_CANCEL,
  FRAME_REQUEST,
  FRAME_RESPONSE,
  type Frame,
  FrameReader,
  FrameWriter,
} from './frames.js';

const REQUEST = { method: 'POST', path: '/v2/models/é/infer', headers: { a: 'b' } };
const RESPONSE = { status: 200, headers: { 'content-type': 'application/json' } };

async function sample(): Promise<Buffer> {
  const stream = new PassThrough();
  const writer = new FrameWriter(stream);
  writer.write(1, FRAME_REQUEST, REQUEST, Buffer.from('hello'));
  writer.write(0xffffffff, FRAME_CANCEL, undefined);
  writer.write(2, FRAME_RESPONSE, encodeMeta(RESPONSE), Buffer.alloc(300, 7));
  writer.write(3, FRAME_RESPONSE, RESPONSE);
  writer.flush();
  return stream.read() as Buffer;
}

const plain = (frame: Frame) => ({ ...frame, body: frame.body.toString('hex') });
const EXPECTED = [
  { id: 1, type: FRAME_REQUEST, meta: REQUEST, body: Buffer.from('hello').toString('hex') },
  { id: 0xffffffff, type: FRAME_CANCEL, meta: undefined, body: '' },
  { id: 2, type: FRAME_RESPONSE, meta: RESPONSE, body: '07'.repeat(300) },
  { id: 3, type: FRAME_RESPONSE, meta: RESPONSE, body: '' },
];

describe('FrameReader', () => {
  it('reads the same frames wherever the stream is cut', async () => {
    const bytes = await sample();
    for (let cut = 0; cut <= bytes.length; cut++) {
      const frames: unknown[] = [];
      const reader = new FrameReader(1000, (frame) => frames.push(plain(frame)));
      reader.push(bytes.subarray(0, cut));
      reader.push(bytes.subarray(cut));
      expect(frames).toEqual(EXPECTED);
    }
    for (const step of [1, 2, 3, 11, 13]) {
      const frames: unknown[] = [];
      const reader = new FrameReader(1000, (frame) => frames.push(plain(frame)));
      for (let at = 0; at < bytes.length; at += step) reader.push(bytes.subarray(at, at + step));
      expect(frames).toEqual(EXPECTED);
    }
  });

  it('skips a frame that is too large wherever the stream is cut, and reads on', async () => {
    const bytes = await sample();
    for (let cut = 0; cut <= bytes.length; cut++) {
      const ids: number[] = [];
      const over: number[][] = [];
      const reader = new FrameReader(
        200,
        (frame) => ids.push(frame.id),
        (id, type, size) => over.push([id, type, size]),
      );
      reader.push(bytes.subarray(0, cut));
      reader.push(bytes.subarray(cut));
      expect(ids).toEqual([1, 0xffffffff, 3]);
      expect(over).toEqual([[2, FRAME_RESPONSE, 12 + encodeMeta(RESPONSE).length + 300]]);
    }
  });

  it.each([
    ['too large, with nobody to tell', (b: Buffer) => b.writeUInt32LE(5000, 0), /over the limit of 1000/],
    ['shorter than its head', (b: Buffer) => b.writeUInt32LE(3, 0), /cut short/],
    ['of an unknown type', (b: Buffer) => b.writeUInt8(9, 8), /unknown type 9/],
    ['whose meta is no JSON', (b: Buffer) => b.writeUInt8(33, 12), /not JSON/],
  ])('throws on a frame %s', async (_reason, spoil, message) => {
    const bytes = Buffer.from(await sample());
    spoil(bytes);
    expect(() => new FrameReader(1000, () => {}).push(bytes)).toThrow(message);
  });

  it('reads a large frame out of small chunks in linear time', () => {
    const size = 64 * 1024 * 1024;
    const head = Buffer.alloc(12);
    head.writeUInt32LE(8 + size);
    head[8] = FRAME_RESPONSE;
    let got = 0;
    const reader = new FrameReader(size + 12, (frame) => {
      got = frame.body.length;
    });
    const started = performance.now();
    reader.push(head);
    const chunk = Buffer.alloc(16 * 1024);
    for (let sent = 0; sent < size; sent += chunk.length) reader.push(chunk);
    expect(got).toBe(size);
    expect(performance.now() - started).toBeLessThan(2000);
  });

  it('refuses metas of another shape', () => {
    expect(() => asRequestMeta({ method: 1 })).toThrow(/no method and path/);
    expect(() => asRequestMeta(undefined)).toThrow(/no method and path/);
    expect(() => asResponseMeta(null)).toThrow(/no status/);
    expect(() => encodeMeta({ ...REQUEST, path: 'x'.repeat(70_000) })).toThrow(/at most 65535/);
  });
});

describe('FrameWriter', () => {
  it('joins the frames of one turn into one write', async () => {
    const writes: number[] = [];
    const socket = new Writable({
      write(chunk: Buffer, _encoding, done) {
        writes.push(chunk.length);
        done();
      },
    });
    const writer = new FrameWriter(socket);
    for (let id = 0; id < 50; id++) writer.write(id, FRAME_CANCEL, undefined);
    expect(writer.bufferedBytes).toBe(600);
    await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setImmediate(resolve));
    expect(writes).toEqual([600]);
  });

  it('tells what a slow reader has not taken, and when it has', async () => {
    const release: (() => void)[] = [];
    const socket = new Writable({ highWaterMark: 1000, write: (_chunk, _encoding, done) => void release.push(done) });
    const writer = new FrameWriter(socket);
    writer.write(1, FRAME_RESPONSE, RESPONSE, Buffer.alloc(500_000));
    writer.flush();
    expect(writer.bufferedBytes).toBeGreaterThan(500_000);
    let drained = false;
    const waiting = writer.drained(1000).then(() => {
      drained = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(drained).toBe(false);
    const pump = setInterval(() => release.shift()?.(), 1);
    await waiting;
    clearInterval(pump);
    expect(writer.bufferedBytes).toBe(0);
  });

  it('carries random frames through random chunks', () => {
    const random = seeded(11);
    const stream = new PassThrough({ highWaterMark: 1 << 24 });
    const writer = new FrameWriter(stream);
    const sent: unknown[] = [];
    for (let id = 0; id < 300; id++) {
      const body = Buffer.from(Array.from({ length: Math.floor(random() * 200) }, () => Math.floor(random() * 256)));
      const meta = { status: Math.floor(random() * 600), headers: { x: 'é'.repeat(Math.floor(random() * 20)) } };
      writer.write(id, FRAME_RESPONSE, meta, body);
      sent.push({ id, type: FRAME_RESPONSE, meta, body: body.toString('hex') });
    }
    writer.flush();
    const bytes = stream.read() as Buffer;
    const got: unknown[] = [];
    const reader = new FrameReader(100_000, (frame) => got.push(plain(frame)));
    for (let at = 0; at < bytes.length; ) {
      const step = 1 + Math.floor(random() * 300);
      reader.push(bytes.subarray(at, at + step));
      at += step;
    }
    expect(got).toEqual(sent);
  });
});
