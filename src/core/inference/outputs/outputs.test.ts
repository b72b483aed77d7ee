import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { quietLog } from '../../../../tests/support/quiet-log.js';
import { randomTensor, seeded } from '../../../../tests/support/random.js';
import type { InferCodec } from '../../../protocol/codecs/codec.js';
import { grpc } from '../../../protocol/codecs/grpc.js';
import { v1 } from '../../../protocol/codecs/v1.js';
import { v2 } from '../../../protocol/codecs/v2.js';
import { makeTensor, type Tensor } from '../../../protocol/tensor.js';
import { Observations } from '../observations.js';
import type { RevisionRoute } from '../route.js';
import { kindsOf } from './answer-kinds.js';
import { bucketOfBytes, bucketOfElement, bucketOfFraction, bucketOfJson, bucketOfWhole } from './bucket.js';
import { outputsOf } from './compared.js';
import { OutputSampler } from './sampler.js';

describe('buckets', () => {
  it.each([
    { value: 0, is: 0 },
    { value: 47, is: 47 },
    { value: 48, is: 48 },
    { value: 1000, is: 49 },
    { value: 2 ** 40, is: 55 },
    { value: -1, is: 56 },
    { value: -20, is: 57 },
    { value: -(2 ** 60), is: 63 },
  ])('whole $value: $is', ({ value, is }) => {
    expect(bucketOfWhole(value)).toBe(is);
    expect(bucketOfWhole(BigInt(value))).toBe(is);
  });

  it.each([
    { value: 0, is: 0 },
    { value: 1, is: 16 },
    { value: 0.75, is: 15 },
    { value: 1e-30, is: 1 },
    { value: 1e30, is: 31 },
    { value: Number.POSITIVE_INFINITY, is: 31 },
    { value: -1, is: 47 },
    { value: Number.NEGATIVE_INFINITY, is: 62 },
    { value: Number.NaN, is: 63 },
  ])('fraction $value: $is', ({ value, is }) => {
    expect(bucketOfFraction(value)).toBe(is);
  });

  it('are one of 64 for every element of every tensor, and tell values apart', () => {
    const random = seeded(6);
    for (let round = 0; round < 500; round++) {
      const tensor = randomTensor(random, 't', false);
      for (let at = 0; at < tensor.data.length; at++) {
        const bucket = bucketOfElement(tensor, at);
        expect(Number.isInteger(bucket) && bucket >= 0 && bucket < 64, `${tensor.datatype} ${bucket}`).toBe(true);
      }
    }
    const words = Array.from({ length: 200 }, (_, at) => bucketOfBytes(Buffer.from(`word ${at}`)));
    expect(new Set(words).size).toBeGreaterThan(50);
  });

  it('of JSON are those of the tensor that it stands for', () => {
    expect(bucketOfJson(1, 'FP32')).toBe(bucketOfFraction(1));
    expect(bucketOfJson(1, 'INT64')).toBe(1);
    expect(bucketOfJson(true, 'BOOL')).toBe(1);
    expect(bucketOfJson(null, 'FP64')).toBe(bucketOfFraction(Number.NaN));
    expect(bucketOfJson('é', 'BYTES')).toBe(bucketOfBytes(Buffer.from('é')));
    expect(bucketOfJson({ b64: '/w==' }, 'BYTES')).toBe(bucketOfBytes(Buffer.from([0xff])));
    expect(bucketOfJson({}, undefined)).toBeUndefined();
    expect(bucketOfJson(undefined, undefined)).toBeUndefined();
  });
});

describe('kindsOf', () => {
  const label: Tensor = makeTensor('label', 'INT64', [3, 1], BigInt64Array.of(4n, 4n, 4n));
  const score: Tensor = makeTensor('score', 'FP32', [3, 2], Float32Array.of(0.3, 0.3, 0.3, 0.3, 0.3, 0.3));
  const word: Tensor = makeTensor(
    'word',
    'BYTES',
    [3],
    ['é', 'é', 'é'].map((text) => Buffer.from(text)),
  );
  const asked: Readonly<Record<string, { codec: InferCodec; body: string; headers?: Record<string, string> }>> = {
    'v2 JSON': { codec: v2, body: '{"inputs":[]}' },
    'v2 binary': { codec: v2, body: '{"inputs":[],"parameters":{"binary_data_output":true}}' },
    'v1 rows': { codec: v1, body: '{"instances":[]}' },
    'v1 columns': { codec: v1, body: '{"inputs":{}}' },
    gRPC: { codec: grpc, body: '' },
  };
  const expected = { label: 4, score: bucketOfFraction(0.3), word: bucketOfBytes(Buffer.from('é')) };

  for (const [name, { codec, body }] of Object.entries(asked)) {
    for (const outputs of [[label, score, word], [label], [score]]) {
      it(`reads ${name} with ${outputs.map((output) => output.name).join(', ')}`, () => {
        const signature = { inputs: [], outputs };
        const request = codec.read({ headers: {}, body: Buffer.from(body) }, { signature });
        const answer = codec.print(request, { modelName: 'm', modelVersion: '1', id: undefined, outputs });
        const wanted = { outputs: ['label', 'score', 'word', 'other'], signature, random: seeded(1) };
        const own = Object.fromEntries(outputs.map((output) => [output.name, expected[output.name as 'label']]));
        expect(Object.fromEntries(kindsOf(codec, answer, wanted))).toEqual(own);
      });
    }
  }

  it('takes one element of all by chance', () => {
    const random = seeded(2);
    const mixed = makeTensor('label', 'INT32', [4], Int32Array.of(0, 1, 2, 3));
    const signature = { inputs: [], outputs: [mixed] };
    const request = v2.read({ headers: {}, body: Buffer.from('{"inputs":[]}') }, { signature });
    const answer = v2.print(request, { modelName: 'm', modelVersion: '1', id: undefined, outputs: [mixed] });
    const seen = Array.from({ length: 200 }, () =>
      kindsOf(v2, answer, { outputs: ['label'], signature, random }).get('label'),
    );
    expect(new Set(seen).size).toBe(4);
  });
});

describe('OutputSampler', () => {
  const outputs = [makeTensor('label', 'INT32', [1], Int32Array.of(7))];
  const signature = { inputs: [], outputs };
  const revision = { endpointId: 'ep', number: 2, key: 'ep/2', signature } as unknown as RevisionRoute;
  const request = v2.read({ headers: {}, body: Buffer.from('{"inputs":[]}') }, { signature });
  const good = v2.print(request, { modelName: 'm', modelVersion: '1', id: undefined, outputs });

  /** Counts what is observed. */
  class Counting extends Observations {
    readonly seen: unknown[] = [];
    override observe(...observed: Parameters<Observations['observe']>): void {
      this.seen.push(observed);
      super.observe(...observed);
    }
  }

  it('counts later, at most so many in a second, and passes over what it cannot read', async () => {
    const observations = new Counting('gw');
    let now = 1000;
    const sampler = new OutputSampler(observations, quietLog, () => now);
    const take = (body: Buffer) => sampler.take({ revision, outputs: ['label'], codec: v2, headers: {}, body });
    take(Buffer.from('no answer'));
    take(good.body);
    take(Buffer.alloc(2 ** 20));
    expect(observations.seen).toEqual([]);
    for (let at = 0; at < 10; at++) await turn();
    expect(observations.seen).toEqual([
      [{ endpointId: 'ep', revision: 2, metric: 'output.label' }, { bucket: 7 }, 1000],
    ]);
    for (let at = 0; at < 500; at++) take(good.body);
    for (let at = 0; at < 600; at++) await turn();
    expect(observations.seen).toHaveLength(199);
    now = 2000;
    take(good.body);
    for (let at = 0; at < 10; at++) await turn();
    expect(observations.seen).toHaveLength(200);
  });
});

describe('outputsOf', () => {
  it('joins what is always counted and what a rollout compares', () => {
    expect(outputsOf(undefined, undefined)).toBeUndefined();
    expect(outputsOf([], [])).toBeUndefined();
    expect(outputsOf(['a'], ['a', 'b'])).toEqual(['a', 'b']);
  });
});
