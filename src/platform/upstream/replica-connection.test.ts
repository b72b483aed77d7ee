import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { Call } from '../../core/inference/forward.js';
import { FRAME_CANCEL, FRAME_RESPONSE, type Frame, FrameReader, FrameWriter } from '../../protocol/frames.js';
import { connectReplica } from './replica-connection.js';

const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** A peer that does what a test wants with each frame. */
async function peer(onFrame: (frame: Frame, writer: FrameWriter, socket: Socket) => void) {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-hop-'));
  const path = join(folder, 's');
  const server: Server = createServer((socket) => {
    const writer = new FrameWriter(socket);
    const reader = new FrameReader(1 << 28, (frame) => onFrame(frame, writer, socket));
    socket.on('data', (chunk) => reader.push(chunk));
    socket.on('error', () => {});
    cleanups.push(() => void socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  cleanups.push(async () => {
    server.close();
    await rm(folder, { recursive: true, force: true });
  });
  return path;
}

const call = (text: string, headers: Record<string, string> = {}): Call => ({
  method: 'POST',
  path: '/',
  headers,
  body: Buffer.from(text),
});
const OK = { status: 200, headers: {} };

describe('connectReplica', () => {
  it('gives each of a thousand calls its own answer, in whatever order they come', async () => {
    const held: (() => void)[] = [];
    const path = await peer(({ id, body }, writer) => {
      held.push(() => writer.write(id, FRAME_RESPONSE, OK, Buffer.from(`to ${body}`)));
      if (held.length === 1000) for (const answer of held.reverse()) answer();
    });
    const { forward } = await connectReplica(path, 1 << 20);
    const replies = await Promise.all(Array.from({ length: 1000 }, (_, at) => forward(call(String(at))).reply));
    replies.forEach((reply, at) => {
      expect(reply.body.toString()).toBe(`to ${at}`);
    });
  });

  it('a cancel is told to the other side, and a late answer is nobody else’s', async () => {
    const seen: string[] = [];
    const path = await peer((frame, writer) => {
      if (frame.type === FRAME_CANCEL) {
        seen.push(`cancel ${frame.id}`);
        writer.write(frame.id, FRAME_RESPONSE, OK, Buffer.from('late'));
      } else if (frame.body.toString() !== 'hang') writer.write(frame.id, FRAME_RESPONSE, OK, Buffer.from('good'));
      else seen.push(`request ${frame.id}`);
    });
    const { forward } = await connectReplica(path, 1 << 20);
    const hanging = forward(call('hang'));
    expect((await forward(call('one')).reply).body.toString()).toBe('good');
    hanging.cancel();
    hanging.cancel();
    await expect(hanging.reply).rejects.toMatchObject({ code: 'cancelled' });
    expect((await forward(call('two')).reply).body.toString()).toBe('good');
    expect(seen).toEqual(['request 1', 'cancel 1']);
  });

  it('an answer that is too large fails its own request and no other', async () => {
    const path = await peer(({ id, body }, writer) => {
      writer.write(id, FRAME_RESPONSE, OK, body.toString() === 'big' ? Buffer.alloc(200_000) : Buffer.from('small'));
    });
    const { forward } = await connectReplica(path, 1024);
    const [big, small] = [forward(call('big')).reply, forward(call('small')).reply];
    await expect(big).rejects.toMatchObject({ code: 'too_large', message: expect.stringContaining('limit of 1024') });
    expect((await small).body.toString()).toBe('small');
    expect((await forward(call('next')).reply).status).toBe(200);
  });

  it('headers that fit no frame fail their request, and its cancel tells nobody', async () => {
    const seen: number[] = [];
    const path = await peer(({ id, type }, writer) => {
      seen.push(type);
      writer.write(id, FRAME_RESPONSE, OK);
    });
    const { forward } = await connectReplica(path, 1024);
    const exchange = forward(call('x', { long: 'x'.repeat(70_000) }));
    await expect(exchange.reply).rejects.toMatchObject({ code: 'too_large' });
    exchange.cancel();
    expect((await forward(call('y')).reply).status).toBe(200);
    expect(seen).not.toContain(FRAME_CANCEL);
  });

  it.each([
    { why: 'closes', misbehave: (_: Frame, __: FrameWriter, socket: Socket) => void socket.destroy() },
    {
      why: 'writes what is no frame',
      misbehave: (_: Frame, __: FrameWriter, socket: Socket) => void socket.write('HTTP/1.1 400 Bad Request\r\n\r\n'),
    },
    {
      why: 'answers without a status',
      misbehave: ({ id }: Frame, writer: FrameWriter) => writer.write(id, FRAME_RESPONSE, undefined),
    },
  ])(
    'a peer that $why fails all that is in flight, and whoever asked first hears of the end first',
    async ({ misbehave }) => {
      const path = await peer((frame, writer, socket) => {
        if (frame.body.toString() === 'now') misbehave(frame, writer, socket);
      });
      const connection = await connectReplica(path, 1 << 20);
      const order: string[] = [];
      void connection.closed.then(() => order.push('closed'));
      const replies = ['hang', 'hang', 'now'].map((text) =>
        connection.forward(call(text)).reply.catch((error) => {
          order.push('failed');
          return error.code;
        }),
      );
      expect(await Promise.all(replies)).toEqual(['upstream_failed', 'upstream_failed', 'upstream_failed']);
      expect(order[0]).toBe('closed');
      await expect(connection.forward(call('after')).reply).rejects.toMatchObject({ code: 'upstream_failed' });
    },
  );

  it('cannot connect to nobody', async () => {
    await expect(connectReplica(join(tmpdir(), 'no-such-socket'), 1)).rejects.toMatchObject({
      code: 'upstream_failed',
    });
  });
});
