import { type AddressInfo, connect, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { noGrpc } from '../../../tests/support/no-grpc.js';
import { collect } from './body.js';
import { createFront } from './front.js';

const sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});

async function start() {
  const front = createFront({
    takes: (url) => url.startsWith('/v2'),
    dataPlane: async (exchange) => {
      const body = exchange.body ?? (await collect(exchange.readBody()));
      exchange.reply({ status: 200, headers: {}, requestId: 'r' }, body);
    },
    control: (_request, response) => void response.end('control'),
    grpc: noGrpc(),
    maxConnections: 100,
    bodyTimeoutMs: 10_000,
    idleMs: 60_000,
  });
  await new Promise<void>((resolve) => front.server.listen(0, '127.0.0.1', resolve));
  return { front, port: (front.server.address() as AddressInfo).port };
}

/** A connection that sends pieces of requests, and reads what comes. */
async function open(port: number) {
  const socket = connect(port, '127.0.0.1');
  sockets.push(socket);
  let text = '';
  let wake = () => {};
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1');
    wake();
  });
  const ended = new Promise<void>((resolve) => socket.on('close', () => resolve()));
  return {
    ended,
    send: (bytes: string) => void socket.write(bytes, 'latin1'),
    /** All that came so far, once it contains this. */
    async saw(words: string): Promise<string> {
      while (!text.includes(words))
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      return text;
    },
  };
}

const request = (body: string) => `POST /v2/a HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`;

describe('a front that closes', () => {
  it.each([
    ['a prediction', request('first'), request('second')],
    ['the control API', 'GET /api HTTP/1.1\r\nHost: x\r\n\r\n', 'GET /api HTTP/1.1\r\nHost: x\r\n\r\n'],
  ])('answers what comes over an idle connection, for the last time: %s', async (_what, first, second) => {
    const { front, port } = await start();
    const { send, saw, ended } = await open(port);
    send(first);
    const before = await saw('\r\n\r\n');
    expect(before).not.toMatch(/^connection: close/im);
    const closed = front.close(10_000);
    send(second);
    expect(await saw('lose')).toMatch(/^connection: close/im);
    await ended;
    await closed;
  });

  it('answers a request whose body is still coming', async () => {
    const { front, port } = await start();
    const { send, saw, ended } = await open(port);
    send(request('slow').slice(0, -2));
    const other = await open(port);
    other.send(request('seen'));
    await other.saw('seen');
    const closed = front.close(10_000);
    await other.ended;
    send('ow');
    expect(await saw('slow')).toMatch(/^HTTP\/1.1 200/);
    await ended;
    await closed;
  });
});
