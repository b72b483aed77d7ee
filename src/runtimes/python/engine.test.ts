import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { eventually } from '../../../tests/support/children.js';
import { modelFolder, pythonModel, pythonWithNumpy, removeModels } from '../../../tests/support/python-models.js';
import { randomTensor, seeded } from '../../../tests/support/random.js';
import { AppError } from '../../errors.js';
import { isRunning } from '../../platform/processes.js';
import { makeTensor, type Tensor } from '../../protocol/tensor.js';
import type { Engine, EngineOptions, InferCall } from '../engine.js';
import { python as kind } from './engine.js';

const { python, missing } = await pythonWithNumpy();
const engines: Engine[] = [];
afterEach(async () => {
  await Promise.all(engines.splice(0).map((engine) => engine.unload()));
});
afterAll(removeModels);

async function load(path: string, options: EngineOptions = {}) {
  const engine = kind.create({ python });
  engines.push(engine);
  return { engine, loaded: await engine.load({ path }, options) };
}

const call = (inputs: readonly Tensor[], outputs?: readonly string[]): InferCall => ({
  inputs,
  outputs,
  signature: undefined,
});
const text = (name: string, ...words: string[]) =>
  makeTensor(
    name,
    'BYTES',
    [words.length],
    words.map((word) => Buffer.from(word)),
  );
const fp32 = (name: string, shape: number[], ...data: number[]) =>
  makeTensor(name, 'FP32', shape, Float32Array.from(data));
const say = (engine: Engine, words: string) => engine.infer(call([text('do', words)]));
const number = (tensors: readonly Tensor[]) => Number(tensors[0]?.data[0]);

async function failureOf(work: Promise<unknown>): Promise<AppError> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(AppError);
  return error as AppError;
}

describe.skipIf(missing)('the Python engine', () => {
  it('serves a class that says what it takes and gives', async () => {
    const { engine, loaded } = await load(pythonModel('add'));
    const specs = ['a', 'b'].map((name) => ({ name, datatype: 'FP32', shape: [-1, 2] }));
    expect(loaded).toMatchObject({
      signature: { inputs: specs, outputs: [{ name: 'sum', datatype: 'FP32', shape: [-1, 2] }] },
      open: false,
      batchable: true,
      lanes: 1,
      device: 'cpu',
      notes: [expect.stringMatching(/^Python 3\.\d+\.\d+, numpy \d/)],
    });
    const inputs = [fp32('a', [2, 2], 1, 2, 3, 4), fp32('b', [2, 2], 10, 20, 30, 40)];
    expect(await engine.infer(call(inputs))).toEqual([fp32('sum', [2, 2], 11, 22, 33, 44)]);
    const [share] = (await engine.explain?.(call([fp32('a', [1, 2], 1, 1), fp32('b', [1, 2], 3, 1)]))) ?? [];
    expect(share).toEqual(fp32('share_of_a', [1, 2], 0.25, 0.5));
  });

  it('carries tensors of every datatype and shape to a model and back', async () => {
    const { engine, loaded } = await load(pythonModel('echo'));
    expect(loaded).toMatchObject({ signature: { inputs: [], outputs: [] }, open: true, batchable: false });
    const random = seeded(7);
    for (let round = 0; round < 200; round++) {
      const inputs = Array.from({ length: 1 + Math.floor(random() * 4) }, (_, at) =>
        randomTensor(random, `x${at}`, false),
      );
      // without ml_dtypes nobody in Python knows the type of these bits
      const expected = inputs.map((input) => (input.datatype === 'BF16' ? { ...input, datatype: 'UINT16' } : input));
      expect(await engine.infer(call(inputs))).toEqual(expected);
    }
  });

  it('carries tensors of many megabytes', async () => {
    const { engine } = await load(pythonModel('echo'));
    const large = makeTensor(
      'x',
      'FP64',
      [1 << 20, 3],
      Float64Array.from({ length: 3 << 20 }, (_, at) => at),
    );
    const [back] = await engine.infer(call([fp32('first', [1], 1), large], ['x']));
    expect(Buffer.compare(bytesOf(back), bytesOf(large))).toBe(0);
  });

  it('takes arrays, lists, scalars and dicts as answers, from async methods too', async () => {
    const { engine } = await load(pythonModel('moody'));
    expect(await say(engine, 'wait')).toEqual([makeTensor('output-0', 'FP64', [1], Float64Array.of(1))]);
    expect(await say(engine, 'twice')).toEqual([
      makeTensor('a', 'INT64', [2], BigInt64Array.of(1n, 2n)),
      makeTensor('b', 'BOOL', [2, 1], Uint8Array.of(1, 0)),
    ]);
    expect((await engine.infer(call([text('do', 'twice')], ['b']))).map(({ name }) => name)).toEqual(['b']);
  });

  it('gives numeric libraries the threads that the options say', async () => {
    const { engine } = await load(pythonModel('moody'), { intraOpNumThreads: 3 });
    expect(await say(engine, 'threads')).toEqual([text('output-0', '3')]);
  });

  it.each([
    ['refuse', 'invalid', 'the first word is not one of mine'],
    ['fail', 'internal', 'the model failed: ValueError: a bad day in model.py'],
    ['exit', 'internal', 'the model failed: SystemExit: 3'],
    ['missing', 'internal', 'output "output-0": element 1 is missing (None)'],
    ['ragged', 'internal', 'output "output-0" is no array'],
  ] as const)('tells the words of a model that does %s, and goes on', async (word, code, message) => {
    const { engine } = await load(pythonModel('moody'));
    const pid = number(await say(engine, 'pid'));
    const error = await failureOf(say(engine, word));
    expect([error.code, error.message]).toEqual([code, expect.stringContaining(message)]);
    expect(number(await say(engine, 'pid'))).toBe(pid);
  });

  it('refuses an output that the model does not give, and an explanation that it has none of', async () => {
    const { engine } = await load(pythonModel('moody'));
    const unknown = await failureOf(engine.infer(call([text('do', 'twice')], ['c'])));
    expect([unknown.code, unknown.message]).toEqual(['invalid', 'the model has no output "c"; it gave "a", "b"']);
    const unexplained = await failureOf(engine.explain?.(call([text('do', 'twice')])) ?? Promise.resolve());
    expect([unexplained.code, unexplained.message]).toEqual([
      'unsupported',
      expect.stringContaining('explains nothing'),
    ]);
  });

  it.each([
    ['die', 'exit code 7: last words'],
    ['crash', 'killed by SIGSEGV'],
  ])('fails the request of a process that does %s, and starts another', async (word, how) => {
    const { engine } = await load(pythonModel('moody'));
    const pid = number(await say(engine, 'pid'));
    const error = await failureOf(say(engine, word));
    expect([error.code, error.message]).toEqual(['upstream_failed', expect.stringContaining(how)]);
    expect(error.message).toContain("the model's process ended");
    expect(number(await say(engine, 'pid'))).not.toBe(pid);
  });

  it('refuses at once while the model does not load any more', async () => {
    const path = modelFolder({
      'model.py': `
import os
class Model:
    def load(self, path):
        if os.path.exists(os.path.join(path, 'once')):
            raise RuntimeError('not again')
        open(os.path.join(path, 'once'), 'w').close()
    def predict(self, inputs):
        os._exit(1)
`,
    });
    const { engine } = await load(path);
    expect((await failureOf(engine.infer(call([])))).code).toBe('upstream_failed');
    const error = await failureOf(engine.infer(call([])));
    expect([error.code, error.message]).toEqual(['not_ready', expect.stringContaining('RuntimeError: not again')]);
    expect(error.retryAfterSec).toBeGreaterThan(0);
  });

  it('asks idle workers, as many at once as there are', async () => {
    const { engine, loaded } = await load(pythonModel('moody'), { workers: 3 });
    expect(loaded.lanes).toBe(3);
    const pids = await Promise.all(Array.from({ length: 9 }, () => say(engine, 'sleep 0.05').then(number)));
    expect(new Set(pids).size).toBe(3);
  });

  it('ends a worker that takes longer than timeoutMs', async () => {
    const { engine } = await load(pythonModel('moody'), { timeoutMs: 2000 });
    const pid = number(await say(engine, 'pid'));
    const error = await failureOf(say(engine, 'sleep 600'));
    expect([error.code, error.message]).toEqual(['timeout', expect.stringContaining('within 2000 ms')]);
    expect(isRunning(pid)).toBe(false);
    expect(number(await say(engine, 'pid'))).not.toBe(pid);
  });

  it('ends its workers and what they started when it unloads', async () => {
    const { engine } = await load(pythonModel('moody'), { workers: 2 });
    const pids = [number(await say(engine, 'pid')), number(await say(engine, 'child'))];
    await engine.unload();
    await eventually(() => !pids.some(isRunning));
    expect((await failureOf(say(engine, 'pid'))).code).toBe('not_ready');
  });

  const specs = (inputs: string) => `class Model:
    signature = ${inputs}
    def predict(self, inputs): return inputs
`;
  it.each([
    ['a syntax error', 'def', 'SyntaxError: invalid syntax'],
    ['a module that is not there', 'import nowhere', "ModuleNotFoundError: No module named 'nowhere' (is it among"],
    ['no class', 'class Other: pass', 'AttributeError: model.py defines no class Model'],
    ['no predict', 'class Model: pass', 'has no method predict'],
    ['an exception at load', 'class Model:\n  predict = load = lambda self, x: 1 / 0', 'ZeroDivisionError'],
    ['an end at load', 'import sys\nsys.exit("no licence")', 'SystemExit: no licence'],
    ['a signature without outputs', specs('{"inputs": []}'), 'signature has no list "outputs"'],
    [
      'an unknown datatype',
      specs('{"inputs": [{"name": "x", "datatype": "float", "shape": [1]}], "outputs": []}'),
      'datatype of "x" is \'float\', expected one of BOOL',
    ],
    [
      'a batch that is none',
      `${specs('{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1]}], "outputs": []}')}    batchable = True`,
      'the shape of "x" does not begin with -1',
    ],
  ])('does not load a model with %s', async (_what, model, message) => {
    const error = await failureOf(load(modelFolder({ 'model.py': model })));
    expect([error.code, error.message]).toEqual(['invalid', expect.stringContaining(message)]);
    expect(error.message).toMatch(/^cannot load the model: /);
  });

  it('promises what the signature says: casts within a kind, refuses more', async () => {
    const model = (answer: string) => `class Model:
    signature = {"inputs": [], "outputs": [{"name": "y", "datatype": "FP32", "shape": [1]}]}
    def predict(self, inputs):
        return ${answer}
`;
    const { engine } = await load(modelFolder({ 'model.py': model('[0.5]') }));
    expect(await engine.infer(call([]))).toEqual([fp32('y', [1], 0.5)]);
    const { engine: texts } = await load(modelFolder({ 'model.py': model('["0.5"]') }));
    expect((await failureOf(texts.infer(call([])))).message).toContain('output "y" is <U3, its signature says FP32');
    const { engine: others } = await load(modelFolder({ 'model.py': model('{"z": [0.5]}') }));
    expect((await failureOf(others.infer(call([])))).message).toContain('gave no output "y", which its signature');
  });

  it('finds the modules and files beside the model', async () => {
    const { engine } = await load(
      modelFolder({
        'model.py': `
from parts.words import WORD
class Model:
    def load(self, path):
        self.text = open('data.txt').read() + open(path + '/data.txt').read()
    def predict(self, inputs):
        return {'text': [self.text + WORD]}
`,
        'parts/words.py': 'WORD = "!"',
        'data.txt': 'ab',
      }),
    );
    expect(await engine.infer(call([]))).toEqual([text('text', 'abab!')]);
  });

  const none: EngineOptions = {};
  it.each([
    ['no folder', '/nowhere', none, 'not_found', 'there is no model at "/nowhere"'],
    ['a folder of something else', pythonModel('.'), none, 'invalid', 'none of MLmodel, model.py, model.joblib'],
    ['no such interpreter', pythonModel('echo'), { python: 'no-python' }, 'upstream_failed', 'could not be started'],
    ['no worker', pythonModel('echo'), { workers: 0 }, 'invalid', 'option workers is 0, expected an integer from 1'],
    ['no thread', pythonModel('echo'), { intraOpNumThreads: 0.5 }, 'invalid', 'option intraOpNumThreads is 0.5'],
    ['no time', pythonModel('echo'), { timeoutMs: '1s' }, 'invalid', 'option timeoutMs is "1s"'],
  ])('does not load %s', async (_what, path, options, code, message) => {
    const error = await failureOf(load(path, options));
    expect([error.code, error.message]).toEqual([code, expect.stringContaining(message)]);
  });
});

function bytesOf(tensor: Tensor | undefined): Buffer {
  if (!tensor || tensor.datatype === 'BYTES') return Buffer.alloc(0);
  return Buffer.from(tensor.data.buffer as ArrayBuffer, tensor.data.byteOffset, tensor.data.byteLength);
}
