import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  DT,
  type Graph,
  placeholder,
  predictLog,
  recordOf,
  tensorFlowLibrary,
  tensorProto,
  writeBeside,
  writeSavedModel,
} from '../../../tests/support/tensorflow.js';
import { identity, infer, useTensorFlow } from '../../../tests/support/tensorflow-engine.js';
import { AppError } from '../../errors.js';
import type { Datatype } from '../../protocol/datatypes.js';
import { toBfloat, toHalf } from '../../protocol/float16.js';
import { makeTensor, type Tensor } from '../../protocol/tensor.js';
import { TYPE_NUMBER } from './types.js';

const library = await tensorFlowLibrary();
const { write, load, loadFrom, folder } = useTensorFlow(library);

async function failureOf(work: Promise<unknown>): Promise<AppError> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(AppError);
  return error as AppError;
}

const float = (name: string, shape: number[], data: number[]) =>
  makeTensor(name, 'FP32', shape, Float32Array.from(data));
describe.skipIf(library === undefined)('the TensorFlow engine', () => {
  const all: [Datatype, Tensor['data']][] = [
    ['BOOL', new Uint8Array([1, 0])],
    ['INT8', new Int8Array([-128, 127])],
    ['INT16', new Int16Array([-32768, 32767])],
    ['INT32', new Int32Array([-(2 ** 31), 2 ** 31 - 1])],
    ['INT64', new BigInt64Array([-(2n ** 63n), 2n ** 63n - 1n])],
    ['UINT8', new Uint8Array([0, 255])],
    ['UINT16', new Uint16Array([0, 65535])],
    ['UINT32', new Uint32Array([0, 2 ** 32 - 1])],
    ['UINT64', new BigUint64Array([0n, 2n ** 64n - 1n])],
    ['FP16', new Uint16Array([toHalf(0.1), toHalf(-65504)])],
    ['BF16', new Uint16Array([toBfloat(0.1), toBfloat(-1e38)])],
    ['FP32', new Float32Array([0.1, Number.NaN])],
    ['FP64', new Float64Array([0.1, -Infinity])],
    ['BYTES', [Buffer.from('é "😀'), Buffer.from('')]],
  ];
  it.each(all)('carries %s through a model unchanged', async (datatype, data) => {
    const input = makeTensor('x', datatype, [1, 2], data);
    const { engine, described } = await load(identity(TYPE_NUMBER[datatype], [-1, -1]));
    expect(described.signature.inputs).toEqual([{ name: 'x', datatype, shape: [-1, -1] }]);
    expect(await infer(engine, [input])).toEqual([{ ...input, name: 'y' }]);
    const empty = makeTensor('x', datatype, [0, 2], data.slice(0, 0));
    expect(await infer(engine, [empty])).toEqual([{ ...empty, name: 'y' }]);
  });

  it('carries scalars, and more dimensions than any model has', async () => {
    const { engine } = await load(identity(DT.float));
    for (const shape of [[], [1], new Array(250).fill(1)]) {
      expect(await infer(engine, [float('x', shape, [7])])).toEqual([float('y', shape, [7])]);
    }
  });

  it('refuses shapes that would end the process', async () => {
    const { engine } = await load(identity(DT.float));
    const many = await failureOf(infer(engine, [float('x', new Array(255).fill(1), [7])]));
    expect([many.code, many.message]).toEqual(['invalid', 'input "x" has 255 dimensions, TensorFlow takes 254']);
    const vast = await failureOf(infer(engine, [float('x', [2 ** 40, 2 ** 40, 0], [])]));
    expect([vast.code, vast.message]).toEqual(['invalid', expect.stringContaining('more than 2^53')]);
  });

  it('says what the model is', async () => {
    const { described } = await load(identity(DT.float, [-1, 3]), { intraOpNumThreads: 1 });
    expect(described).toEqual({
      signature: {
        inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 3] }],
        outputs: [{ name: 'y', datatype: 'FP32', shape: [-1, 3] }],
      },
      signatures: new Map([['serving_default', described.signature]]),
      batchable: true,
      lanes: 1,
      device: 'cpu',
      notes: [],
    });
    expect((await load(identity(DT.float))).described.batchable).toBe(false);
    const wide = (await load(identity(DT.float), { intraOpNumThreads: 3 })).described;
    expect([wide.lanes, wide.notes]).toEqual([3, [expect.stringContaining('goes on with the 1 of')]]);
  });

  it('says that a GPU was wanted and is not there', async () => {
    const { described } = await load(identity(DT.float), { device: 'gpu' });
    if (described.device === 'cpu') expect(described.notes[0]).toMatch(/^A GPU was wanted, and TensorFlow found none/);
    expect((await load(identity(DT.float), { device: 'cpu' })).described.device).toBe('cpu');
  });

  /** quotient = a // b, remainder = a % b; a signature of its own for each besides. */
  const divided = { type: DT.int32, shape: [-1] };
  const divide: Graph = {
    nodes: [
      placeholder('a', DT.int32),
      placeholder('b', DT.int32),
      { name: 'q', op: 'FloorDiv', inputs: ['a', 'b'], attributes: { T: { type: DT.int32 } } },
      { name: 'r', op: 'FloorMod', inputs: ['a', 'b'], attributes: { T: { type: DT.int32 } } },
    ],
    signatures: {
      serving_default: {
        inputs: { b: { tensor: 'b:0', type: DT.int32, shape: [] }, a: { tensor: 'a', ...divided } },
        outputs: { remainder: { tensor: 'r:0', ...divided }, quotient: { tensor: 'q:0', ...divided } },
      },
      rest: {
        inputs: { a: { tensor: 'a:0', ...divided }, b: { tensor: 'b:0', type: DT.int32, shape: [] } },
        outputs: { rest: { tensor: 'r:0', ...divided } },
      },
    },
  };
  const int32 = (name: string, shape: number[], data: number[]) =>
    makeTensor(name, 'INT32', shape, Int32Array.from(data));

  it('gives the outputs that are asked for, of the signature that is asked for', async () => {
    const { engine, described } = await load(divide);
    expect(described.signature.inputs.map(({ name }) => name)).toEqual(['a', 'b']);
    expect([...(described.signatures?.keys() ?? [])]).toEqual(['rest', 'serving_default']);
    const inputs = [int32('b', [], [3]), int32('a', [2], [7, 9])];
    const [quotient, remainder] = [int32('quotient', [2], [2, 3]), int32('remainder', [2], [1, 0])];
    expect(await infer(engine, inputs)).toEqual([quotient, remainder]);
    expect(await infer(engine, inputs, ['remainder', 'quotient'])).toEqual([remainder, quotient]);
    expect(await infer(engine, inputs, ['remainder'])).toEqual([remainder]);
    expect(await infer(engine, inputs, [])).toEqual([]);
    expect(await infer(engine, inputs, undefined, 'rest')).toEqual([{ ...remainder, name: 'rest' }]);
  });

  it('calls a failure of the model its own, and goes on', async () => {
    const { engine } = await load(divide);
    const error = await failureOf(infer(engine, [int32('a', [1], [7]), int32('b', [], [0])]));
    expect([error.code, error.message]).toEqual(['internal', expect.stringContaining('division by zero')]);
    const [quotient] = await infer(engine, [int32('a', [1], [7]), int32('b', [], [2])]);
    expect(quotient).toEqual(int32('quotient', [1], [3]));
  });

  it('takes nothing but a scalar where the model says so', async () => {
    const { engine } = await load(divide);
    const error = await failureOf(infer(engine, [int32('a', [1], [7]), int32('b', [1], [2])]));
    expect([error.code, error.message]).toEqual([
      'invalid',
      'input "b" has shape [1], the model takes a scalar, shape []',
    ]);
  });

  it('runs many inferences at once, each with its own answer', async () => {
    const { engine } = await load(divide);
    const answers = await Promise.all(
      Array.from({ length: 64 }, (_, at) => infer(engine, [int32('a', [1], [at * 2]), int32('b', [], [2])])),
    );
    expect(answers.map(([quotient]) => quotient?.data[0])).toEqual(Array.from({ length: 64 }, (_, at) => at));
  });

  it('runs operations on threads of their own with more than one between them', async () => {
    const { engine, described } = await load(divide, { interOpNumThreads: 2 });
    expect(described.lanes).toBe(2);
    const [quotient] = await infer(engine, [int32('a', [1], [7]), int32('b', [], [2])]);
    expect(quotient).toEqual(int32('quotient', [1], [3]));
  });

  it('infers nothing after the model was unloaded', async () => {
    const { engine } = await load(divide);
    await engine.unload();
    expect((await failureOf(infer(engine, []))).code).toBe('not_ready');
    // a second time is harmless
    await engine.unload();
  });

  it('finds the highest of numbered folders', async () => {
    const top = join(folder(), 'versions');
    await writeSavedModel(join(top, '9'), identity(DT.float));
    await writeSavedModel(join(top, '10'), identity(DT.int32));
    expect((await loadFrom(top)).described.signature.inputs[0]?.datatype).toBe('INT32');
  });

  const x = { tensor: 'x:0', type: DT.float, shape: [-1] } as const;
  const [good, resource] = [
    { inputs: { x }, outputs: { x } },
    { inputs: { x: { ...x, type: 20 } }, outputs: {} },
  ];
  it('leaves out what the protocol cannot carry, and says so', async () => {
    const nodes = [placeholder('x', DT.float)];
    const { described } = await load({ nodes, signatures: { serving_default: good, train: resource } });
    expect([...(described.signatures?.keys() ?? [])]).toEqual(['serving_default']);
    expect(described.notes).toEqual([
      'The signature "train" is left out: input "x" has the type resource, which the protocol cannot carry.',
    ]);
  });

  it.each([
    ['no signature', {}, {}, 'invalid', 'has no signature to serve'],
    ['several and no default', { a: good, b: good }, {}, 'invalid', '"a", "b", and none is called serving_default'],
    ['a default of resources', { serving_default: resource }, {}, 'unsupported', 'has the type resource'],
    [
      'a place that is not there',
      { serving_default: { ...good, inputs: { x: { ...x, tensor: 'nothing:0' } } } },
      {},
      'invalid',
      '"nothing", which it does not have',
    ],
    ['no thread', { a: good }, { intraOpNumThreads: 0 }, 'invalid', 'intraOpNumThreads is 0'],
    ['an unknown device', { a: good }, { device: 'tpu' }, 'invalid', 'expected one of auto, cpu, gpu'],
    ['all memory twice', { a: good }, { gpuMemoryFraction: 2 }, 'invalid', 'above 0 and at most 1'],
  ])('does not load a model with %s', async (_what, signatures, options, code, message) => {
    const path = await write({ nodes: [placeholder('x', DT.float)], signatures });
    const error = await failureOf(loadFrom(path, options));
    expect([error.code, error.message]).toEqual([code, expect.stringContaining(message)]);
  });

  it('does not load what is no SavedModel, and does not say where it lies', async () => {
    const damaged = join(folder(), 'damaged');
    await writeBeside(damaged, 'saved_model.pb', Buffer.from('this is no protobuf'));
    const error = await failureOf(loadFrom(damaged));
    expect(error.code).toBe('invalid');
    expect(error.message).toMatch(/^TensorFlow cannot load the model: /);
    expect(error.message).not.toContain(folder());
    const missing = await failureOf(loadFrom(join(folder(), 'nothing')));
    expect([missing.code, missing.message]).toEqual(['not_found', expect.stringContaining('there is no model at')]);
    await writeBeside(join(folder(), 'empty'), 'a.txt', Buffer.from('x'));
    expect((await failureOf(loadFrom(join(folder(), 'empty')))).message).toContain('has no saved_model.pb');
  });

  it('does not load operations that this build does not have', async () => {
    const path = await write({
      nodes: [placeholder('x', DT.float), { name: 'y', op: 'NobodyHasThis', inputs: ['x'] }],
      signatures: { serving_default: good },
    });
    const error = await failureOf(loadFrom(path));
    expect([error.code, error.message]).toEqual(['unsupported', expect.stringContaining('NobodyHasThis')]);
  });

  it('sends the warm-up requests that the model brings before it is loaded', async () => {
    const path = await write(divide);
    const inputs = { a: tensorProto(DT.int32, [1], [1]), b: tensorProto(DT.int32, [], [0]) };
    await writeBeside(path, 'assets.extra/tf_serving_warmup_requests', recordOf(predictLog(inputs)));
    const error = await failureOf(loadFrom(path));
    expect([error.code, error.message]).toEqual([
      'invalid',
      expect.stringMatching(/warm-up requests .* record 1: the model failed: .*division by zero/s),
    ]);
  });
});
