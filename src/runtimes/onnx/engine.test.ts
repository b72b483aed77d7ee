import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { identityModel, type OnnxType, onnxModel, tensor } from '../../../tests/support/onnx-model.js';
import { AppError } from '../../errors.js';
import { toHalf } from '../../protocol/float16.js';
import { makeTensor, type Tensor } from '../../protocol/tensor.js';
import type { EngineOptions, InferCall } from '../engine.js';
import { onnx } from './engine.js';

const at = (name: string) => fileURLToPath(new URL(`../../../tests/fixtures/models/${name}`, import.meta.url));

const call = (inputs: readonly Tensor[], outputs?: readonly string[]): InferCall => ({
  inputs,
  outputs,
  signature: undefined,
});

const folder = mkdtempSync(join(tmpdir(), 'sluice-onnx-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let written = 0;
function write(model: Buffer): string {
  const path = join(folder, `${++written}.onnx`);
  writeFileSync(path, model);
  return path;
}

/** Loads a fixture by its name, or a model by its bytes, and unloads it in the end. */
async function withModel<T>(
  model: string | Buffer,
  use: (infer: (...inputs: Tensor[]) => Promise<Tensor[]>) => Promise<T>,
  options: EngineOptions = {},
) {
  const engine = onnx.create({});
  const loaded = await engine.load({ path: typeof model === 'string' ? at(model) : write(model) }, options);
  try {
    return { loaded, result: await use((...inputs) => engine.infer(call(inputs))) };
  } finally {
    await engine.unload();
  }
}

async function failureOf(work: Promise<unknown>): Promise<AppError> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(AppError);
  return error as AppError;
}

const fp32 = (name: string, shape: number[], data: number[]) =>
  makeTensor(name, 'FP32', shape, Float32Array.from(data));

describe('the ONNX engine', () => {
  it.each([
    ['bool', makeTensor('x', 'BOOL', [1, 2], new Uint8Array([1, 0]))],
    ['int8', makeTensor('x', 'INT8', [2, 1], new Int8Array([-128, 127]))],
    ['int16', makeTensor('x', 'INT16', [1, 2], new Int16Array([-32768, 32767]))],
    ['int32', makeTensor('x', 'INT32', [1, 2], new Int32Array([-(2 ** 31), 2 ** 31 - 1]))],
    ['int64', makeTensor('x', 'INT64', [1, 2], new BigInt64Array([-(2n ** 63n), 2n ** 63n - 1n]))],
    ['uint8', makeTensor('x', 'UINT8', [1, 2], new Uint8Array([0, 255]))],
    ['uint16', makeTensor('x', 'UINT16', [1, 2], new Uint16Array([0, 65535]))],
    ['uint32', makeTensor('x', 'UINT32', [1, 2], new Uint32Array([0, 2 ** 32 - 1]))],
    ['uint64', makeTensor('x', 'UINT64', [1, 2], new BigUint64Array([0n, 2n ** 64n - 1n]))],
    ['fp16', makeTensor('x', 'FP16', [1, 2], new Uint16Array([toHalf(0.1), toHalf(-65504)]))],
    ['fp32', makeTensor('x', 'FP32', [1, 2], new Float32Array([0.1, Number.NaN]))],
    ['fp64', makeTensor('x', 'FP64', [1, 2], new Float64Array([0.1, -Infinity]))],
    ['string', makeTensor('x', 'BYTES', [1, 2], [Buffer.from('é "😀'), Buffer.from('')])],
  ])('carries %s through a model unchanged', async (key, input) => {
    const { loaded, result } = await withModel(`identity-${key}.onnx`, (infer) => infer(input));
    expect(result).toEqual([{ ...input, name: 'y' }]);
    expect(loaded.signature.inputs).toEqual([{ name: 'x', datatype: input.datatype, shape: [-1, -1] }]);
  });

  it('carries bfloat16, which has no fixture', async () => {
    const input = makeTensor('x', 'BF16', [1, 2], new Uint16Array([0x3f80, 0xffff]));
    const { loaded, result } = await withModel(identityModel(tensor(16, ['n', 2])), (infer) => infer(input));
    expect(result).toEqual([{ ...input, name: 'y' }]);
    expect(loaded.signature.outputs).toEqual([{ name: 'y', datatype: 'BF16', shape: [-1, 2] }]);
  });

  it.each([
    ['a scalar', [], [7]],
    ['no elements', [0, 7], []],
    ['no elements in a shape beyond all memory', [0, 2 ** 40, 2 ** 40], []],
    ['twenty dimensions', new Array<number>(20).fill(1), [7]],
  ])('carries %s', async (_what, shape, data) => {
    const { result } = await withModel(identityModel(tensor(1)), (infer) => infer(fp32('x', shape, data)));
    expect(result).toEqual([fp32('y', shape, data)]);
  });

  it('carries strings as the bytes they are', async () => {
    const data = [Buffer.from([0xff]), Buffer.from('a\0b'), Buffer.alloc(0), Buffer.alloc(3000, 'é')];
    await withModel('identity-string.onnx', async (infer) => {
      for (const elements of [data, [Buffer.alloc(0)], []]) {
        const [output] = await infer(makeTensor('x', 'BYTES', [elements.length, 1], elements));
        expect(output).toEqual(makeTensor('y', 'BYTES', [elements.length, 1], elements));
      }
    });
  });

  it('takes an optional tensor as one that is given', async () => {
    const type: OnnxType = { kind: 'optional', of: tensor(1, [2]) };
    const { result } = await withModel(identityModel(type), (infer) => infer(fp32('x', [2], [1, 2])));
    expect(result).toEqual([fp32('y', [2], [1, 2])]);
  });

  it('takes any batch, also an empty one', async () => {
    await withModel('digits.onnx', async (infer) => {
      for (const batch of [1, 7, 0]) {
        const [label, probabilities] = await infer(fp32('X', [batch, 64], new Array(batch * 64).fill(0.5)));
        expect([label?.shape, probabilities?.shape]).toEqual([[batch], [batch, 10]]);
      }
    });
  });

  it('finds model.onnx and its external data in a folder', async () => {
    const { result } = await withModel('external', (infer) => infer(fp32('x', [1, 256], new Array(256).fill(1))));
    expect(result[0]?.data).toEqual(new Float32Array(4).fill(128));
  });

  it('gives the outputs that are asked for, in that order', async () => {
    const engine = onnx.create({});
    await engine.load({ path: at('digits.onnx') }, { graphOptimizationLevel: 'basic' });
    const x = fp32('X', [1, 64], new Array(64).fill(0));
    const outputs = await engine.infer(call([x], ['probabilities', 'label']));
    expect(outputs.map((output) => output.name)).toEqual(['probabilities', 'label']);
    await engine.unload();
    expect((await failureOf(engine.infer(call([x])))).code).toBe('not_ready');
  });

  it.each([
    ['digits.onnx', true],
    ['add.onnx', true],
    ['slow.onnx', false],
  ])('says of %s whether it declares a batch', async (name, batchable) => {
    const { loaded } = await withModel(name, async () => {});
    expect(loaded.batchable).toBe(batchable);
  });

  it('calls a failure of the model its own, and goes on', async () => {
    await withModel('gather.onnx', async (infer) => {
      const index = (...values: bigint[]) => makeTensor('index', 'INT64', [values.length], BigInt64Array.from(values));
      const error = await failureOf(infer(index(9n)));
      expect([error.code, error.message]).toEqual(['internal', expect.stringContaining('out of')]);
      expect((await infer(index(1n)))[0]?.data).toEqual(new Float32Array([2, 3]));
    });
  });

  it('calls inputs that the model does not take the mistake of who sent them', async () => {
    await withModel('slow.onnx', async (infer) => {
      const error = await failureOf(infer(makeTensor('steps', 'INT64', [3], new BigInt64Array(3))));
      expect([error.code, error.message]).toEqual(['internal', expect.stringContaining('the model failed')]);
    });
    await withModel('digits.onnx', async (infer) => {
      const error = await failureOf(infer(fp32('X', [64], new Array(64).fill(0))));
      expect([error.code, error.message]).toEqual(['invalid', expect.stringContaining('Invalid rank for input: X')]);
    });
  });

  it('leaves the thread to others while a slow model computes', async () => {
    await withModel('slow.onnx', async (infer) => {
      for (let run = 0; run < 4; run++) {
        let turns = 0;
        const turn = setInterval(() => turns++, 0);
        await infer(makeTensor('steps', 'INT64', [], BigInt64Array.of(1000n)));
        clearInterval(turn);
        expect(turns).toBeGreaterThan(1);
      }
    });
  });

  it('computes several at the same time with one copy of the weights', async () => {
    const run = async (infer: (...inputs: Tensor[]) => Promise<Tensor[]>) => {
      const ended: number[] = [];
      const steps = (count: bigint) =>
        infer(makeTensor('steps', 'INT64', [], BigInt64Array.of(count))).then(() => ended.push(Number(count)));
      await Promise.all([steps(4000n), steps(1n)]);
      return ended;
    };
    const { loaded, result } = await withModel('slow.onnx', run, { instances: 2 });
    expect([loaded.lanes, result]).toEqual([2, [1, 4000]]);
  });

  it('computes no more at the same time than it has lanes', async () => {
    const order = await withModel('slow.onnx', async (infer) => {
      const ended: number[] = [];
      const steps = (count: bigint) =>
        infer(makeTensor('steps', 'INT64', [], BigInt64Array.of(count))).then(() => ended.push(Number(count)));
      await Promise.all([steps(500n), steps(1n), steps(400n), steps(2n)]);
      return ended;
    });
    expect(order.result).toEqual([500, 1, 400, 2]);
  });

  it('does as its options say', async () => {
    const options = {
      freeDimensionOverrides: { batch: 2 },
      executionMode: 'parallel',
      interOpNumThreads: 2,
      enableCpuMemArena: false,
      enableMemPattern: false,
      extra: { session: { intra_op: { allow_spinning: '0' } } },
    };
    const { loaded } = await withModel(
      'digits.onnx',
      async (infer) => {
        expect((await infer(fp32('X', [2, 64], new Array(128).fill(0))))[0]?.shape).toEqual([2]);
      },
      options,
    );
    expect(loaded.signature.inputs[0]?.shape).toEqual([2, 64]);
    expect(loaded.batchable).toBe(false);
  });

  it('computes on the CPU where nothing else is to be had, and says so', async () => {
    const { loaded } = await withModel('add.onnx', async () => {}, { executionProviders: ['coreml', 'cuda', 'cpu'] });
    expect(loaded.device).toBe('cpu');
    expect(loaded.notes.join('\n')).toMatch(
      /Core ML was wanted.*: computing on the CPU\.\nCUDA was wanted.*: computing/,
    );
  });

  const none: EngineOptions = {};
  it.each([
    ['a corrupt file', 'corrupt.onnx', none, 'invalid', 'cannot load the model'],
    ['no file', 'nothing.onnx', none, 'not_found', 'there is no model at'],
    ['a folder of several models', '.', none, 'invalid', 'none is model.onnx'],
    [
      'maps as output',
      'zipmap.onnx',
      none,
      'unsupported',
      'output "output_probability" has the type sequence(map(int64,tensor(float))), which the protocol cannot carry',
    ],
    ['less than no thread', 'add.onnx', { intraOpNumThreads: -1 }, 'invalid', 'intraOpNumThreads is -1'],
    [
      'onto a GPU of another kind',
      'add.onnx',
      { device: 'gpu', executionProviders: ['coreml'] },
      'unsupported',
      'Core ML',
    ],
    ['an unknown level', 'add.onnx', { graphOptimizationLevel: 'x' }, 'invalid', 'expected one of disabled, basic'],
  ])('does not load %s', async (_reason, name, options, code, message) => {
    const error = await failureOf(onnx.create({}).load({ path: at(name) }, options));
    expect(error.code).toBe(code);
    expect(error.message).toContain(message);
  });

  const sequence: OnnxType = { kind: 'sequence', of: tensor(1) };
  it.each<[string, OnnxType]>([
    ['tensor(float8e4m3fn)', tensor(17, ['n'])],
    ['tensor(float8e5m2)', tensor(19, ['n'])],
    ['sequence(tensor(float))', sequence],
    ['optional(sequence(tensor(float)))', { kind: 'optional', of: sequence }],
  ])('does not load what takes a %s, and names it', async (text, type) => {
    const error = await failureOf(onnx.create({}).load({ path: write(identityModel(type, 19)) }, {}));
    expect([error.code, error.message]).toEqual([
      'unsupported',
      `input "x" has the type ${text}, which the protocol cannot carry`,
    ]);
  });

  it.each([
    ['complex64', identityModel(tensor(14, ['n'])), 'tensor(complex64) is not currently'],
    ['int4', identityModel(tensor(22, ['n']), 25), 'Could not find an implementation for Identity'],
    [
      'an operator of others',
      onnxModel({
        inputs: { x: tensor(1) },
        outputs: { y: tensor(1) },
        nodes: [{ op: 'Mine', domain: 'my.ops', inputs: ['x'], outputs: ['y'] }],
      }),
      'my.ops:Mine(-1) is not a registered function/op',
    ],
  ])('says that it does not know %s', async (_what, model, message) => {
    const error = await failureOf(onnx.create({}).load({ path: write(model) }, {}));
    expect([error.code, error.message]).toEqual(['unsupported', expect.stringContaining(message)]);
  });

  it.each([
    ['is not there', 'weights.bin', 'there is no file "weights.bin"'],
    ['is too short', 'short.bin', 'out of bounds'],
    ['lies elsewhere', '../weights.bin', 'escapes model directory'],
    ['is anybody’s file', '/etc/passwd', 'Absolute path not allowed'],
  ])('does not load a model whose external data %s', async (_what, location, message) => {
    writeFileSync(join(folder, 'short.bin'), Buffer.alloc(4));
    const data = { location, offset: 0, length: 8 };
    const model = onnxModel({
      inputs: { x: tensor(1, [2]) },
      outputs: { y: tensor(1, [2]) },
      nodes: [{ op: 'Add', inputs: ['x', 'w'], outputs: ['y'] }],
      initializers: [{ name: 'w', elementType: 1, shape: [2], data }],
    });
    const error = await failureOf(onnx.create({}).load({ path: write(model) }, {}));
    expect([error.code, error.message]).toEqual(['invalid', expect.stringContaining(message)]);
    expect(error.message).not.toContain(folder);
  });

  it('names the remedy for maps', async () => {
    const error = await failureOf(onnx.create({}).load({ path: at('zipmap.onnx') }, {}));
    expect(error.message).toContain('zipmap=False');
  });

  it('has a sample model of its own', async () => {
    await onnx.importLibrary({});
    const sample = onnx.createSample({});
    await sample.load({ path: 'nowhere' }, {});
    expect(await sample.infer(call([fp32('x', [1], [7])]))).toMatchObject([{ name: 'y', shape: [1] }]);
    await sample.unload();
  });
});
