import { describe, expect, it } from 'vitest';
import { makeTensor, type Tensor } from '../protocol/tensor.js';
import { checkInputs, checkOutputs } from './check.js';

const spec = (name: string) => ({ name, datatype: 'FP32' as const, shape: [-1, 2] });
const signature = { inputs: [spec('a'), spec('b')], outputs: [spec('sum')] };
const names = new Map([
  ['a', ['n', 2]],
  ['b', ['n', 2]],
]);
const fp32 = (name: string, shape: number[]): Tensor =>
  makeTensor(name, 'FP32', shape, new Float32Array(shape.reduce((product, size) => product * size, 1)));

describe('checkInputs', () => {
  it.each([
    ['an unknown input', [fp32('z', [1, 2])], 'the model has no input "z"; it takes "a", "b"'],
    ['a missing input', [fp32('a', [1, 2])], 'input "b" is missing'],
    ['another type', [makeTensor('a', 'FP64', [1, 2], new Float64Array(2))], 'input "a" is FP64, the model takes FP32'],
    ['another rank', [fp32('a', [2])], 'input "a" has shape [2], the model takes [-1,2]'],
    ['another width', [fp32('a', [1, 3])], 'input "a" has shape [1,3], the model takes [-1,2]'],
    [
      'batches that differ',
      [fp32('a', [1, 2]), fp32('b', [2, 2])],
      'differ in the dimension "n": shapes [1,2] and [2,2]',
    ],
  ])('refuses %s as the client’s mistake', (_reason, inputs, message) => {
    expect(() => checkInputs(signature, inputs, names)).toThrow(message);
  });

  it('takes what fits, in any order, and any batches where dimensions have no names', () => {
    expect(() => checkInputs(signature, [fp32('b', [3, 2]), fp32('a', [3, 2])], names)).not.toThrow();
    expect(() => checkInputs(signature, [fp32('b', [3, 2]), fp32('a', [1, 2])])).not.toThrow();
  });
});

describe('checkOutputs', () => {
  it('refuses an output that there is not', () => {
    expect(() => checkOutputs(signature, ['sum'])).not.toThrow();
    expect(() => checkOutputs(signature, ['sum', 'nothing'])).toThrow(
      'the model has no output "nothing"; it gives "sum"',
    );
  });
});
