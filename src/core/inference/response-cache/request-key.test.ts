import { describe, expect, it } from 'vitest';
import { readModelInferRequest, writeModelInferRequest } from '../../../protocol/grpc/infer-request.js';
import type { InferRequest } from '../../../protocol/infer.js';
import { makeTensor, type Tensor, tensorFromBytes } from '../../../protocol/tensor.js';
import { parseInferRequest } from '../../../protocol/v2-json.js';
import { requestKey } from './request-key.js';

const fp32 = (name: string, shape: number[], data: number[]): Tensor =>
  makeTensor(name, 'FP32', shape, Float32Array.from(data));
const strings = (name: string, ...items: string[]): Tensor =>
  makeTensor(
    name,
    'BYTES',
    [items.length],
    items.map((item) => Buffer.from(item)),
  );

const base: InferRequest = {
  id: 'one',
  parameters: {},
  inputs: [fp32('x', [2, 2], [1, 2, 3, 4])],
  outputs: undefined,
};
const key = (changes: Partial<InferRequest> = {}) => requestKey({ ...base, ...changes });

describe('the key of a request', () => {
  it('is short, the same for equal requests, whatever their id and the way their answers go back', () => {
    expect(key()).toMatch(/^[\w-]{43}$/);
    expect(key({ id: 'two', inputs: [fp32('x', [2, 2], [1, 2, 3, 4])] })).toBe(key());
    expect(key({ parameters: { binary_data_output: true } })).toBe(key());
    const asked = (parameters: object) => key({ outputs: [{ name: 'y', parameters: { ...parameters } }] });
    expect(asked({ binary_data: true })).toBe(asked({}));
    expect(key({ parameters: { a: 1, b: { c: 1, d: 2 } } })).toBe(key({ parameters: { b: { d: 2, c: 1 }, a: 1 } }));
    expect(key({ parameters: { a: undefined } })).toBe(key());
  });

  it('differs for different requests', () => {
    const others: Partial<InferRequest>[] = [
      {},
      { inputs: [fp32('y', [2, 2], [1, 2, 3, 4])] },
      { inputs: [fp32('x', [4], [1, 2, 3, 4])] },
      { inputs: [fp32('x', [4, 1], [1, 2, 3, 4])] },
      { inputs: [fp32('x', [2, 2], [1, 2, 3, 5])] },
      { inputs: [fp32('x', [2, 2], [1, 2, 3, -0])] },
      { inputs: [fp32('x', [2, 2], [1, 2, 3, 0])] },
      { inputs: [makeTensor('x', 'INT32', [2, 2], Int32Array.from([1, 2, 3, 4]))] },
      { inputs: [makeTensor('x', 'UINT32', [2, 2], Uint32Array.from([1, 2, 3, 4]))] },
      { inputs: [] },
      { inputs: [fp32('x', [2, 2], [1, 2, 3, 4]), fp32('y', [1], [1])] },
      { inputs: [fp32('y', [1], [1]), fp32('x', [2, 2], [1, 2, 3, 4])] },
      { inputs: [strings('x', 'ab', 'c')] },
      { inputs: [strings('x', 'a', 'bc')] },
      { inputs: [strings('x', 'abc', '')] },
      { inputs: [strings('x', '', '')] },
      { inputs: [strings('x')] },
      { outputs: [] },
      { outputs: [{ name: 'y', parameters: {} }] },
      { outputs: [{ name: 'y', parameters: { top: 1 } }] },
      {
        outputs: [
          { name: 'y', parameters: {} },
          { name: 'z', parameters: {} },
        ],
      },
      {
        outputs: [
          { name: 'z', parameters: {} },
          { name: 'y', parameters: {} },
        ],
      },
      ...[1, '1', true, 1n, [1], ['1'], [], {}, { 1: 1 }, null, 'true', '', 1.5, Number.NaN].map((a) => ({
        parameters: { a },
      })),
      { parameters: { b: 1 } },
      { parameters: { a: 1, b: 1 } },
      { parameters: { a: [1, [2]] } },
      { parameters: { a: [[1], 2] } },
      { parameters: { ab: 'c' } },
      { parameters: { a: 'bc' } },
    ];
    const keys = others.map(key);
    expect(new Set(keys).size).toBe(others.length);
  });

  it('is none for a request that belongs to a sequence', () => {
    for (const name of ['sequence_id', 'sequence_start', 'sequence_end']) {
      expect(key({ parameters: { [name]: 1 } })).toBeUndefined();
    }
  });

  it('is the same for a request by JSON, with binary tensors and by gRPC', () => {
    const json = { inputs: [{ name: 'x', datatype: 'FP32', shape: [2, 2], data: [1, 2, 3, 4] }] };
    const parsed = parseInferRequest(Buffer.from(JSON.stringify({ id: 'a', parameters: { top: 3 }, ...json })));
    const head = Buffer.from(
      JSON.stringify({
        parameters: { top: 3, binary_data_output: true },
        inputs: [{ name: 'x', datatype: 'FP32', shape: [2, 2], parameters: { binary_data_size: 16 } }],
      }),
    );
    const bytes = Buffer.from(Float32Array.from([1, 2, 3, 4]).buffer);
    const binary = parseInferRequest(Buffer.concat([head, bytes]), { headerLength: head.length });
    const grpc = readModelInferRequest(
      Buffer.concat(writeModelInferRequest({ modelName: 'm', modelVersion: undefined }, parsed)),
    );
    const expected = key({ parameters: { top: 3 } });
    expect([parsed, binary, grpc].map(requestKey)).toEqual([expected, expected, expected]);
  });

  it('is the same whether it is made in one piece or in several', () => {
    const large = (fill: number) => [tensorFromBytes('x', 'UINT8', [200_000], Buffer.alloc(200_000, fill))];
    expect(key({ inputs: large(1) })).toBe(key({ inputs: large(1) }));
    expect(key({ inputs: large(1) })).not.toBe(key({ inputs: large(2) }));
    // at the border, and with names that need more room than there was
    const sizes = [65_400, 65_450, 65_500, 65_536, 70_000].map((size) =>
      key({ inputs: [tensorFromBytes('x', 'UINT8', [size], Buffer.alloc(size))] }),
    );
    expect(new Set(sizes).size).toBe(sizes.length);
    const name = 'ä'.repeat(100_000);
    expect(key({ parameters: { [name]: 1 } })).toBe(key({ parameters: { [name]: 1 } }));
    expect(key({ parameters: { [`${name}.`]: 1 } })).not.toBe(key({ parameters: { [name]: 1 } }));
  });
});
