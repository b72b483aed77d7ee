import { describe, expect, it } from 'vitest';
import type { Call, Forward } from '../inference/forward.js';
import { parseEvaluationSet, predictAll } from './evaluation-set.js';

const set = (document: unknown) => parseEvaluationSet('holdout', 'sha256:0', JSON.stringify(document));
const x = { name: 'x', datatype: 'FP32', shape: [3, 2], data: [1, 2, 3, 4, 5, 6] };

describe('parseEvaluationSet', () => {
  it('reads nested and flat data alike', () => {
    const nested = set({
      inputs: [
        {
          ...x,
          data: [
            [1, 2],
            [3, 4],
            [5, 6],
          ],
        },
      ],
      expected: { ...x, shape: [3], data: [[7], [8], [9]] },
    });
    expect(nested.inputs[0]?.data).toEqual(x.data);
    expect(nested).toMatchObject({ rows: 3, expected: { name: 'x', values: [7, 8, 9] } });
  });

  it.each([
    { why: 'no JSON', json: '{', says: 'not JSON' },
    { why: 'null', json: 'null', says: 'holdout' },
    { why: 'no inputs', json: '{"inputs":[]}', says: 'inputs' },
    {
      why: 'a shape that is no shape',
      json: '{"inputs":[{"name":"x","datatype":"FP32","shape":[-1],"data":[]}]}',
      says: 'shape',
    },
    {
      why: 'values missing',
      json: JSON.stringify({ inputs: [{ ...x, data: [1] }] }),
      says: '1 values for shape [3,2]',
    },
    { why: 'no rows', json: JSON.stringify({ inputs: [{ ...x, shape: [0, 2], data: [] }] }), says: 'no rows' },
    {
      why: 'inputs of different length',
      json: JSON.stringify({ inputs: [x, { ...x, name: 'z', shape: [2, 3] }] }),
      says: '"z" has 2 rows, the first one 3',
    },
    {
      why: 'too few expected',
      json: JSON.stringify({ inputs: [x], expected: { ...x, shape: [2], data: [1, 2] } }),
      says: 'expects 2 values for 3 rows',
    },
    {
      why: 'expected values that are none',
      json: JSON.stringify({ inputs: [x], expected: { ...x, shape: [3], data: [1, null, { a: 1 }] } }),
      says: 'expected',
    },
  ])('refuses $why', ({ json, says }) => {
    expect(() => parseEvaluationSet('holdout', 'sha256:0', json)).toThrowError(
      expect.objectContaining({ code: 'invalid', message: expect.stringContaining(says) }),
    );
  });

  it('takes labels that are booleans as what a model answers for them', () => {
    const { expected } = set({ inputs: [x], expected: { ...x, shape: [3], data: [true, false, true] } });
    expect(expected?.values.map(String)).toEqual(['true', 'false', 'true']);
  });
});

describe('predictAll', () => {
  const signal = new AbortController().signal;
  const rows = 600;
  const big = set({
    inputs: [
      { name: 'x', datatype: 'FP32', shape: [rows, 2], data: Array.from({ length: rows * 2 }, (_, at) => at) },
      { name: 'z', datatype: 'INT64', shape: [rows], data: Array.from({ length: rows }, (_, at) => -at) },
    ],
    expected: { name: 'sum', datatype: 'FP32', shape: [rows], data: new Array(rows).fill(0) },
  });

  type Tensor = { name: string; shape: number[]; data: number[] };
  const answering = (
    answer: (inputs: Tensor[]) => { status: number; body: unknown },
  ): { forward: Forward; calls: Call[] } => {
    const calls: Call[] = [];
    const forward: Forward = (call, handler) => {
      calls.push(call);
      const { inputs } = JSON.parse(call.body.toString('utf8')) as { inputs: Tensor[] };
      const { status, body } = answer(inputs);
      const text = typeof body === 'string' ? body : JSON.stringify(body);
      handler.onReply({ status, headers: {}, more: false, worked: true }, Buffer.from(text));
      return { cancel() {}, pause() {}, resume() {} };
    };
    return { forward, calls };
  };

  it('sends every row once, in order, in pieces', async () => {
    const { forward, calls } = answering(([first, second]) => {
      expect(first?.shape).toEqual([second?.shape[0], 2]);
      const data = second?.data.map((z, at) => z + (first?.data[at * 2] ?? 0));
      return {
        status: 200,
        body: {
          outputs: [
            { name: 'other', data: [] },
            { name: 'sum', data },
          ],
        },
      };
    });
    const { values, requestMs } = await predictAll(forward, big, 'sum', signal);
    expect(values).toEqual(Array.from({ length: rows }, (_, at) => at));
    expect(calls.length).toBe(requestMs.length);
    expect(calls.length).toBeGreaterThan(1);
  });

  it.each([
    { why: "the model's own words", answer: { status: 400, body: { error: 'shape' } }, says: 'shape' },
    { why: 'an error without words', answer: { status: 500, body: {} }, says: 'answered 500' },
    { why: 'an error that is no JSON', answer: { status: 502, body: '<html>' }, says: 'answered 502' },
    { why: 'another output', answer: { status: 200, body: { outputs: [{ name: 'y', data: [] }] } }, says: 'gives y' },
    {
      why: 'too few values',
      answer: { status: 200, body: { outputs: [{ name: 'sum', data: [1] }] } },
      says: '1 values',
    },
  ])('is invalid with $why', async ({ answer, says }) => {
    const { forward } = answering(() => answer);
    await expect(predictAll(forward, big, 'sum', signal)).rejects.toMatchObject({
      code: 'invalid',
      message: expect.stringContaining(says),
    });
  });

  it('stops between requests when it is told to', async () => {
    const stop = new AbortController();
    const { forward, calls } = answering((inputs) => {
      stop.abort(new Error('stop'));
      return { status: 200, body: { outputs: [{ name: 'sum', data: inputs[1]?.data }] } };
    });
    await expect(predictAll(forward, big, 'sum', stop.signal)).rejects.toThrow('stop');
    expect(calls.length).toBe(1);
  });
});
