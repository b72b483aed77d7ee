import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
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

async function withModel<T>(name: string, use: (infer: (...inputs: Tensor[]) => Promise<Tensor[]>) => Promise<T>) {
  const engine = onnx.create({});
  const loaded = await engine.load({ path: at(name) }, {});
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

  it('refuses strings that it would not carry unchanged', async () => {
    await withModel('identity-string.onnx', async (infer) => {
      const error = await failureOf(infer(makeTensor('x', 'BYTES', [1, 1], [Buffer.from([0xff])])));
      expect([error.code, error.message]).toEqual(['invalid', expect.stringContaining('element 0 is not UTF-8')]);
      const cut = await failureOf(infer(makeTensor('x', 'BYTES', [1, 1], [Buffer.from('a\0b')])));
      expect([cut.code, cut.message]).toEqual(['invalid', expect.stringContaining('element 0 holds a NUL byte')]);
    });
  });

  const none: EngineOptions = {};
  it.each([
    ['a corrupt file', 'corrupt.onnx', none, 'invalid', 'cannot load the model'],
    ['no file', 'nothing.onnx', none, 'not_found', 'there is no model at'],
    ['a folder of several models', '.', none, 'invalid', 'none is model.onnx'],
    ['maps as output', 'zipmap.onnx', none, 'unsupported', 'output "output_probability" is a sequence or a map'],
    ['no thread', 'add.onnx', { intraOpNumThreads: 0 }, 'invalid', 'intraOpNumThreads is 0'],
    ['an unknown level', 'add.onnx', { graphOptimizationLevel: 'x' }, 'invalid', 'expected one of disabled, basic'],
  ])('does not load %s', async (_reason, name, options, code, message) => {
    const error = await failureOf(onnx.create({}).load({ path: at(name) }, options));
    expect(error.code).toBe(code);
    expect(error.message).toContain(message);
  });

  it('names the remedy for maps', async () => {
    const error = await failureOf(onnx.create({}).load({ path: at('zipmap.onnx') }, {}));
    expect(error.message).toContain('zipmap=False');
  });

  it('has a sample model of its own', async () => {
    await onnx.importLibrary({});
    const sample = onnx.createSample();
    await sample.load({ path: 'nowhere' }, {});
    expect(await sample.infer(call([fp32('x', [1], [7])]))).toMatchObject([{ name: 'y', shape: [1] }]);
    await sample.unload();
  });
});
