/** Frames of HTTP/2 in any order, damaged, and floods of them, on the port that speaks HTTP/1.1, too. */
import { FLAG, FRAME } from '../../src/gateway/http2/codes.js';
import { writeModelInferRequest } from '../../src/protocol/grpc/infer-request.js';
import {
  callHeaders,
  dataFrame,
  frame,
  grpcMessage,
  HELLO,
  headersFrame,
  SETTINGS,
  u32,
} from '../../tests/support/http2-frames.js';
import { converse, cutAt } from './connection.js';
import type { Dice } from './dice.js';
import { damaged } from './mutate.js';
import type { Attempt, Port } from './port.js';
import { inferRequest, question } from './questions.js';

const PATH = '/inference.GRPCInferenceService/ModelInfer';

/** Frames of one client, which knows which streams it has opened. */
class Client {
  private last = -1;

  constructor(
    private readonly dice: Dice,
    private readonly key: string,
  ) {}

  frames(): Buffer[] {
    const { dice } = this;
    if (dice.chance(0.01)) return dice.pick(FLOODS)(this);
    const count = 1 + dice.below(10);
    return Array.from({ length: count }, () => (dice.chance(0.5) ? this.call() : dice.pick(FRAMES)(dice, this)));
  }

  /** A whole call, or one that lacks its end. */
  call(flags: number = FLAG.END_STREAM): Buffer {
    const asked = question(this.dice);
    const model = { modelName: asked.model, modelVersion: undefined };
    const message = Buffer.concat(writeModelInferRequest(model, inferRequest(asked)));
    const id = this.opens();
    return Buffer.concat([this.head(id), dataFrame(id, grpcMessage(message), flags)]);
  }

  head(id: number, flags = 0): Buffer {
    return headersFrame(id, flags, callHeaders({ ':path': PATH, authorization: `Bearer ${this.key}` }));
  }

  opens(): number {
    this.last += 2;
    return this.last;
  }

  /** Mostly a stream that was opened, sometimes any. */
  any(): number {
    return this.dice.chance(0.2) ? this.dice.below(12) : Math.max(1, this.last - 2 * this.dice.below(3));
  }
}

type Make = (dice: Dice, client: Client) => Buffer;

const FRAMES: readonly Make[] = [
  (_dice, client) => client.head(client.any()),
  (_dice, client) => client.call(0),
  (dice, client) => dataFrame(client.any(), dice.bytes(dice.below(100)), dice.below(2)),
  (dice, client) => frame(FRAME.DATA, FLAG.PADDED, client.any(), dice.bytes(dice.below(20))),
  (dice, client) => frame(FRAME.HEADERS, dice.below(256), client.any(), dice.bytes(dice.below(40))),
  (dice, client) => frame(FRAME.CONTINUATION, dice.below(256), client.any(), dice.bytes(dice.below(40))),
  (dice, client) => frame(FRAME.RST_STREAM, 0, client.any(), u32(dice.below(14))),
  (dice, client) =>
    frame(FRAME.WINDOW_UPDATE, 0, dice.chance(0.5) ? 0 : client.any(), u32(dice.pick([0, 1, 65535, 0x7fffffff]))),
  (dice) => frame(FRAME.SETTINGS, 0, 0, Buffer.of(0, dice.below(8), ...dice.bytes(4))),
  (dice) => frame(FRAME.SETTINGS, dice.below(2), dice.below(2), dice.bytes(dice.below(8))),
  (dice) => frame(FRAME.PING, dice.below(2), 0, dice.bytes(dice.pick([8, 8, 8, 7, 0]))),
  (dice) => frame(FRAME.GOAWAY, 0, 0, dice.bytes(dice.below(12))),
  (dice, client) => frame(FRAME.PRIORITY, 0, client.any(), dice.bytes(dice.pick([5, 5, 4]))),
  (dice) => frame(dice.below(256), dice.below(256), dice.below(8), dice.bytes(dice.below(60))),
  // a length that the frame has not, with nothing behind it
  (dice) => Buffer.concat([Buffer.of(dice.below(256), dice.below(256), 0, dice.below(10), 0), u32(dice.below(4))]),
];

const many = (count: number, make: (at: number) => Buffer) => [
  Buffer.concat(Array.from({ length: count }, (_, at) => make(at))),
];

const FLOODS: readonly ((client: Client) => Buffer[])[] = [
  () => many(20_000, () => SETTINGS),
  () => many(20_000, () => frame(FRAME.PING, 0, 0, Buffer.alloc(8))),
  (client) =>
    many(1500, () => {
      const id = client.opens();
      return Buffer.concat([client.head(id), frame(FRAME.RST_STREAM, 0, id, u32(8))]);
    }),
  (client) => [
    frame(FRAME.HEADERS, 0, client.opens(), Buffer.alloc(0)),
    ...many(20_000, () => frame(FRAME.CONTINUATION, 0, 1, Buffer.alloc(1, 0x82))),
  ],
  (client) => [client.head(client.opens()), ...many(20_000, () => dataFrame(1, Buffer.alloc(0)))],
  (client) => many(1500, () => client.head(client.opens())),
  () => many(20_000, () => frame(FRAME.PRIORITY, 0, 3, Buffer.alloc(5))),
];

export function http2Port(port: number, key: string): Port {
  return {
    name: 'http2',
    share: 0.12,
    atOnce: 16,
    make(dice): Attempt {
      const whole = Buffer.concat([HELLO, ...new Client(dice, key).frames()]);
      const bytes = dice.chance(0.4) ? Buffer.concat([HELLO, damaged(dice, whole.subarray(HELLO.length))]) : whole;
      const pieces = cutAt(
        bytes,
        Array.from({ length: dice.below(4) }, () => dice.below(bytes.length)),
      );
      const waits = dice.chance(0.3);
      return {
        about: `${pieces.length} pieces of frames${waits ? ', waiting' : ''}`,
        bytes,
        async run() {
          const to = { port, host: '127.0.0.1' };
          return faultOfFrames(await converse({ to, pieces, ...(waits ? { enough: () => false } : {}) }));
        },
      };
    },
  };
}

/** The server's own frames must be whole but for the last, of known types, and no larger than was allowed. */
function faultOfFrames(received: Buffer): string | undefined {
  for (let at = 0; at + 9 <= received.length; ) {
    const length = received.readUIntBE(at, 3);
    const type = received[at + 3] ?? 255;
    if (length > 16_384) return `a frame of ${length} bytes came`;
    if (type > FRAME.CONTINUATION) return `a frame of type ${type} came`;
    const payload = received.subarray(at + 9, at + 9 + length);
    if (type === FRAME.GOAWAY && payload.readUInt32BE(4) === 2)
      return `GOAWAY with INTERNAL_ERROR: ${payload.subarray(8)}`;
    at += 9 + length;
  }
  return undefined;
}
