import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { eventually } from '../../../tests/support/children.js';
import { ask, type BodySink, type BodyStream, type Call, type ReplyHandler } from '../../core/inference/forward.js';
import { AppError } from '../../errors.js';
import { type BodySender, creditOf, sendMessage } from '../../protocol/body-sender.js';
import { FrameReader } from '../../protocol/frame-reader.js';
import { FrameWriter } from '../../protocol/frame-writer.js';
import {
  FRAME_BODY,
  FRAME_CANCEL,
  FRAME_REQUEST,
  FRAME_RESPONSE,
  FRAME_WINDOW,
  type Frame,
  WINDOW_BYTES,
} from '../../protocol/frames.js';
import { connectReplica } from './replica-connection.js';

const deaf: ReplyHandler = { onReply() {}, onData() {}, onEnd() {}, onError() {} };
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
    const reader = new FrameReader((frame) => onFrame(frame, writer, socket));
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
const answer = (writer: FrameWriter, id: number, text: string | Buffer) =>
  sendMessage(writer, { id, type: FRAME_RESPONSE, meta: OK }, Buffer.from(text));

describe('connectReplica', () => {
  it('gives each of a thousand calls its own answer, in whatever order they come', async () => {
    const held: (() => void)[] = [];
    const path = await peer(({ id, body }, writer) => {
      held.push(() => answer(writer, id, `to ${body}`));
      if (held.length === 1000) for (const answer of held.reverse()) answer();
    });
    const { forward } = await connectReplica(path);
    const replies = await Promise.all(Array.from({ length: 1000 }, (_, at) => ask(forward, call(String(at))).reply));
    replies.forEach((reply, at) => {
      expect(reply.body.toString()).toBe(`to ${at}`);
    });
  });

  it('a cancel is told to the other side, and a late answer is nobody else’s', async () => {
    const seen: string[] = [];
    const path = await peer((frame, writer) => {
      if (frame.type === FRAME_CANCEL) {
        seen.push(`cancel ${frame.id}`);
        answer(writer, frame.id, 'late');
      } else if (frame.body.toString() !== 'hang') answer(writer, frame.id, 'good');
      else seen.push(`request ${frame.id}`);
    });
    const { forward } = await connectReplica(path);
    const hanging = forward(call('hang'), deaf);
    expect((await ask(forward, call('one')).reply).body.toString()).toBe('good');
    hanging.cancel();
    hanging.cancel();
    expect((await ask(forward, call('two')).reply).body.toString()).toBe('good');
    expect(seen).toEqual(['request 1', 'cancel 1']);
  });

  it('large bodies go both ways in pieces, and small ones pass between', async () => {
    const bodies = new Map<number, Buffer[]>();
    const senders = new Map<number, BodySender | undefined>();
    const path = await peer(({ id, type, body, more }, writer) => {
      if (type === FRAME_WINDOW) senders.get(id)?.credit(creditOf(body));
      if (type !== FRAME_REQUEST && type !== FRAME_BODY) return;
      const chunks = [...(bodies.get(id) ?? []), Buffer.from(body)];
      bodies.set(id, chunks);
      const taken = Buffer.alloc(4);
      taken.writeUInt32LE(body.length);
      if (more) writer.write({ id, type: FRAME_WINDOW }, taken);
      else senders.set(id, sendMessage(writer, { id, type: FRAME_RESPONSE, meta: OK }, Buffer.concat(chunks)));
    });
    const { forward } = await connectReplica(path);
    const large = Buffer.from(Uint8Array.from({ length: 5_000_000 }, (_, at) => at % 251));
    const order: string[] = [];
    const [echo] = await Promise.all([
      ask(forward, { ...call(''), body: large }).reply.finally(() => order.push('large')),
      ask(forward, call('small')).reply.finally(() => order.push('small')),
    ]);
    expect(echo.body.equals(large)).toBe(true);
    expect(order).toEqual(['small', 'large']);
  });

  it('a body that comes piece by piece is asked for as fast as the other side takes it', async () => {
    let credit: () => void = () => {};
    let got = 0;
    const path = await peer(({ id, type, body, more }, writer) => {
      if (type !== FRAME_REQUEST && type !== FRAME_BODY) return;
      got += body.length;
      credit = () => {
        const taken = Buffer.alloc(4);
        taken.writeUInt32LE(WINDOW_BYTES);
        writer.write({ id, type: FRAME_WINDOW }, taken);
      };
      if (!more) answer(writer, id, String(got));
    });
    const { forward } = await connectReplica(path);
    const seen: string[] = [];
    let sink: BodySink | undefined;
    const rest: BodyStream = {
      read: (given) => {
        sink = given;
      },
      pause: () => void seen.push('pause'),
      resume: () => void seen.push('resume'),
    };
    const { reply } = ask(forward, { ...call('begin'), rest });
    sink?.chunk(Buffer.alloc(WINDOW_BYTES));
    expect(seen).toEqual(['pause']);
    await eventually(() => got === WINDOW_BYTES, 5000);
    credit();
    await eventually(() => seen.length === 2, 5000);
    expect(seen).toEqual(['pause', 'resume']);
    sink?.end();
    expect((await reply).body.toString()).toBe(String(WINDOW_BYTES + 5));
  });

  it('a body that breaks off cancels its call', async () => {
    const types: number[] = [];
    const path = await peer(({ type }) => void types.push(type));
    const { forward } = await connectReplica(path);
    const rest: BodyStream = {
      read: (sink) => sink.failed(new AppError('cancelled', 'the client went away')),
      pause() {},
      resume() {},
    };
    await expect(ask(forward, { ...call('x'), rest }).reply).rejects.toMatchObject({ code: 'cancelled' });
    await eventually(() => types.includes(FRAME_CANCEL), 5000);
  });

  it('an answer that comes before the body is whole ends the body', async () => {
    const types: number[] = [];
    const path = await peer(({ id, type }, writer) => {
      types.push(type);
      if (type === FRAME_REQUEST) answer(writer, id, 'no more of this');
    });
    const { forward } = await connectReplica(path);
    const large = { ...call(''), body: Buffer.alloc(2 * WINDOW_BYTES) };
    expect((await ask(forward, large).reply).body.toString()).toBe('no more of this');
    await eventually(() => types.at(-1) === FRAME_CANCEL, 5000);
  });

  it('headers that fit no frame fail their request, and nobody hears of it', async () => {
    const seen: number[] = [];
    const path = await peer(({ id, type }, writer) => {
      seen.push(type);
      answer(writer, id, 'ok');
    });
    const { forward } = await connectReplica(path);
    expect(() => forward(call('x', { long: 'x'.repeat(70_000) }), deaf)).toThrow(
      expect.objectContaining({ code: 'too_large' }),
    );
    expect((await ask(forward, call('y')).reply).status).toBe(200);
    expect(seen).toEqual([FRAME_REQUEST]);
  });

  it.each([
    { why: 'closes', misbehave: (_: Frame, __: FrameWriter, socket: Socket) => void socket.destroy() },
    {
      why: 'writes what is no frame',
      misbehave: (_: Frame, __: FrameWriter, socket: Socket) => void socket.write('HTTP/1.1 400 Bad Request\r\n\r\n'),
    },
    {
      why: 'answers without a status',
      misbehave: ({ id }: Frame, writer: FrameWriter) => writer.write({ id, type: FRAME_RESPONSE }),
    },
  ])(
    'a peer that $why fails all that is in flight, and whoever asked first hears of the end first',
    async ({ misbehave }) => {
      const path = await peer((frame, writer, socket) => {
        if (frame.body.toString() === 'now') misbehave(frame, writer, socket);
      });
      const connection = await connectReplica(path);
      const order: string[] = [];
      void connection.closed.then(() => order.push('closed'));
      const replies = ['hang', 'hang', 'now'].map((text) =>
        ask(connection.forward, call(text)).reply.catch((error) => {
          order.push('failed');
          return error.code;
        }),
      );
      expect(await Promise.all(replies)).toEqual(['upstream_failed', 'upstream_failed', 'upstream_failed']);
      expect(order[0]).toBe('closed');
      await expect(ask(connection.forward, call('after')).reply).rejects.toMatchObject({ code: 'upstream_failed' });
    },
  );

  it('cannot connect to nobody', async () => {
    await expect(connectReplica(join(tmpdir(), 'no-such-socket'))).rejects.toMatchObject({
      code: 'upstream_failed',
    });
  });
});
