/** The framed hop of a model server: requests whose frames, metas and bodies are damaged. */
import { PassThrough } from 'node:stream';
import { AppError } from '../../src/errors.js';
import { FrameReader } from '../../src/protocol/frame-reader.js';
import { FrameWriter } from '../../src/protocol/frame-writer.js';
import {
  asResponseMeta,
  encodeMeta,
  FRAME_BODY,
  FRAME_CANCEL,
  FRAME_REQUEST,
  FRAME_RESPONSE,
  FRAME_WINDOW,
  type FrameType,
} from '../../src/protocol/frames.js';
import { faultOf } from './answers.js';
import { converse, cutAt } from './connection.js';
import type { Dice } from './dice.js';
import { damaged, damagedJson } from './mutate.js';
import type { Attempt, Port } from './port.js';
import { question, v2Body } from './questions.js';

const TYPES: readonly FrameType[] = [FRAME_REQUEST, FRAME_RESPONSE, FRAME_CANCEL, FRAME_BODY, FRAME_WINDOW];

export function framesPort(path: string): Port {
  return {
    name: 'frames',
    share: 0.15,
    atOnce: 16,
    make(dice): Attempt {
      const sound = Buffer.concat(Array.from({ length: 1 + dice.below(4) }, () => frames(dice)));
      const bytes = dice.chance(0.4) ? damaged(dice, sound) : sound;
      const pieces = cutAt(
        bytes,
        Array.from({ length: dice.below(3) }, () => dice.below(bytes.length + 1)),
      );
      const waits = dice.chance(0.6);
      return {
        about: `${pieces.length} pieces of frames${waits ? ', waiting' : ''}`,
        bytes,
        async run() {
          const enough = (received: Buffer) => received.length > 0;
          return faultOfAnswers(await converse({ to: { path }, pieces, ...(waits ? { enough } : {}) }));
        },
      };
    },
  };
}

/** A request, right or with one thing wrong, or a frame that belongs to none. */
function frames(dice: Dice): Buffer {
  const asked = question(dice);
  const { body, headerLength } = v2Body(asked, dice.chance(0.5));
  const headers = headerLength === undefined ? {} : { 'inference-header-content-length': String(headerLength) };
  const meta = { method: 'POST', path: `/v2/models/${asked.model}/infer`, headers };
  const id = dice.below(3);
  switch (dice.below(7)) {
    case 0:
      return written({ id, type: FRAME_REQUEST, meta: metaBytes(damagedJson(dice, meta)) }, body);
    case 1:
      return written({ id, type: FRAME_REQUEST, meta }, damaged(dice, body));
    case 2:
      return written(
        { id, type: dice.pick(TYPES), more: dice.chance(0.5), timeMs: dice.below(5) },
        dice.bytes(dice.below(40)),
      );
    case 3:
      return Buffer.concat([
        written({ id, type: FRAME_REQUEST, meta, more: true }, body.subarray(0, 10)),
        written({ id, type: FRAME_BODY, more: dice.chance(0.3) }, body.subarray(10)),
        written({ id, type: dice.pick(TYPES) }, dice.bytes(4)),
      ]);
    case 4: {
      const odd = {
        ...meta,
        headers: { 'inference-header-content-length': dice.pick(['', '-1', '0', '9', 5, null, {}]) },
      };
      return written({ id, type: FRAME_REQUEST, meta: Buffer.from(JSON.stringify(odd)) }, body);
    }
    default:
      return written({ id, type: FRAME_REQUEST, meta: encodeMeta(meta), timeMs: dice.chance(0.1) ? 0 : 10_000 }, body);
  }
}

/** No meta is longer than its length can say. */
const metaBytes = (bytes: Buffer) => bytes.subarray(0, 0xffff);

function written(head: Parameters<FrameWriter['write']>[0], body: Buffer = Buffer.alloc(0)): Buffer {
  const stream = new PassThrough();
  const writer = new FrameWriter(stream);
  writer.write(head, body);
  writer.flush();
  return (stream.read() as Buffer | null) ?? Buffer.alloc(0);
}

function faultOfAnswers(received: Buffer): string | undefined {
  let fault: string | undefined;
  const reader = new FrameReader(({ type, meta, body, more }) => {
    if (type !== FRAME_RESPONSE || more || fault !== undefined) return;
    const { status, headers } = asResponseMeta(meta);
    // a request that came too late is told so
    if (status !== 504) fault = faultOf({ status, headers, body }, 'inference');
  });
  try {
    reader.push(received);
    return fault;
  } catch (error) {
    if (error instanceof AppError) return error.message;
    throw error;
  }
}
