import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { eventually } from '../../../tests/support/children.js';
import { ask, type BodySink, type BodyStream, type Call, type ReplyHead } from '../../core/inference/forward.js';
import { AppError } from '../../errors.js';
import { openHttpUpstream } from './http-upstream.js';

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

async function upstream(listener: RequestListener, maxConnections = 8) {
  let connections = 0;
  const server = createServer(listener);
  server.on('connection', () => connections++);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const opened = openHttpUpstream({
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    maxConnections,
  });
  cleanups.push(() => {
    void opened.close();
    server.closeAllConnections();
    server.close();
  });
  return { ...opened, connections: () => connections, server };
}

const call = (text: string, more: Partial<Call> = {}): Call => ({
  method: 'POST',
  path: '/x',
  headers: { 'content-type': 'text/plain' },
  body: Buffer.from(text),
  ...more,
});
const read = async (request: IncomingMessage) => Buffer.concat(await request.toArray());
const echo = async (request: IncomingMessage, response: ServerResponse) => {
  const body = await read(request).catch(() => undefined);
  if (!body) return;
  response.writeHead(200, {
    'content-length': body.length,
    connection: 'keep-alive',
    'x-seen': String(request.headers.traceparent),
  });
  response.end(body);
};

describe('openHttpUpstream', () => {
  it('keeps its connections, and opens no more than it may', async () => {
    const { forward, connections } = await upstream(echo, 2);
    const replies = await Promise.all(Array.from({ length: 20 }, (_, at) => ask(forward, call(`to ${at}`)).reply));
    expect(replies.map(({ body }) => body.toString())).toEqual(replies.map((_, at) => `to ${at}`));
    expect(connections()).toBe(2);
  });

  it('passes the trace on, and no header of the connection', async () => {
    const { forward } = await upstream(echo);
    const trace = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const { headers } = await ask(forward, call('a', { trace })).reply;
    expect(headers).toMatchObject({ 'x-seen': trace });
    expect(Object.keys(headers)).not.toContain('connection');
    expect(Object.keys(headers)).not.toContain('keep-alive');
  });

  it('hands a stream over as it comes, and pauses it', async () => {
    let next: () => void = () => {};
    const { forward } = await upstream((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('data: 1\n\n');
      next = () => response.end('data: 2\n\n');
    });
    const seen: string[] = [];
    let head: ReplyHead | undefined;
    const done = new Promise<void>((resolve, reject) =>
      forward(call(''), {
        onReply: (given) => {
          head = given;
        },
        onData: (chunk) => {
          seen.push(chunk.toString());
          if (seen.length === 1) next();
        },
        onEnd: resolve,
        onError: reject,
      }),
    );
    await done;
    expect(head).toMatchObject({ status: 200, more: true, worked: false });
    expect(seen).toEqual(['data: 1\n\n', 'data: 2\n\n']);
  });

  it('sends a body that comes piece by piece', async () => {
    const { forward } = await upstream(echo);
    let sink: BodySink | undefined;
    const rest: BodyStream = {
      read: (given) => {
        sink = given;
      },
      pause() {},
      resume() {},
    };
    const { reply } = ask(forward, call('begin ', { rest }));
    await eventually(() => sink !== undefined);
    sink?.chunk(Buffer.from('and '));
    sink?.chunk(Buffer.from('end'));
    sink?.end();
    expect((await reply).body.toString()).toBe('begin and end');
  });

  it('a body that breaks off fails its call with its own error', async () => {
    const { forward } = await upstream(echo);
    const rest: BodyStream = {
      read: (sink) => sink.failed(new AppError('too_large', 'too much of it')),
      pause() {},
      resume() {},
    };
    await expect(ask(forward, call('x', { rest })).reply).rejects.toMatchObject({ code: 'too_large' });
    expect((await ask(forward, call('next')).reply).body.toString()).toBe('next');
  });

  it('a cancel closes the line, so that the server knows', async () => {
    let gone = false;
    const { forward } = await upstream((request, response) => {
      request.resume();
      response.on('close', () => {
        gone = !response.writableFinished;
      });
    });
    const { reply, cancel } = ask(forward, call('hang'));
    setTimeout(cancel, 50);
    await expect(reply).rejects.toMatchObject({ code: 'cancelled' });
    await eventually(() => gone);
  });

  it.each([
    [
      'closes without a word',
      (_: IncomingMessage, response: ServerResponse) => void response.destroy(),
      'did not answer',
    ],
    [
      'breaks its answer off',
      (_: IncomingMessage, response: ServerResponse) => {
        response.writeHead(200, { 'content-length': 1_000_000 });
        response.write('a', () => response.destroy());
      },
      'broke its answer off',
    ],
  ])('a server that %s has failed', async (_what, misbehave, message) => {
    const { forward } = await upstream(misbehave);
    await expect(ask(forward, call('x')).reply).rejects.toMatchObject({
      code: 'upstream_failed',
      message: expect.stringContaining(message),
    });
  });
});
