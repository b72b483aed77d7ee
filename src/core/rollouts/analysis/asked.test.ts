import { describe, expect, it } from 'vitest';
import { judgeAsked, type Measured, type Measurement, NOT_MEASURED, withMeasurement } from './asked.js';
import { type AskedMetric, analysisSchema, type MetricOf, metricSchema } from './plan.js';
import { fillQuery, readSample, valueVerdict } from './prometheus.js';
import { readWebhookVerdict } from './webhook.js';

const prometheus = (given: object) =>
  metricSchema.parse({ kind: 'prometheus', query: 'up{revision="{{revision}}"}', ...given }) as MetricOf<'prometheus'>;

const GOOD: Measurement = { kind: 'not_worse', reason: 'good' };
const BAD: Measurement = { kind: 'worse', reason: 'bad' };
const NO_DATA: Measurement = { kind: 'unclear', reason: 'no data' };
const BROKEN: Measurement = { problem: 'refused' };

describe('judgeAsked', () => {
  it.each<{ why: string; came: Measurement[]; failureLimit: number; is: string; after?: number }>([
    { why: 'nothing yet', came: [], failureLimit: 0, is: 'unclear' },
    { why: 'good', came: [GOOD], failureLimit: 0, is: 'not_worse' },
    { why: 'no data never passes', came: [GOOD, NO_DATA], failureLimit: 0, is: 'unclear' },
    { why: 'bad once, none allowed', came: [GOOD, BAD], failureLimit: 0, is: 'worse' },
    { why: 'bad once, one allowed: it holds', came: [GOOD, BAD], failureLimit: 1, is: 'unclear' },
    { why: 'one more than allowed', came: [BAD, BAD], failureLimit: 1, is: 'worse' },
    { why: 'a good one between', came: [BAD, GOOD, BAD], failureLimit: 1, is: 'unclear' },
    { why: 'no data between makes nothing good', came: [BAD, NO_DATA, BAD], failureLimit: 1, is: 'worse' },
    { why: 'a failed try leaves the last answer', came: [GOOD, BROKEN], failureLimit: 0, is: 'not_worse' },
    { why: 'four of them, too', came: [GOOD, BROKEN, BROKEN, BROKEN, BROKEN], failureLimit: 0, is: 'not_worse' },
    { why: 'five do not', came: [GOOD, BROKEN, BROKEN, BROKEN, BROKEN, BROKEN], failureLimit: 0, is: 'unclear' },
    { why: 'only failed tries', came: [BROKEN], failureLimit: 0, is: 'unclear' },
    { why: 'an answer of long ago', came: [GOOD], failureLimit: 0, is: 'unclear', after: 300 },
  ])('$why: $is', ({ came, failureLimit, is, after = 1 }) => {
    const metric = metricSchema.parse({ kind: 'webhook', url: 'https://example.com/', failureLimit }) as AskedMetric;
    const measured = came.reduce<Measured>((before, one) => withMeasurement(before, one, 1000), NOT_MEASURED);
    const verdict = judgeAsked(metric, came.length === 0 ? undefined : measured, 1000 + after * 1000);
    expect(verdict.kind).toBe(is);
    expect(verdict.words).not.toBe('');
  });
});

describe('prometheus', () => {
  it('puts names in, escaped', () => {
    const names = { candidate: 3, stable: 2, revision: 3, endpoint: 'a"b' };
    expect(fillQuery('x{r="{{candidate}}",s="{{ stable }}",e="{{endpoint}}",o="{{other}}"}', names)).toBe(
      'x{r="3",s="2",e="a\\"b",o="{{other}}"}',
    );
  });

  const vector = (...values: string[]) => ({
    status: 'success',
    data: { resultType: 'vector', result: values.map((value) => ({ metric: {}, value: [1, value] })) },
  });
  it.each<{ why: string; body: unknown; is: number | undefined }>([
    { why: 'a vector of one', body: vector('0.25'), is: 0.25 },
    { why: 'a scalar', body: { status: 'success', data: { resultType: 'scalar', result: [1, '7'] } }, is: 7 },
    { why: 'no series', body: vector(), is: undefined },
    { why: 'NaN', body: vector('NaN'), is: undefined },
    { why: 'infinity', body: vector('+Inf'), is: Number.POSITIVE_INFINITY },
  ])('reads $why', ({ body, is }) => {
    expect(readSample({ status: 200, body: JSON.stringify(body) })).toBe(is);
  });

  it.each<{ body: string; says: string }>([
    { body: JSON.stringify(vector('1', '2')), says: '2 series' },
    { body: JSON.stringify({ status: 'error', error: 'parse error' }), says: 'parse error' },
    { body: '<html>', says: 'answered 200' },
    { body: JSON.stringify({ status: 'success', data: { resultType: 'matrix', result: [] } }), says: 'no vector' },
  ])('refuses $body', ({ body, says }) => {
    expect(() => readSample({ status: 200, body })).toThrow(says);
  });

  it.each<{ bounds: object; candidate: number | undefined; stable?: number; is: string }>([
    { bounds: { max: 1 }, candidate: 1, is: 'not_worse' },
    { bounds: { max: 1 }, candidate: 1.01, is: 'worse' },
    { bounds: { min: 1 }, candidate: 0.99, is: 'worse' },
    { bounds: { max: 1 }, candidate: undefined, is: 'unclear' },
    { bounds: { max: 1 }, candidate: Number.NaN, is: 'unclear' },
    { bounds: { max: 1 }, candidate: Number.POSITIVE_INFINITY, is: 'worse' },
    { bounds: { maxIncrease: 0.5 }, candidate: 2, stable: 1.5, is: 'not_worse' },
    { bounds: { maxIncrease: 0.5 }, candidate: 2.1, stable: 1.5, is: 'worse' },
    { bounds: { maxIncrease: 0.5 }, candidate: 2, is: 'unclear' },
    { bounds: { max: 1, maxIncrease: 5 }, candidate: 2, stable: 2, is: 'worse' },
  ])('$bounds with $candidate and $stable: $is', ({ bounds, candidate, stable, is }) => {
    expect(valueVerdict(prometheus(bounds), candidate, stable)).toMatchObject({ kind: is });
  });
});

describe('webhook', () => {
  it.each<{ status: number; body: string; is: object }>([
    { status: 200, body: '{"verdict":"worse","reason":"fewer sales"}', is: { kind: 'worse', reason: 'fewer sales' } },
    { status: 200, body: '{"verdict":"unclear"}', is: { kind: 'unclear' } },
    { status: 202, body: 'ok', is: { kind: 'not_worse' } },
    { status: 204, body: '', is: { problem: 'the webhook answered 204' } },
    { status: 301, body: '', is: { problem: 'the webhook answered 301' } },
    { status: 403, body: '{"verdict":"not_worse","reason":"no"}', is: { kind: 'worse', reason: 'no' } },
    { status: 429, body: '', is: { problem: 'the webhook answered 429' } },
    { status: 500, body: '{"verdict":"not_worse"}', is: { problem: 'the webhook answered 500' } },
  ])('$status $body', ({ status, body, is }) => {
    expect(readWebhookVerdict({ status, body })).toMatchObject(is);
  });
});

describe('analysisSchema', () => {
  it.each([
    { why: 'two of one name', metrics: [{ kind: 'errors' }, { kind: 'errors' }] },
    { why: 'none', metrics: [] },
    { why: 'a bound of nothing', metrics: [{ kind: 'prometheus', query: 'up' }] },
    { why: 'an increase of one value', metrics: [{ kind: 'prometheus', query: 'up', maxIncrease: 1 }] },
    { why: 'a password in a URL', metrics: [{ kind: 'webhook', url: 'https://a:b@example.com/' }] },
    { why: 'another scheme', metrics: [{ kind: 'webhook', url: 'file:///etc/passwd' }] },
    { why: 'an unknown kind', metrics: [{ kind: 'feelings' }] },
    { why: 'a quantile that no histogram can tell', metrics: [{ kind: 'latency', quantile: 0.999 }] },
  ])('refuses $why', ({ metrics }) => {
    expect(analysisSchema.safeParse({ metrics }).success).toBe(false);
  });

  it('compares errors and slow requests by default', () => {
    expect(analysisSchema.parse({}).metrics.map(({ kind }) => kind)).toEqual(['errors', 'latency']);
  });
});
