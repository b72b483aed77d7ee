import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DT, logOf, predictLog, recordOf, tensorProto, writeBeside } from '../../../tests/support/tensorflow.js';
import { AppError } from '../../errors.js';
import { ProtoWriter } from '../../protocol/protobuf/writer.js';
import type { Signature } from '../../protocol/signature.js';
import { makeTensor } from '../../protocol/tensor.js';
import type { InferCall } from '../engine.js';
import { warmUp } from './warm-up.js';

const FILE = 'assets.extra/tf_serving_warmup_requests';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-warm-up-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const signature: Signature = {
  inputs: [{ name: 'x', datatype: 'INT32', shape: [-1] }],
  outputs: [{ name: 'y', datatype: 'INT32', shape: [-1] }],
};

/** Warms up with these records; answers the notes and what was inferred. */
async function warm(records: readonly Buffer[]): Promise<{ notes: readonly string[]; calls: InferCall[] }> {
  await writeBeside(folder, FILE, Buffer.concat(records));
  const calls: InferCall[] = [];
  const notes = await warmUp({
    folder,
    signatures: new Map([
      ['serving_default', signature],
      ['other', signature],
    ]),
    defaultName: 'serving_default',
    infer: async (call) => {
      if (call.inputs[0]?.data[0] === 0) throw new AppError('internal', 'the model failed: zero');
      calls.push(call);
      return [];
    },
  });
  return { notes, calls };
}

const x = (...values: number[]) => ({ x: tensorProto(DT.int32, [values.length], values) });

describe('warmUp', () => {
  it('does nothing for a model without requests', async () => {
    const infer = () => Promise.reject(new Error('nothing is to be inferred'));
    const model = { folder: join(folder, 'nowhere'), signatures: new Map(), defaultName: 'x', infer };
    expect(await warmUp(model)).toEqual([]);
  });

  it('sends the predictions in order and says what it left out', async () => {
    const regress = logOf(3, new ProtoWriter());
    const records = [predictLog(x(1, 2)), regress, predictLog(x(3), 'other', ['y']), regress, Buffer.alloc(0)];
    const { notes, calls } = await warm(records.map(recordOf));
    const input = (...values: number[]) => makeTensor('x', 'INT32', [values.length], Int32Array.from(values));
    expect(calls).toEqual([
      { inputs: [input(1, 2)], outputs: undefined, signature: 'serving_default' },
      { inputs: [input(3)], outputs: ['y'], signature: 'other' },
    ]);
    expect(notes).toEqual([
      '2 of 5 warm-up requests were left out: regress requests are not replayed.',
      '1 of 5 warm-up requests were left out: empty requests are not replayed.',
    ]);
  });

  const good = recordOf(predictLog(x(1)));
  it.each([
    ['fails', [good, recordOf(predictLog(x(0)))], 'record 2: the model failed: zero'],
    [
      'names no signature of its',
      [recordOf(predictLog(x(1), 'third'))],
      'record 1: the model has no signature "third"',
    ],
    ['names no output of its', [recordOf(predictLog(x(1), '', ['z']))], 'record 1: the model has no output "z"'],
    ['has no input', [recordOf(predictLog({}))], 'record 1: input "x" is missing'],
    ['is no protobuf', [recordOf(Buffer.from([0x32, 0xff]))], 'record 1: the message is not valid protobuf'],
    ['is cut short', [good, good.subarray(0, 20)], 'record 2: the file ends within it'],
  ])('refuses the model when one of them %s', async (_what, records, message) => {
    await expect(warm(records)).rejects.toMatchObject({
      code: 'invalid',
      message: expect.stringContaining(`the warm-up requests in ${FILE} cannot be used: ${message}`),
    });
  });

  it('takes 1000 and no more', async () => {
    expect((await warm(new Array(1000).fill(good))).calls).toHaveLength(1000);
    await expect(warm(new Array(1001).fill(good))).rejects.toMatchObject({
      message: expect.stringContaining('it holds more than 1000 records'),
    });
  });
});
