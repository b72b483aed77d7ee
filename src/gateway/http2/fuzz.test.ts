/** Whatever bytes come: the connection ends, its calls with it, and nothing else notices. */
import { connect } from 'node:net';
import { expect, it } from 'vitest';
import { grpcServer } from '../../../tests/support/grpc-server.js';
import {
  callHeaders,
  dataFrame,
  frame,
  grpcMessage,
  HELLO,
  headersFrame,
  RawClient,
  SETTINGS,
  u32,
  unaryCall,
} from '../../../tests/support/http2-frames.js';
import { seeded } from '../../../tests/support/random.js';
import type { CallReceiver, GrpcCall } from '../grpc/call.js';
import { FLAG, FRAME } from './codes.js';

const ROUNDS = 3000;
const AT_ONCE = 30;

const random = seeded(2024);
const below = (bound: number) => Math.floor(random() * bound);
const randomBytes = (length: number) => Buffer.from(Array.from({ length }, () => below(256)));

/** How many of the frames below make calls and nothing else. */
const CALLS = 5;
let lastId = -1;
/** Mostly a stream that may be opened now, sometimes any. */
const fresh = () => {
  if (random() < 0.1) return below(10);
  lastId += 2;
  return lastId;
};
/** Mostly a stream that was opened. */
const known = () => (random() < 0.1 ? below(10) : Math.max(1, lastId - 2 * below(2)));

/** Frames that mean something, in an order that need not. */
const FRAMES: (() => Buffer)[] = [
  () => unaryCall(fresh(), randomBytes(below(100))),
  () => headersFrame(fresh(), below(2)),
  () => headersFrame(fresh(), 0, callHeaders({ 'grpc-encoding': 'gzip', 'grpc-timeout': `${below(1e6)}m` })),
  () => dataFrame(known(), grpcMessage(randomBytes(below(200)), below(3)), below(2)),
  () => dataFrame(known(), grpcMessage(Buffer.alloc(3000)).subarray(0, below(3000)), below(2)),
  () => frame(FRAME.DATA, FLAG.PADDED, known(), randomBytes(below(20))),
  () => frame(FRAME.CONTINUATION, FLAG.END_HEADERS, 1, randomBytes(below(20))),
  () => frame(FRAME.RST_STREAM, 0, known(), u32(below(14))),
  () => frame(FRAME.WINDOW_UPDATE, 0, random() < 0.5 ? 0 : known(), u32(below(1000))),
  () => frame(FRAME.SETTINGS, 0, 0, Buffer.of(0, below(7), 0, 0, below(256), below(256))),
  () => frame(FRAME.PING, below(2), 0, Buffer.alloc(8)),
  () => frame(below(12), below(256), below(6), randomBytes(below(30))),
  () => SETTINGS,
];

/** What one client sends. */
function conversation(): Buffer {
  if (random() < 0.1) return randomBytes(below(300));
  lastId = -1;
  const frames = Array.from({ length: 1 + below(12) }, () =>
    (FRAMES[below(random() < 0.8 ? CALLS : FRAMES.length)] as () => Buffer)(),
  );
  const bytes = Buffer.concat([HELLO, ...frames]);
  // half of them as they are, the others damaged behind the preface
  if (random() < 0.5) return bytes;
  for (let times = 1 + below(4); times > 0; times--) bytes[24 + below(bytes.length - 24)] = below(256);
  return bytes.subarray(0, 24 + below(bytes.length - 23));
}

it(`${ROUNDS} streams of bytes, random and damaged`, async () => {
  let served = 0;
  let settled = 0;
  const serve = (call: GrpcCall): CallReceiver => {
    const kind = below(4);
    if (kind === 0) throw new TypeError('nobody serves this');
    served++;
    let over = false;
    const once = () => {
      expect(over).toBe(false);
      over = true;
      settled++;
    };
    return {
      unary: random() < 0.5,
      message(bytes) {
        if (kind === 1) call.send([bytes]);
        if (kind !== 2) return;
        call.pause();
        setImmediate(() => call.resume());
      },
      end() {
        once();
        if (kind === 1) call.end();
        else call.reply([Buffer.from('done')]);
      },
      cancel: once,
    };
  };
  const server = await grpcServer({ onCall: serve, maxMessageBytes: 2000, limits: { stallMs: 60_000 } });
  const one = async () => {
    const socket = connect(server.port, '127.0.0.1');
    socket.on('error', () => {});
    socket.resume();
    const bytes = conversation();
    const cut = below(bytes.length + 1);
    socket.write(bytes.subarray(0, cut));
    setImmediate(() => socket.end(bytes.subarray(cut)));
    await new Promise((resolve) => socket.on('close', resolve));
  };
  for (let round = 0; round < ROUNDS; round += AT_ONCE) await Promise.all(Array.from({ length: AT_ONCE }, one));

  const faults = server.faults.filter(
    (fault) => !(fault instanceof TypeError && fault.message === 'nobody serves this'),
  );
  expect(faults).toEqual([]);
  expect(server.connections.reduce((open, { openCalls }) => open + openCalls, 0)).toBe(0);
  expect(settled).toBe(served);
  expect(served).toBeGreaterThan(ROUNDS / 2);
  const client = await RawClient.to(server.port);
  client.send(unaryCall(1), unaryCall(3), unaryCall(5), unaryCall(7));
  expect(await client.nextOf(FRAME.HEADERS)).toBeDefined();
  client.close();
});
