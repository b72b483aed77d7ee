/** The listener over real sockets: what is read on the socket itself, and what goes to the servers behind it. */
import { type AddressInfo, connect, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { callHeaders, frame, HELLO, headersFrame, RawClient } from '../../../tests/support/http2-frames.js';
import { noGrpc } from '../../../tests/support/no-grpc.js';
import { seeded } from '../../../tests/support/random.js';
import type { BodyStream } from '../../core/inference/forward.js';
import { FLAG, FRAME } from '../http2/codes.js';
import { collect } from './body.js';
import type { HttpExchange } from './exchange.js';
import { createFront, type Front, type FrontOptions } from './front.js';
import { NodeExchange } from './node-exchange.js';

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

interface TestFront {
  readonly port: number;
  readonly front: Front;
  /** What was asked of the data plane: who read it, method, path and body. */
  readonly asked: readonly string[];
  /** Requests that are not answered, by their path. */
  readonly held: ReadonlyMap<string, HttpExchange>;
  /** Paths of requests whose client left before they were answered. */
  readonly left: readonly string[];
}

/** Answers `/v2/hold…` not at all, and others with what was asked. */
async function start({ bodyTimeoutMs = 10_000, dataPlane }: Partial<FrontOptions> = {}): Promise<TestFront> {
  const asked: string[] = [];
  const left: string[] = [];
  const held = new Map<string, HttpExchange>();
  const answer = async (exchange: HttpExchange) => {
    const { url, method } = exchange;
    const body = exchange.body ?? (await collect(exchange.readBody()));
    const text = `${exchange instanceof NodeExchange ? 'node' : 'fast'} ${method} ${url} ${body}`;
    asked.push(text);
    exchange.owner = { gone: () => void left.push(url), drained: () => {} };
    if (url.startsWith('/v2/hold')) held.set(url, exchange);
    else exchange.reply({ status: 200, headers: {}, requestId: 'r' }, Buffer.from(text));
  };
  const refuse = (exchange: HttpExchange, { message }: Error) =>
    exchange.reply({ status: 504, headers: {}, requestId: 'r' }, Buffer.from(message));
  const front = createFront({
    takes: (url) => url.startsWith('/v2'),
    dataPlane: dataPlane ?? ((exchange) => void answer(exchange).catch((error) => refuse(exchange, error))),
    control: (_request, response) => void response.end('control'),
    grpc: noGrpc(),
    maxConnections: 100,
    bodyTimeoutMs,
    idleMs: 60_000,
  });
  await new Promise<void>((resolve) => front.server.listen(0, '127.0.0.1', resolve));
  closing.push(() => front.close(0));
  return { port: (front.server.address() as AddressInfo).port, front, asked, held, left };
}

interface Client {
  readonly socket: Socket;
  /** Waits until so many answers are there; their bodies. */
  bodies(count: number): Promise<string[]>;
  /** All that came, once the server has ended the connection. */
  readonly ended: Promise<string>;
}

function client(port: number): Client {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  closing.push(() => socket.destroy());
  socket.setNoDelay(true);
  let text = '';
  let wake = () => {};
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1');
    wake();
  });
  socket.on('error', () => {});
  const ended = new Promise<string>((resolve) => {
    const end = () => {
      wake();
      resolve(text);
    };
    socket.on('end', end);
    socket.on('close', end);
  });
  return {
    socket,
    ended,
    async bodies(count) {
      for (;;) {
        const found = bodiesOf(text);
        if (found.length >= count || socket.readableEnded || socket.destroyed) return found;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
  };
}

/** The bodies of whole answers with a length. */
function bodiesOf(text: string): string[] {
  const bodies: string[] = [];
  for (let at = 0; ; ) {
    const end = text.indexOf('\r\n\r\n', at);
    const length = Number(/content-length: (\d+)/i.exec(text.slice(at, end))?.[1] ?? 0);
    if (end === -1 || end + 4 + length > text.length) return bodies;
    bodies.push(text.slice(end + 4, end + 4 + length));
    at = end + 4 + length;
  }
}

const post = (path: string, body: string, ...fields: string[]) =>
  [`POST ${path} HTTP/1.1`, 'Host: x', `Content-Length: ${body.length}`, ...fields, '', body].join('\r\n');
const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;
const raw = (...lines: string[]) => ['POST /v2/a HTTP/1.1', 'Host: x', ...lines].join('\r\n');
const HIDDEN = get('/v2/hidden');

describe('bytes that are no request', () => {
  it.each([
    ['no host', 'GET /v2/a HTTP/1.1\r\n\r\n', 400, 'invalid', 'Host'],
    ['no head', 'hello\r\n\r\n', 400, 'invalid', 'no HTTP request'],
    [
      'a head that is too large',
      `${get('/v2/a').trim()}\r\nX: ${'y'.repeat(20_000)}\r\n\r\n`,
      431,
      'too_large',
      '16 KiB',
    ],
  ])("%s: refused in the protocol's form", async (_, bytes, status, code, words) => {
    const { port } = await start();
    const { socket, ended } = client(port);
    socket.write(bytes, 'latin1');
    const [head = '', body = ''] = (await ended).split('\r\n\r\n');
    expect(head).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    expect(head).toContain(`sluice-error-code: ${code}`);
    expect(JSON.parse(body)).toEqual({ error: expect.stringContaining(words) });
  });
});

describe('framing that two readers may take for different things', () => {
  it.each([
    ['a length and chunks', raw('Content-Length: 5', 'Transfer-Encoding: chunked', '', `0\r\n\r\n${HIDDEN}`)],
    ['chunks and a length', raw('Transfer-Encoding: chunked', 'Content-Length: 5', '', `0\r\n\r\n${HIDDEN}`)],
    ['two lengths', raw('Content-Length: 0', `Content-Length: ${HIDDEN.length}`, '', HIDDEN)],
    ['a list of lengths', raw(`Content-Length: 0, ${HIDDEN.length}`, '', HIDDEN)],
    ['a length with a sign', raw('Content-Length: +0', '', HIDDEN)],
    ['a length in another base', raw('Content-Length: 0x0', '', HIDDEN)],
    ['a negative length', raw('Content-Length: -1', '', HIDDEN)],
    ['a length beyond what numbers hold', raw(`Content-Length: ${'9'.repeat(40)}`, '', HIDDEN)],
    ['a space before the colon', raw('Content-Length : 0', '', HIDDEN)],
    ['a folded length', raw('Content-Length:', ` ${HIDDEN.length}`, 'Transfer-Encoding: chunked', '', HIDDEN)],
    ['a bare line feed that hides a length', raw(`X: y\nContent-Length: ${HIDDEN.length}`, '', HIDDEN)],
    ['a bare carriage return', raw(`X: y\rContent-Length: ${HIDDEN.length}`, '', HIDDEN)],
    ['a NUL in a value', raw('Content-Length: 0\u0000', '', HIDDEN)],
    ['a coding that nobody knows', raw('Transfer-Encoding: xchunked', '', HIDDEN)],
    ['chunked, but not at last', raw('Transfer-Encoding: chunked, identity', '', HIDDEN)],
    ['a size of no chunk', raw('Transfer-Encoding: chunked', '', `g\r\n${HIDDEN}`)],
    ['a chunk longer than it says', raw('Transfer-Encoding: chunked', '', `1\r\nabc\r\n0\r\n\r\n${HIDDEN}`)],
  ])('%s: refused, and the connection ends', async (_, bytes) => {
    const { port, asked } = await start();
    const { socket, ended } = client(port);
    socket.write(bytes, 'latin1');
    const text = await ended;
    expect(text).not.toContain('hidden');
    expect(asked.filter((one) => one.includes('hidden'))).toEqual([]);
    expect(text === '' || /^HTTP\/1\.1 (400|501|504) /.test(text)).toBe(true);
  });
});

describe('requests on one connection', () => {
  it('are answered in their order, sent at once or one by one', async () => {
    const { port, asked } = await start();
    const { socket, bodies } = client(port);
    const sent = Array.from({ length: 50 }, (_, at) => (at % 3 === 0 ? get(`/v2/${at}`) : post(`/v2/${at}`, `b${at}`)));
    socket.write(sent.join(''));
    const answers = await bodies(50);
    expect(answers).toEqual(asked);
    expect(answers.map((answer) => Number(/\/v2\/(\d+)/.exec(answer)?.[1]))).toEqual(Array.from(sent.keys()));
    socket.write(post('/v2/last', 'x'));
    expect((await bodies(51)).at(-1)).toBe('fast POST /v2/last x');
  });

  it('wait while one before them is being answered', async () => {
    const { port, asked, held } = await start();
    const { socket, bodies } = client(port);
    socket.write(get('/v2/hold') + get('/v2/next'));
    await until(() => held.size === 1);
    // a round trip of another client: what could have been done was done
    const other = client(port);
    other.socket.write(get('/v2/other'));
    await other.bodies(1);
    expect(asked).not.toContain('fast GET /v2/next ');
    held.get('/v2/hold')?.reply({ status: 200, headers: {}, requestId: 'r' }, Buffer.from('held'));
    expect(await bodies(2)).toEqual(['held', 'fast GET /v2/next ']);
  });

  it('are the same however the bytes are cut', async () => {
    const { port, asked } = await start();
    const random = seeded(5);
    const bytes = Array.from({ length: 6 }, (_, at) => post(`/v2/${at}`, 'y'.repeat(at * 700), 'X: z')).join('');
    const paths = () => asked.map((one) => one.replace(/^\w+ /, ''));
    for (let round = 0; round < 30; round++) {
      const { socket, bodies } = client(port);
      for (let at = 0; at < bytes.length; ) {
        const end = at + 1 + Math.floor(random() ** 3 * 3000);
        socket.write(bytes.slice(at, end));
        at = end;
        await new Promise((resolve) => setImmediate(resolve));
      }
      await bodies(6);
      expect(paths().splice(round * 6)).toEqual(
        Array.from({ length: 6 }, (_, at) => `POST /v2/${at} ${'y'.repeat(at * 700)}`),
      );
    }
  });

  it('a body in pieces is put together, and one that never comes whole is answered without it', async () => {
    const { port, asked } = await start({ bodyTimeoutMs: 200 });
    const { socket, bodies } = client(port);
    const [head = '', body = ''] = post('/v2/a', 'abcdef').split('\r\n\r\n');
    socket.write(`${head}\r\n\r\n`);
    for (const letter of body) {
      await new Promise((resolve) => setImmediate(resolve));
      socket.write(letter);
    }
    expect(await bodies(1)).toEqual(['fast POST /v2/a abcdef']);
    const late = client(port);
    late.socket.write(`${head}\r\n\r\nabc`);
    expect(await late.ended).toMatch(/^HTTP\/1\.1 504 .*connection: close.*did not come in time$/s);
    expect(asked).toHaveLength(1);
  });
});

describe('what is not read on the socket', () => {
  it.each([
    ['another path', get('/healthz'), 'control'],
    ['chunks', raw('Transfer-Encoding: chunked', '', '3\r\nabc\r\n0\r\n\r\n'), 'node POST /v2/a abc'],
    ['a large body', post('/v2/a', 'x'.repeat(2 ** 20 + 1)), `node POST /v2/a ${'x'.repeat(2 ** 20 + 1)}`],
    ['a head in pieces of another method', 'DELETE /v2/a HTTP/1.1\r\nHost: x\r\n\r\n', 'node DELETE /v2/a '],
    ['a head that is long', post('/v2/a', 'b', `X: ${'y'.repeat(9000)}`), 'node POST /v2/a b'],
  ])('%s goes to Node’s server, with what is pipelined around it', async (_, bytes, body) => {
    const { port } = await start();
    const { socket, ended } = client(port);
    socket.write(get('/v2/before') + bytes + get('/v2/after').replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'));
    const text = (await ended).replace(/\r\n[0-9a-f]+\r\n/g, '\n');
    const places = ['fast GET /v2/before', body, 'node GET /v2/after'].map((part) => text.indexOf(part));
    expect(places).not.toContain(-1);
    expect(places).toEqual([...places].sort((a, b) => a - b));
  });

  it('HTTP/2 goes to gRPC, whole or byte by byte', async () => {
    const { port } = await start();
    const hello = Buffer.concat([
      HELLO,
      headersFrame(1, FLAG.END_STREAM, callHeaders()),
      frame(FRAME.PING, 0, 0, Buffer.alloc(8)),
    ]);
    for (const step of [hello.length, 1]) {
      const http2 = await RawClient.to(port, Buffer.alloc(0));
      for (let at = 0; at < hello.length; at += step) {
        http2.send(hello.subarray(at, at + step));
        await new Promise((resolve) => setImmediate(resolve));
      }
      expect(await http2.nextOf(FRAME.HEADERS, 1)).toBeDefined();
      http2.close();
    }
  });

  it('a first letter that both may begin with is waited on', async () => {
    const { port } = await start();
    const { socket, bodies } = client(port);
    for (const letter of post('/v2/a', 'b').slice(0, 2)) {
      socket.write(letter);
      await new Promise((resolve) => setImmediate(resolve));
    }
    socket.write(post('/v2/a', 'b').slice(2));
    expect((await bodies(1))[0]).toMatch(/POST \/v2\/a b$/);
  });
});

describe('a client that leaves', () => {
  it('or sends no more has its request given up, and its connection ended', async () => {
    const { port, left, held } = await start();
    const [half, gone] = [client(port), client(port)];
    half.socket.write(get('/v2/hold/half'));
    gone.socket.write(get('/v2/hold/gone'));
    await until(() => held.size === 2);
    half.socket.end();
    gone.socket.destroy();
    expect(await half.ended).toBe('');
    await until(() => left.length === 2);
    expect([...left].sort()).toEqual(['/v2/hold/gone', '/v2/hold/half']);
    // an answer that comes later goes nowhere
    for (const exchange of held.values())
      exchange.reply({ status: 200, headers: {}, requestId: 'r' }, Buffer.from('a'));
  });

  it('in the middle of a body is not heard of', async () => {
    const { port, asked } = await start();
    const { socket, ended } = client(port);
    socket.end(post('/v2/a', 'abcdef').slice(0, -2));
    expect(await ended).toBe('');
    expect(asked).toEqual([]);
  });
});

it('a client that sends ahead without end is not read further', async () => {
  const { port, held } = await start();
  const { socket } = client(port);
  socket.write(get('/v2/hold'));
  await until(() => held.size === 1);
  const piece = Buffer.from(get('/v2/ahead').repeat(1000));
  let taken = 0;
  // the kernels' buffers on both sides take some MB; without a bound all of it would go
  for (let at = 0; at < 2000 && socket.writableLength < 2 ** 20; at++) {
    socket.write(piece);
    taken += piece.length;
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(socket.writableLength).toBeGreaterThan(2 ** 20);
  expect(taken).toBeLessThan(60 * 2 ** 20);
});

it('a large body that is not taken is not read further, and goes on when it is', async () => {
  const total = 100 * 2 ** 20;
  let taken = 0;
  let body: BodyStream | undefined;
  const { port } = await start({
    dataPlane(exchange) {
      body = exchange.readBody();
      body.read({
        chunk(bytes) {
          taken += bytes.length;
          body?.pause();
        },
        end: () => exchange.reply({ status: 200, headers: {}, requestId: 'r' }, Buffer.from(String(taken))),
        failed: () => exchange.abort(),
      });
    },
  });
  const { socket, bodies } = client(port);
  socket.write(`POST /v2/a HTTP/1.1\r\nHost: x\r\nContent-Length: ${total}\r\n\r\n`);
  const piece = Buffer.alloc(2 ** 20);
  for (let sent = 0; sent < total; sent += piece.length) socket.write(piece);
  await until(() => taken > 0);
  const settled = await stalled(() => socket.writableLength);
  // the kernels' buffers take some
  expect(settled).toBeGreaterThan(total / 2);
  const going = setInterval(() => body?.resume(), 0);
  expect(await bodies(1)).toEqual([String(total)]);
  clearInterval(going);
});

/** Waits until a number does not change in many turns of the event loop. */
async function stalled(read: () => number): Promise<number> {
  let [last, same] = [read(), 0];
  while (same < 100) {
    await new Promise((resolve) => setTimeout(resolve, 2));
    const now = read();
    same = now === last ? same + 1 : 0;
    last = now;
  }
  return last;
}

async function until(check: () => boolean): Promise<void> {
  while (!check()) await new Promise((resolve) => setImmediate(resolve));
}
