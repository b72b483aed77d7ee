import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { BodyCredit, type BodySender, creditOf, sendMessage } from './body-sender.js';
import { FrameReader } from './frame-reader.js';
import { FrameWriter } from './frame-writer.js';
import { CHUNK_BYTES, FRAME_BODY, FRAME_REQUEST, FRAME_WINDOW, WINDOW_BYTES } from './frames.js';

/** A sender, and what its other side has got so far. */
function wire() {
  const stream = new PassThrough({ highWaterMark: 1 << 26 });
  const writer = new FrameWriter(stream);
  const got: { type: number; more: boolean; bytes: number }[] = [];
  const bodies: Buffer[] = [];
  const reader = new FrameReader(({ type, more, body }) => {
    got.push({ type, more, bytes: body.length });
    if (type !== FRAME_WINDOW) bodies.push(Buffer.from(body));
  });
  const arrive = () => {
    writer.flush();
    for (let chunk = stream.read(); chunk !== null; chunk = stream.read()) reader.push(chunk);
    return bodies.reduce((sum, body) => sum + body.length, 0);
  };
  return { writer, got, bodies, arrive };
}

const head = { id: 1, type: FRAME_REQUEST, meta: { method: 'POST', path: '/' } } as const;
const bytes = (count: number) => Buffer.from(Uint8Array.from({ length: count }, (_, at) => at * 7));

describe('sendMessage', () => {
  it('sends what fits in one frame', () => {
    const { writer, got, arrive } = wire();
    expect(sendMessage(writer, head, bytes(CHUNK_BYTES))).toBeUndefined();
    arrive();
    expect(got).toEqual([{ type: FRAME_REQUEST, more: false, bytes: CHUNK_BYTES }]);
  });

  it('sends a large body in pieces, never more ahead than the window', () => {
    const { writer, got, bodies, arrive } = wire();
    const body = bytes(3 * WINDOW_BYTES + 5);
    const sender = sendMessage(writer, head, body) as BodySender;
    expect([arrive(), sender.full, sender.done]).toEqual([WINDOW_BYTES, true, false]);
    let taken = WINDOW_BYTES;
    while (!sender.done) {
      sender.credit(100_000);
      taken = Math.min(body.length, taken + 100_000);
      expect(arrive()).toBe(taken);
    }
    expect(Buffer.concat(bodies).equals(body)).toBe(true);
    expect(got.every(({ bytes: size }) => size <= CHUNK_BYTES)).toBe(true);
    expect(got.map(({ more }) => more)).toEqual(got.map((_, at) => at < got.length - 1));
  });

  it('sends a body that comes piece by piece, tells when to pause and when to go on', () => {
    const { writer, got, bodies, arrive } = wire();
    const sender = sendMessage(writer, head, bytes(10), false) as BodySender;
    let drained = 0;
    sender.onDrain = () => drained++;
    sender.push(bytes(1000));
    expect(sender.full).toBe(false);
    sender.push(bytes(WINDOW_BYTES));
    expect([sender.full, arrive()]).toEqual([true, WINDOW_BYTES]);
    sender.credit(5000);
    expect([sender.full, drained]).toEqual([false, 1]);
    sender.end();
    expect([sender.done, arrive()]).toEqual([true, WINDOW_BYTES + 1010]);
    expect(got.at(-1)).toEqual({ type: FRAME_BODY, more: false, bytes: 0 });
    expect(Buffer.concat(bodies).subarray(10, 1010).equals(bytes(1000))).toBe(true);
  });
});

it('a reader tells what it took in good time, and not for every piece', () => {
  const { writer, got, arrive } = wire();
  const credit = new BodyCredit(writer, 1);
  for (let piece = 0; piece < 16; piece++) credit.took(WINDOW_BYTES / 8);
  arrive();
  expect(got.length).toBe(4);
  expect(creditOf(Buffer.from([1, 2, 0, 0]))).toBe(513);
  expect(creditOf(Buffer.from([1]))).toBe(0);
});
