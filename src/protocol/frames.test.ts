import { PassThrough, Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { seeded } from '../../tests/support/random.js';
import { FrameReader } from './frame-reader.js';
import { FrameWriter } from './frame-writer.js';
import {
  asRequestMeta,
  asResponseMeta,
  encodeMeta,
  FRAME_CANCEL,
  FRAME_REQUEST,
  FRAME_RESPONSE,
  type Frame,
} from './frames.js';

const REQUEST = { method: 'POST', path: '/v2/models/é/infer', headers: { a: 'b' } };
const TRACE = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const RESPONSE = { status: 200, headers: { 'content-type': 'application/json' } };

async function sample(): Promise<Buffer> {
  const stream = new PassThrough();
  const writer = new FrameWriter(stream);
  writer.write({ id: 1, type: FRAME_REQUEST, meta: REQUEST, timeMs: 1500.2, trace: TRACE }, Buffer.from('hello'));
  writer.write({ id: 0xffffffff, type: FRAME_CANCEL });
  writer.write({ id: 2, type: FRAME_RESPONSE, meta: encodeMeta(RESPONSE), more: true }, Buffer.alloc(300, 7));
  writer.write({ id: 3, type: FRAME_RESPONSE, meta: RESPONSE, trace: 'no trace' });
  writer.flush();
  return stream.read() as Buffer;
}

const plain = ({ body, ...frame }: Frame) => ({ ...frame, body: body.toString('hex') });
const BARE = { more: false, timeMs: undefined, trace: undefined };
const EXPECTED = [
  {
    ...{ id: 1, type: FRAME_REQUEST, meta: REQUEST, more: false, timeMs: 1501, trace: TRACE },
    body: Buffer.from('hello').toString('hex'),
  },
  { ...BARE, id: 0xffffffff, type: FRAME_CANCEL, meta: undefined, body: '' },
  { ...BARE, id: 2, type: FRAME_RESPONSE, meta: RESPONSE, more: true, body: '07'.repeat(300) },
  { ...BARE, id: 3, type: FRAME_RESPONSE, meta: RESPONSE, body: '' },
];

describe('FrameReader', () => {
  it('reads the same frames wherever the stream is cut', async () => {
    const bytes = await sample();
    for (let cut = 0; cut <= bytes.length; cut++) {
      const frames: unknown[] = [];
      const reader = new FrameReader((frame) => frames.push(plain(frame)));
      reader.push(bytes.subarray(0, cut));
      reader.push(bytes.subarray(cut));
      expect(frames).toEqual(EXPECTED);
    }
    for (const step of [1, 2, 3, 11, 13]) {
      const frames: unknown[] = [];
      const reader = new FrameReader((frame) => frames.push(plain(frame)));
      for (let at = 0; at < bytes.length; at += step) reader.push(bytes.subarray(at, at + step));
      expect(frames).toEqual(EXPECTED);
    }
  });

  it.each([
    ['that is too large', (b: Buffer) => b.writeUInt32LE(1 << 20, 0), /a frame of 1048580 bytes, at most/],
    ['shorter than its time-out', (b: Buffer) => b.writeUInt32LE(8 + b.readUInt16LE(10) + 3, 0), /cut short/],
    ['shorter than its head', (b: Buffer) => b.writeUInt32LE(3, 0), /cut short/],
    ['of an unknown type', (b: Buffer) => b.writeUInt8(9, 8), /unknown type 9/],
    ['whose meta is no JSON', (b: Buffer) => b.writeUInt8(33, 12), /not JSON/],
  ])('throws on a frame %s', async (_reason, spoil, message) => {
    const bytes = Buffer.from(await sample());
    spoil(bytes);
    expect(() => new FrameReader(() => {}).push(bytes)).toThrow(message);
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
    for (let id = 0; id < 50; id++) writer.write({ id, type: FRAME_CANCEL });
    expect(writer.bufferedBytes).toBe(600);
    await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setImmediate(resolve));
    expect(writes).toEqual([600]);
  });

  it('tells what a slow reader has not taken, and when it has', async () => {
    const release: (() => void)[] = [];
    const socket = new Writable({ highWaterMark: 1000, write: (_chunk, _encoding, done) => void release.push(done) });
    const writer = new FrameWriter(socket);
    for (let id = 0; id < 5; id++) writer.write({ id, type: FRAME_RESPONSE, meta: RESPONSE }, Buffer.alloc(100_000));
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
      writer.write({ id, type: FRAME_RESPONSE, meta }, body);
      sent.push({ ...BARE, id, type: FRAME_RESPONSE, meta, body: body.toString('hex') });
    }
    writer.flush();
    const bytes = stream.read() as Buffer;
    const got: unknown[] = [];
    const reader = new FrameReader((frame) => got.push(plain(frame)));
    for (let at = 0; at < bytes.length; ) {
      const step = 1 + Math.floor(random() * 300);
      reader.push(bytes.subarray(at, at + step));
      at += step;
    }
    expect(got).toEqual(sent);
  });
});
