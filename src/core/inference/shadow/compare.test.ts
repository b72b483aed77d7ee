import { describe, expect, it } from 'vitest';
import { randomTensor, seeded } from '../../../../tests/support/random.js';
import { makeTensor, type Tensor } from '../../../protocol/tensor.js';
import { agree, compareOutputs } from './compare.js';
import { DEFAULT_SHADOW, shadowSchema } from './settings.js';

const fp32 = (name: string, ...values: number[]) =>
  makeTensor(name, 'FP32', [values.length], Float32Array.from(values));
const int64 = (name: string, ...values: number[]) =>
  makeTensor(name, 'INT64', [values.length], BigInt64Array.from(values, BigInt));
const text = (name: string, ...values: string[]) =>
  makeTensor(
    name,
    'BYTES',
    [values.length],
    values.map((value) => Buffer.from(value)),
  );
const half = (name: string, ...bits: number[]) => makeTensor(name, 'FP16', [bits.length], Uint16Array.from(bits));

describe('the outputs of two answers', () => {
  it.each<[string, Tensor[], Tensor[], object, object[]]>([
    ['equal ones', [fp32('y', 1, 2)], [fp32('y', 1, 2)], {}, []],
    ['within the tolerance', [fp32('y', 1000)], [fp32('y', 1000.9)], {}, []],
    ['beyond it', [fp32('y', 1, 1000)], [fp32('y', 1, 1001.1)], {}, [{ output: 'y', what: 'value', index: 1 }]],
    ['near zero, the absolute one', [fp32('y', 0)], [fp32('y', 9e-6)], {}, []],
    ['not a number on both sides', [fp32('y', Number.NaN)], [fp32('y', Number.NaN)], {}, []],
    ['not a number on one', [fp32('y', Number.NaN)], [fp32('y', 1)], {}, [{ what: 'value', real: 'NaN', shadow: '1' }]],
    ['infinities', [fp32('y', Infinity)], [fp32('y', Infinity)], {}, []],
    ['opposite infinities', [fp32('y', Infinity)], [fp32('y', -Infinity)], {}, [{ what: 'value' }]],
    ['integers, exactly', [int64('n', 1e6)], [int64('n', 1e6 + 1)], {}, [{ real: '1000000', shadow: '1000001' }]],
    [
      'integers with a tolerance of their own',
      [int64('n', 10)],
      [int64('n', 11)],
      { outputs: { n: { absoluteTolerance: 1 } } },
      [],
    ],
    ['halves', [half('h', 0x3c00)], [half('h', 0x3c01)], {}, []],
    ['halves further apart', [half('h', 0x3c00)], [half('h', 0x4000)], {}, [{ real: '1', shadow: '2' }]],
    ['text', [text('s', 'a', 'b')], [text('s', 'a', 'c')], {}, [{ index: 1, real: 'b', shadow: 'c' }]],
    ['another order', [fp32('a', 1), fp32('b', 2)], [fp32('b', 2), fp32('a', 1)], {}, []],
    ['another shape', [fp32('y', 1, 2)], [fp32('y', 1)], {}, [{ what: 'shape', real: '[2]', shadow: '[1]' }]],
    ['another type', [fp32('y', 1)], [int64('y', 1)], {}, [{ what: 'datatype', real: 'FP32', shadow: 'INT64' }]],
    ['one too few', [fp32('a', 1), fp32('b', 1)], [fp32('a', 1)], {}, [{ output: 'b', what: 'missing' }]],
    ['one too many', [fp32('a', 1)], [fp32('a', 1), fp32('b', 1)], {}, [{ output: 'b', what: 'missing' }]],
    [
      'what is ignored',
      [fp32('a', 1), fp32('b', 1)],
      [fp32('a', 1), fp32('b', 9), fp32('c', 1)],
      { outputs: { b: { ignore: true }, c: { ignore: true } } },
      [],
    ],
    ['a name of every object', [fp32('constructor', 1)], [fp32('constructor', 2)], {}, [{ output: 'constructor' }]],
    ['nothing at all', [], [], {}, []],
  ])('%s', (_, real, shadow, settings, differences) => {
    const found = compareOutputs(real, shadow, shadowSchema.parse(settings)).differences;
    expect(found).toHaveLength(differences.length);
    expect(found).toMatchObject(differences);
  });

  it('tells the largest distance, within the tolerance or not', () => {
    const real = [fp32('a', 1, 5), int64('n', 3)];
    const shadow = [fp32('a', 1.5, 5), int64('n', 10)];
    expect(compareOutputs(real, shadow, DEFAULT_SHADOW).largest).toBe(7);
  });

  it('agree with themselves, and differ from what one element was changed in, for random tensors of every type', () => {
    const random = seeded(17);
    let changed = 0;
    for (let round = 0; round < 2000; round++) {
      const tensor = randomTensor(random, 'y', false);
      expect(compareOutputs([tensor], [tensor], DEFAULT_SHADOW)).toEqual({ differences: [], largest: 0 });
      if (tensor.data.length === 0) continue;
      const at = Math.floor(random() * tensor.data.length);
      const other = withAnother(tensor, at);
      const { differences } = compareOutputs([tensor], [other], DEFAULT_SHADOW);
      expect(differences).toMatchObject([{ output: 'y', what: 'value', index: at }]);
      changed++;
    }
    expect(changed).toBeGreaterThan(1000);
  });
});

/** The tensor with an element that is far from the one it has. */
function withAnother(tensor: Tensor, at: number): Tensor {
  const { name, datatype, shape } = tensor;
  const far: Record<string, unknown> = { FP16: 0x7e00, BF16: 0x7fc0, FP32: Number.NaN, FP64: Number.NaN };
  if (datatype === 'BYTES') {
    const data = [...(tensor.data as readonly Buffer[])];
    data[at] = Buffer.concat([data[at] as Buffer, Buffer.from('x')]);
    return makeTensor(name, datatype, shape, data);
  }
  const data = tensor.data.slice() as unknown as { [at: number]: unknown };
  const before = data[at];
  if (typeof before === 'bigint') data[at] = before ^ 1n;
  else if (!(datatype in far)) data[at] = Number(before) ^ 1;
  // what is not a number becomes one, and any other not a number
  else data[at] = isNaN16(datatype, Number(before)) ? 0 : far[datatype];
  return makeTensor(name, datatype, shape, data);
}

function isNaN16(datatype: string, value: number): boolean {
  if (datatype === 'FP16') return (value & 0x7c00) === 0x7c00 && (value & 0x3ff) !== 0;
  if (datatype === 'BF16') return (value & 0x7f80) === 0x7f80 && (value & 0x7f) !== 0;
  return Number.isNaN(value);
}

describe('two numbers', () => {
  it('agree the more, the larger the tolerance, and always where they are equal', () => {
    const random = seeded(3);
    for (let round = 0; round < 5000; round++) {
      const [a, b] = [(random() - 0.5) * 10 ** (random() * 20 - 10), (random() - 0.5) * 10 ** (random() * 20 - 10)];
      const [small, large] = [random() * 1e-3, random()].sort((x, y) => x - y) as [number, number];
      if (agree(a, b, { absolute: small, relative: small }))
        expect(agree(a, b, { absolute: large, relative: large })).toBe(true);
      expect(agree(a, a, { absolute: 0, relative: 0 })).toBe(true);
      expect(agree(a, b, { absolute: Math.abs(a - b), relative: 0 })).toBe(true);
    }
  });
});
