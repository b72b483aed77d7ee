import { describe, expect, it } from 'vitest';
import { AppError } from '../../errors.js';
import type { TensorSpec } from '../signature.js';
import type { Tensor } from '../tensor.js';
import { v1, v1Explain } from './v1.js';

const X: TensorSpec = { name: 'x', datatype: 'FP32', shape: [-1, 2] };
const TEXT: TensorSpec = { name: 'text', datatype: 'BYTES', shape: [-1] };
const ID: TensorSpec = { name: 'id', datatype: 'INT64', shape: [-1, 1] };

function read(body: string, ...inputs: TensorSpec[]) {
  return v1.read({ headers: {}, body: Buffer.from(body) }, { signature: { inputs, outputs: [] } });
}

function tensors(body: string, ...inputs: TensorSpec[]) {
  return read(body, ...inputs).inputs.map(({ name, shape, datatype, data }) => ({
    name,
    shape,
    datatype,
    data: datatype === 'BYTES' ? data.map(String) : [...(data as Iterable<unknown>)],
  }));
}

function failure(body: string, ...inputs: TensorSpec[]): string {
  try {
    read(body, ...inputs);
  } catch (error) {
    expect(error).toBeInstanceOf(AppError);
    expect((error as AppError).code).toBe('invalid');
    return (error as AppError).message;
  }
  throw new Error('it was read');
}

function print(body: string, inputs: TensorSpec[], outputs: Tensor[], codec = v1): unknown {
  const asked = codec.read({ headers: {}, body: Buffer.from(body) }, { signature: { inputs, outputs: [] } });
  const answer = codec.print(asked, { modelName: 'm', modelVersion: undefined, id: undefined, outputs });
  return JSON.parse(answer.body.toString());
}

describe('reading', () => {
  it('takes rows of the only input', () => {
    expect(tensors('{"instances": [[1, 2], [3, 4.5], [5, 6]]}', X)).toEqual([
      { name: 'x', shape: [3, 2], datatype: 'FP32', data: [1, 2, 3, 4.5, 5, 6] },
    ]);
  });

  it('takes rows that name their inputs, in any order', () => {
    const body = '{"instances": [{"x": [1, 2], "text": "a"}, {"text": "b", "x": [3, 4]}]}';
    expect(tensors(body, X, TEXT)).toEqual([
      { name: 'x', shape: [2, 2], datatype: 'FP32', data: [1, 2, 3, 4] },
      { name: 'text', shape: [2], datatype: 'BYTES', data: ['a', 'b'] },
    ]);
  });

  it('takes columns, named and not', () => {
    const both = [
      { name: 'x', shape: [1, 2], datatype: 'FP32', data: [1, 2] },
      { name: 'text', shape: [1], datatype: 'BYTES', data: ['a'] },
    ];
    expect(tensors('{"inputs": {"x": [[1, 2]], "text": ["a"]}}', X, TEXT)).toEqual(both);
    expect(tensors('{"inputs": [[1, 2]]}', X)).toEqual(both.slice(0, 1));
    expect(tensors('{"inputs": 7}', { ...X, shape: [] })).toEqual([
      { name: 'x', shape: [], datatype: 'FP32', data: [7] },
    ]);
  });

  it('takes base64 for bytes, alone and in rows', () => {
    const b64 = Buffer.from([0xff, 0xd8]).toString('base64');
    const [tensor] = read(`{"instances": [{"b64": "${b64}"}, {"b64": "${b64}"}]}`, TEXT).inputs;
    expect(tensor?.data).toEqual([Buffer.from([0xff, 0xd8]), Buffer.from([0xff, 0xd8])]);
    const [named] = read(`{"instances": [{"text": {"b64": "${b64}"}}]}`, TEXT).inputs;
    expect(named?.data).toEqual([Buffer.from([0xff, 0xd8])]);
    expect(failure('{"instances": [{"b64": "*"}]}', TEXT)).toContain('"text"');
  });

  it('adds a last dimension of 1 where rows are numbers, and keeps all digits of large ones', () => {
    expect(tensors('{"instances": [9007199254740993, -1]}', ID)).toEqual([
      { name: 'id', shape: [2, 1], datatype: 'INT64', data: [9007199254740993n, -1n] },
    ]);
  });

  it('reads what a model says nothing of by its elements', () => {
    expect(tensors('{"instances": [[1, 2]]}')).toMatchObject([{ name: 'input-0', datatype: 'INT64' }]);
    expect(tensors('{"instances": [[1, 2.5]]}')).toMatchObject([{ datatype: 'FP64', data: [1, 2.5] }]);
    expect(tensors('{"inputs": {"a": ["x"], "b": [true]}}')).toMatchObject([
      { name: 'a', datatype: 'BYTES' },
      { name: 'b', datatype: 'BOOL', data: [1] },
    ]);
  });

  it('takes no rows', () => {
    expect(tensors('{"instances": []}', TEXT)).toEqual([{ name: 'text', shape: [0], datatype: 'BYTES', data: [] }]);
  });

  it("passes the signature's name on", () => {
    const named = { inputs: [TEXT], outputs: [] };
    const asked = v1.read(
      { headers: {}, body: Buffer.from('{"instances": ["a"], "signature_name": "words"}') },
      { signature: { inputs: [X], outputs: [] }, signatures: new Map([['words', named]]) },
    );
    expect(asked.parameters).toEqual({ signature_name: 'words' });
    expect(asked.inputs[0]?.name).toBe('text');
  });

  it.each([
    ['{"instances": [[1], [2, 3]]}', 'ragged'],
    ['{"instances": [{"x": [1, 2]}, {}]}', 'instances[1] has no value for input "x"'],
    ['{"instances": [{}, {"x": [1, 2]}]}', 'instances[0] has no value for input "x"'],
    ['{"instances": [{"x": [1, 2]}, 3]}', 'instances[1] is not an object'],
    ['{"instances": [{"y": 1}]}', 'no input "y"; it takes "x"'],
    ['{"instances": 3}', '"instances" is not an array'],
    ['{"instances": [[1]], "inputs": []}', 'expected one'],
    ['{"instances": [["a", 2]]}', 'element 0 is "a"'],
    ['{"instances": [[1, 2]], "signature_name": 3}', 'expected a string'],
    ['{"instances": [[1, 2]', 'not JSON'],
    ['{"instances": [[1, 2]]} x', 'not JSON'],
    ['[]', 'not a JSON object'],
    ['{}', 'neither'],
  ])('refuses %s', (body, words) => {
    expect(failure(body, X)).toContain(words);
  });

  it('refuses values without names where there are several inputs', () => {
    expect(failure('{"instances": [1]}', X, TEXT)).toContain('takes "x", "text"');
  });
});

describe('printing', () => {
  const Y: Tensor = { name: 'y', datatype: 'FP32', shape: [2, 2], data: Float32Array.of(0.1, 2, Number.NaN, 4) };
  const WORD: Tensor = { name: 'word', datatype: 'BYTES', shape: [2], data: [Buffer.from('é'), Buffer.from([0xff])] };

  it('prints rows of one output without its name, and of several with theirs', () => {
    const [row, numbers] = ['{"instances": [[1, 2], [3, 4]]}', { ...Y, data: Float32Array.of(0.1, 2, 3, 4) }] as const;
    expect(print(row, [X], [numbers])).toEqual({
      predictions: [
        [0.1, 2],
        [3, 4],
      ],
    });
    expect(print(row, [X], [Y, WORD])).toEqual({
      predictions: [
        { y: [0.1, 2], word: 'é' },
        { y: [null, 4], word: { b64: '/w==' } },
      ],
      non_finite_as_null: 1,
    });
  });

  it('prints columns', () => {
    expect(print('{"inputs": [[1, 2]]}', [X], [WORD])).toEqual({ outputs: ['é', { b64: '/w==' }] });
    expect(print('{"inputs": [[1, 2]]}', [X], [{ ...Y, data: Float32Array.of(1, 2, 3, 4) }, WORD])).toEqual({
      outputs: {
        y: [
          [1, 2],
          [3, 4],
        ],
        word: ['é', { b64: '/w==' }],
      },
    });
  });

  it('says that outputs which are not one value a row need the column form', () => {
    const scalar: Tensor = { name: 'sum', datatype: 'FP32', shape: [], data: Float32Array.of(1) };
    expect(() => print('{"instances": [[1, 2]]}', [X], [scalar])).toThrow('"sum" has shape []');
    expect(print('{"inputs": [[1, 2]]}', [X], [scalar])).toEqual({ outputs: 1 });
  });

  it('prints explanations', () => {
    const weights: Tensor = { name: 'w', datatype: 'FP64', shape: [1, 2], data: Float64Array.of(1, 2) };
    expect(print('{"instances": [[1, 2]]}', [X], [weights], v1Explain)).toEqual({
      predictions: [],
      explanations: [[1, 2]],
    });
  });
});
