/** Calls by Node's HTTP/2 client: messages, statuses, compression, flow control, cancelling, draining. */
import { setTimeout as sleep } from 'node:timers/promises';
import { deflateSync, gunzipSync, gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { eventually } from '../../../tests/support/children.js';
import { answerOf, call, open, prefixed, session } from '../../../tests/support/grpc-client.js';
import { grpcServer } from '../../../tests/support/grpc-server.js';
import { seeded } from '../../../tests/support/random.js';
import { AppError } from '../../errors.js';
import type { CallReceiver, GrpcCall } from './call.js';
import type { GrpcOptions } from './serve.js';
import { unary } from './unary.js';

const HELLO = Buffer.from('hello');

/** Every method that the tests call. */
const METHODS: Record<string, (call: GrpcCall) => CallReceiver> = {
  '/t/Echo': (call) =>
    unary((message) => {
      call.reply([message.subarray(0, 2), message.subarray(2)]);
      return undefined;
    }),
  '/t/Describe': (call) =>
    unary(() => {
      call.headMetadata = { 'x-head': 'before' };
      const { deadlineMs } = call;
      const auth = call.header('authorization');
      call.reply(
        [Buffer.from(JSON.stringify({ deadlineMs, auth, bin: call.binaryMetadata('x-data-bin')?.toString('hex') }))],
        {
          'x-end': 'after',
        },
      );
      return undefined;
    }),
  '/t/Fail': (call) =>
    unary(() => {
      setImmediate(() => call.fail(new AppError('overloaded', 'zu viel: 100 % voll', { retryAfterSec: 1.5 })));
      return undefined;
    }),
  '/t/Chat': (call) => {
    return {
      message: (bytes) => void call.send([bytes]),
      end: () => call.end({ status: 0, metadata: { 'x-end': 'bye' } }),
      cancel() {},
    };
  },
};

async function serve(more: Record<string, (call: GrpcCall) => CallReceiver> = {}, options: Partial<GrpcOptions> = {}) {
  const methods: Record<string, ((call: GrpcCall) => CallReceiver) | undefined> = { ...METHODS, ...more };
  const server = await grpcServer({
    ...options,
    onCall: (incoming) => {
      const method = methods[incoming.path];
      if (!method) throw new AppError('unsupported', `there is no method ${incoming.path}`);
      return method(incoming);
    },
  });
  return { ...server, client: session(server.port) };
}

describe('a unary call', () => {
  it('is answered with its message and OK', async () => {
    const { client } = await serve();
    const { head, messages, status, trailers } = await call(client, '/t/Echo', prefixed(HELLO));
    expect(head).toMatchObject({ ':status': 200, 'content-type': 'application/grpc' });
    expect(messages).toEqual([{ flag: 0, bytes: HELLO }]);
    expect([status, trailers['grpc-message']]).toEqual(['0', undefined]);
  });

  it('sees metadata and deadline, and sends metadata before and after', async () => {
    const { client } = await serve();
    const { head, messages, trailers } = await call(client, '/t/Describe', prefixed(HELLO), {
      authorization: 'Bearer x',
      'grpc-timeout': '1500m',
      'x-data-bin': 'AAH/,BBBB',
      'content-type': 'application/grpc+proto',
    });
    expect(JSON.parse(messages[0]?.bytes.toString() ?? '')).toEqual({
      deadlineMs: 1500,
      auth: 'Bearer x',
      bin: '0001ff',
    });
    expect([head['x-head'], trailers['x-end'], trailers['grpc-status']]).toEqual(['before', 'after', '0']);
  });

  it('fails with the status of its error, its words, and when to come again', async () => {
    const { client } = await serve();
    const { head, messages, status, message } = await call(client, '/t/Fail', prefixed(HELLO));
    expect([status, message, messages]).toEqual(['8', 'zu viel: 100 % voll', []]);
    expect(head['grpc-retry-pushback-ms']).toBe('1500');
  });

  it.each<[string, string, Buffer, Record<string, string>, string, string]>([
    ['an unknown method', '/t/None', prefixed(HELLO), {}, '12', 'there is no method /t/None'],
    ['no message', '/t/Echo', Buffer.alloc(0), {}, '3', 'the call has no message, this method takes one'],
    [
      'two messages',
      '/t/Echo',
      Buffer.concat([prefixed(HELLO), prefixed(HELLO)]),
      {},
      '3',
      'the call has more than one message, this method takes one',
    ],
    ['half a message', '/t/Echo', prefixed(HELLO).subarray(0, 8), {}, '3', 'the call ends within a message'],
    ['half a prefix', '/t/Echo', prefixed(HELLO).subarray(0, 3), {}, '3', 'the call ends within a message'],
    ['a strange flag', '/t/Echo', prefixed(HELLO, 2), {}, '3', 'a message begins with the byte 2, expected 0 or 1'],
    [
      'a message too large',
      '/t/Echo',
      prefixed(Buffer.alloc(1001)),
      {},
      '8',
      'the message has 1001 bytes, at most 1000 are allowed',
    ],
    [
      'an unknown compression',
      '/t/Echo',
      prefixed(HELLO),
      { 'grpc-encoding': 'snappy' },
      '12',
      'grpc-encoding is "snappy", expected identity, deflate or gzip',
    ],
    [
      'a compressed message of no compression',
      '/t/Echo',
      prefixed(HELLO, 1),
      {},
      '3',
      'a message is compressed, but grpc-encoding names no compression',
    ],
    [
      'what is not gzip',
      '/t/Echo',
      prefixed(HELLO, 1),
      { 'grpc-encoding': 'gzip' },
      '3',
      'the message is not gzip, as grpc-encoding says: incorrect header check',
    ],
    [
      'a message too large unpacked',
      '/t/Echo',
      prefixed(gzipSync(Buffer.alloc(1001)), 1),
      { 'grpc-encoding': 'gzip' },
      '8',
      'the message has 1001 bytes or more; at most 1000 are taken',
    ],
    [
      'a time-out that is none',
      '/t/Echo',
      prefixed(HELLO),
      { 'grpc-timeout': '5' },
      '3',
      'grpc-timeout is "5", expected up to 8 digits and one of H M S m u n',
    ],
  ])('%s', async (_what, path, body, headers, status, message) => {
    const { client, faults } = await serve({}, { maxMessageBytes: 1000 });
    const answer = await call(client, path, body, headers);
    expect([answer.status, answer.message]).toEqual([status, message]);
    if (status === '12') expect(answer.head['grpc-accept-encoding']).toBe('identity,deflate,gzip');
    expect(faults).toEqual([]);
  });

  it.each<[string, Record<string, string>, number]>([
    ['another content type', { 'content-type': 'application/json' }, 415],
    ['gRPC-Web', { 'content-type': 'application/grpc-web+proto' }, 415],
    ['GET', { ':method': 'GET' }, 405],
  ])('%s is refused with an HTTP status', async (_what, headers, status) => {
    const { client } = await serve();
    const { head } = await call(client, '/t/Echo', headers[':method'] ? Buffer.alloc(0) : prefixed(HELLO), headers);
    expect(head[':status']).toBe(status);
  });

  it('an error of ours goes to the log, and out without its words', async () => {
    const broken = () =>
      unary(() => {
        throw new TypeError('secret');
      });
    const { client, faults } = await serve({ '/t/Broken': broken });
    expect(await call(client, '/t/Broken', prefixed(HELLO))).toMatchObject({ status: '13', message: 'internal error' });
    expect(faults).toEqual([new TypeError('secret')]);
    expect((await call(client, '/t/Echo', prefixed(HELLO))).status).toBe('0');
  });
});

describe('compression', () => {
  const large = Buffer.alloc(100_000, 'sluice ');
  it.each([
    ['gzip', gzipSync(large)],
    ['deflate', deflateSync(large)],
  ])('%s both ways', async (coding, packed) => {
    const { client } = await serve();
    const headers = { 'grpc-encoding': coding, 'grpc-accept-encoding': 'identity,deflate,gzip' };
    const { head, messages, status } = await call(client, '/t/Echo', prefixed(packed, 1), headers);
    expect([status, head['grpc-encoding'], messages.length, messages[0]?.flag]).toEqual(['0', coding, 1, 1]);
    expect(messages[0]?.bytes.length).toBeLessThan(5000);
    if (coding === 'gzip') expect(gunzipSync(messages[0]?.bytes ?? '').equals(large)).toBe(true);
  });

  it('leaves answers as they are for clients that do not compress', async () => {
    const { client } = await serve();
    const { head, messages } = await call(client, '/t/Echo', prefixed(large), { 'grpc-accept-encoding': 'gzip' });
    expect([head['grpc-encoding'], messages[0]?.flag]).toEqual([undefined, 0]);
  });

  it('keeps the order of messages, packed and not', async () => {
    const { client } = await serve();
    const stream = open(client, '/t/Chat', { 'grpc-encoding': 'gzip', 'grpc-accept-encoding': 'gzip' });
    const sent = [large, Buffer.from('1'), Buffer.from('2'), large, Buffer.from('3')];
    for (const [at, bytes] of sent.entries()) stream.write(at % 2 ? prefixed(gzipSync(bytes), 1) : prefixed(bytes));
    stream.end();
    const { messages, status } = await answerOf(stream);
    expect(messages.map(({ flag }) => flag)).toEqual([1, 0, 0, 1, 0]);
    expect(messages.map(({ flag, bytes }) => (flag ? gunzipSync(bytes) : bytes).length)).toEqual(
      sent.map(({ length }) => length),
    );
    expect(status).toBe('0');
  });
});

describe('streams', () => {
  it('many messages both ways, cut anywhere', async () => {
    const random = seeded(3);
    const { client } = await serve();
    const stream = open(client, '/t/Chat');
    const sent = Array.from({ length: 300 }, () =>
      Buffer.alloc(Math.floor(random() ** 4 * 60_000), Math.floor(random() * 256)),
    );
    const bytes = Buffer.concat(sent.map((message) => prefixed(message)));
    for (let at = 0; at < bytes.length; ) {
      const end = at + Math.ceil(random() * 30_000);
      stream.write(bytes.subarray(at, end));
      at = end;
    }
    stream.end();
    const { messages, status, trailers } = await answerOf(stream);
    expect(messages.map(({ bytes: message }) => message.length)).toEqual(sent.map(({ length }) => length));
    expect(messages.every((message, at) => message.bytes.equals(sent[at] as Buffer))).toBe(true);
    expect([status, trailers['x-end']]).toEqual(['0', 'bye']);
  });

  it('hundreds of calls at once on one connection, large answers among them', async () => {
    const { client, connections } = await serve();
    const sizes = Array.from({ length: 300 }, (_, at) => (at % 50 === 0 ? 3_000_000 : at));
    const answers = await Promise.all(
      sizes.map((size) => call(client, '/t/Echo', prefixed(Buffer.alloc(size, size % 256)))),
    );
    expect(answers.map(({ messages }) => messages[0]?.bytes.length)).toEqual(sizes);
    expect(
      answers.every(
        ({ messages }, at) => messages[0]?.bytes.at(-1) === (at === 0 ? 3_000_000 % 256 : messages[0]?.bytes.at(0)),
      ),
    ).toBe(true);
    expect(connections[0]?.openCalls).toBe(0);
  });

  it('pauses a client that sends more than is taken', async () => {
    const taken: GrpcCall[] = [];
    let received = 0;
    const slow = (incoming: GrpcCall): CallReceiver => {
      taken.push(incoming);
      return {
        message() {
          received++;
          incoming.pause();
        },
        end: () => incoming.end(),
        cancel() {},
      };
    };
    const { client } = await serve({ '/t/Slow': slow }, { limits: { streamWindowBytes: 100_000 } });
    const stream = open(client, '/t/Slow');
    const answer = answerOf(stream);
    let sent = 0;
    const push = () => {
      for (let room = true; room && sent < 100; sent++) room = stream.write(prefixed(Buffer.alloc(20_000)));
      if (sent < 100) stream.once('drain', push);
      else stream.end();
    };
    push();
    await eventually(() => received === 1);
    await sleep(50);
    expect([received, sent < 50]).toEqual([1, true]);
    while (received < 100) {
      taken[0]?.resume();
      await new Promise((resolve) => setImmediate(resolve));
    }
    taken[0]?.resume();
    expect((await answer).status).toBe('0');
  });

  it('tells a sender to wait for a client that does not read, and takes no more from it meanwhile', async () => {
    let told = 0;
    let drained = 0;
    const flood = (incoming: GrpcCall): CallReceiver => {
      let left = 40;
      const more = () => {
        while (left > 0) {
          left--;
          if (incoming.send([Buffer.alloc(100_000)])) continue;
          told++;
          return;
        }
        incoming.end();
      };
      return {
        message: more,
        end() {},
        cancel() {},
        writable() {
          drained++;
          more();
        },
      };
    };
    const { client } = await serve({ '/t/Flood': flood });
    const stream = open(client, '/t/Flood');
    stream.end(prefixed(HELLO));
    stream.pause();
    await eventually(() => told === 1);
    await sleep(50);
    expect(drained).toBe(0);
    const answer = answerOf(stream);
    stream.resume();
    const { messages, status } = await answer;
    expect([messages.length, status]).toEqual([40, '0']);
    expect(drained).toBeGreaterThan(3);
  });
});

describe('the end of a call', () => {
  const waiting = () => {
    const seen = { open: 0, cancelled: 0 };
    const never = (): CallReceiver => {
      seen.open++;
      return unary(() => () => {
        seen.cancelled++;
      });
    };
    return { seen, never };
  };

  it('a client that cancels is heard of, and so is one that goes', async () => {
    const { seen, never } = waiting();
    const { client, port } = await serve({ '/t/Never': never });
    const first = open(client, '/t/Never');
    first.on('error', () => {});
    first.end(prefixed(HELLO));
    await eventually(() => seen.open === 1);
    first.close(8);
    await eventually(() => seen.cancelled === 1);
    const other = session(port);
    const second = open(other, '/t/Never');
    second.on('error', () => {});
    second.end(prefixed(HELLO));
    await eventually(() => seen.open === 2);
    other.destroy();
    await eventually(() => seen.cancelled === 2);
    expect((await call(client, '/t/Echo', prefixed(HELLO))).status).toBe('0');
  });

  it('an error of whoever is told goes to the log only', async () => {
    const broken = (): CallReceiver => ({
      message() {},
      end() {},
      cancel() {
        throw new TypeError('within cancel');
      },
    });
    const { client, faults } = await serve({ '/t/Broken': broken });
    const stream = open(client, '/t/Broken');
    stream.on('error', () => {});
    stream.write(prefixed(HELLO));
    await eventually(() => stream.id !== undefined);
    stream.close(8);
    await eventually(() => faults.length === 1);
    expect((await call(client, '/t/Echo', prefixed(HELLO))).status).toBe('0');
  });

  it('draining: what is open is finished, the client is told, the connection ends', async () => {
    const calls: GrpcCall[] = [];
    const held = (incoming: GrpcCall) =>
      unary(() => {
        calls.push(incoming);
        return undefined;
      });
    const { client, connections } = await serve({ '/t/Held': held });
    const answer = call(client, '/t/Held', prefixed(HELLO));
    await eventually(() => calls.length === 1);
    const goaway = new Promise((resolve) => client.on('goaway', resolve));
    const closed = new Promise((resolve) => client.on('close', resolve));
    connections[0]?.drain();
    connections[0]?.drain();
    await goaway;
    calls[0]?.reply([HELLO]);
    expect((await answer).status).toBe('0');
    await closed;
  });

  it('destroying cancels what is open', async () => {
    const { seen, never } = waiting();
    const { client, connections } = await serve({ '/t/Never': never });
    const stream = open(client, '/t/Never');
    stream.on('error', () => {});
    stream.end(prefixed(HELLO));
    await eventually(() => seen.open === 1);
    connections[0]?.destroy();
    expect([seen.cancelled, connections[0]?.openCalls]).toEqual([1, 0]);
  });
});

describe('a client that stalls', () => {
  it('is told when a message that it owes does not come', async () => {
    const { client } = await serve({}, { limits: { stallMs: 100 } });
    for (const body of [Buffer.alloc(0), prefixed(HELLO).subarray(0, 7), prefixed(HELLO)]) {
      const stream = open(client, '/t/Echo');
      stream.write(body);
      const { status, message } = await answerOf(stream);
      expect([status, message]).toEqual(['4', 'a message of the call was not there within 0.1 s']);
    }
  });

  it('may leave a stream of messages idle between them, but not within one', async () => {
    const { client } = await serve({}, { limits: { stallMs: 100 } });
    const stream = open(client, '/t/Chat');
    const answer = answerOf(stream);
    await sleep(300);
    stream.write(prefixed(HELLO));
    await sleep(300);
    stream.write(prefixed(HELLO).subarray(0, 6));
    const { messages, status } = await answer;
    expect([messages.length, status]).toEqual([1, '4']);
  });

  it('loses its connection when it takes nothing of what it asked for', async () => {
    let cancelled = 0;
    const big = (incoming: GrpcCall): CallReceiver => ({
      message() {
        incoming.send([Buffer.alloc(20_000_000)]);
      },
      end() {},
      cancel() {
        cancelled++;
      },
    });
    const { client, connections } = await serve({ '/t/Big': big }, { limits: { stallMs: 100 } });
    const stream = open(client, '/t/Big');
    stream.on('error', () => {});
    stream.pause();
    stream.end(prefixed(HELLO));
    await eventually(() => cancelled === 1);
    expect(connections[0]?.openCalls).toBe(0);
  });
});

it('unfinished messages of one connection are bounded together', async () => {
  const { client } = await serve({}, { maxMessageBytes: 100_000 });
  const parts = Array.from({ length: 6 }, () => open(client, '/t/Echo'));
  const answers = parts.map(answerOf);
  for (const stream of parts) stream.write(prefixed(Buffer.alloc(90_000)).subarray(0, 80_000));
  // four messages' worth may be held: the sixth goes too far, and once it is gone the others can be finished
  const [first] = await Promise.race(answers.map(async (answer, at) => [at, (await answer).status] as const)).then(
    (ended) => [ended],
  );
  expect(first?.[1]).toBe('8');
  for (const [at, stream] of parts.entries()) if (at !== first?.[0]) stream.end(Buffer.alloc(10_005));
  const statuses = (await Promise.all(answers)).map(({ status }) => status);
  expect(statuses.filter((status) => status === '0').length).toBeGreaterThanOrEqual(4);
});
