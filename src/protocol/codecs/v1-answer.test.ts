import { describe, expect, it } from 'vitest';
import type { Signature } from '../signature.js';
import { readV1Answer } from './v1-answer.js';

const outputs = (...specs: [string, 'FP32' | 'INT64' | 'BYTES' | 'FP16'][]): Signature => ({
  inputs: [],
  outputs: specs.map(([name, datatype]) => ({ name, datatype, shape: [-1] })),
});
const read = (answer: unknown, signature: Signature = outputs()) =>
  readV1Answer(Buffer.from(JSON.stringify(answer)), signature).map(({ name, datatype, shape, data }) => [
    name,
    datatype,
    shape,
    [...data].map((value) => (Buffer.isBuffer(value) ? value.toString() : value)),
  ]);

describe('an answer of V1', () => {
  it.each<[string, unknown, Signature, unknown[]]>([
    ['one output by rows', { predictions: [[1, 2]] }, outputs(['y', 'FP32']), [['y', 'FP32', [1, 2], [1, 2]]]],
    ['one output by columns', { outputs: [[1], [2]] }, outputs(['y', 'INT64']), [['y', 'INT64', [2, 1], [1n, 2n]]]],
    [
      'several by rows',
      {
        predictions: [
          { a: 1, b: ['x'] },
          { a: 2, b: ['y'] },
        ],
      },
      outputs(['a', 'INT64'], ['b', 'BYTES']),
      [
        ['a', 'INT64', [2], [1n, 2n]],
        ['b', 'BYTES', [2, 1], ['x', 'y']],
      ],
    ],
    ['several by columns', { outputs: { a: [0.5] } }, outputs(), [['a', 'FP64', [1], [0.5]]]],
    ['bytes', { predictions: [{ b64: 'eA==' }, 'y'] }, outputs(['s', 'BYTES']), [['s', 'BYTES', [2], ['x', 'y']]]],
    ['halves', { predictions: [1] }, outputs(['h', 'FP16']), [['h', 'FP16', [1], [0x3c00]]]],
    ['no number', { predictions: [null, 1] }, outputs(), [['output', 'FP64', [2], [Number.NaN, 1]]]],
    ['what does not fit', { predictions: [1.5] }, outputs(['n', 'INT64']), [['n', 'FP64', [1], [1.5]]]],
    ['booleans', { predictions: [true, false] }, outputs(), [['output', 'BOOL', [2], [1, 0]]]],
    ['nothing', { predictions: [] }, outputs(), [['output', 'FP64', [0], []]]],
  ])('%s', (_, answer, signature, tensors) => {
    expect(read(answer, signature)).toEqual(tensors);
  });

  it.each<[string, unknown, string]>([
    ['no member', { answers: [1] }, 'neither "predictions" nor "outputs"'],
    ['no object', [1], 'no JSON object'],
    ['uneven', { predictions: [[1], [1, 2]] }, 'unevenly'],
    ['several kinds', { predictions: [1, 'a'] }, 'several kinds'],
  ])('refuses %s', (_, answer, words) => {
    expect(() => read(answer)).toThrow(words);
  });
});
