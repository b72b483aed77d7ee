/** An instant query of Prometheus' HTTP API: what is asked, and what the answer means. Pure. */
import { z } from 'zod';
import { jsonOf, judgeValue, type Measurement } from './asked.js';
import type { MetricOf } from './plan.js';

/** Puts the rollout's names into a query. What is put in is escaped for a string of PromQL. */
export function fillQuery(
  query: string,
  names: {
    readonly candidate: number;
    readonly stable: number;
    readonly revision: number;
    readonly endpoint: string;
  },
): string {
  const values: Readonly<Record<string, string | number>> = { ...names };
  return query.replace(/\{\{\s*(candidate|stable|revision|endpoint)\s*\}\}/g, (_, name: string) =>
    String(values[name]).replace(/[\\"'`\n]/g, (character) => `\\${character}`),
  );
}

const sample = z.tuple([z.number(), z.string()]);
const answer = z.discriminatedUnion('status', [
  z.object({
    status: z.literal('success'),
    data: z.discriminatedUnion('resultType', [
      z.object({ resultType: z.literal('scalar'), result: sample }),
      z.object({ resultType: z.literal('vector'), result: z.array(z.object({ value: sample })) }),
    ]),
  }),
  z.object({ status: z.literal('error'), error: z.string().default('unknown') }),
]);

/** The one number of an answer; undefined for no data, and for NaN, which is what a rate of nothing is. Throws for anything else. */
export function readSample({ status, body }: { readonly status: number; readonly body: string }): number | undefined {
  const parsed = answer.safeParse(jsonOf(body));
  if (!parsed.success) throw new Error(`Prometheus answered ${status} with no vector and no scalar`);
  if (parsed.data.status === 'error') throw new Error(`Prometheus answered ${status}: ${parsed.data.error}`);
  const { data } = parsed.data;
  const samples = data.resultType === 'scalar' ? [data.result] : data.result.map(({ value }) => value);
  if (samples.length > 1) throw new Error(`the query gives ${samples.length} series, expected one: aggregate them`);
  const text = samples[0]?.[1];
  if (text === undefined) return undefined;
  const value = text === '+Inf' ? Number.POSITIVE_INFINITY : text === '-Inf' ? Number.NEGATIVE_INFINITY : Number(text);
  return Number.isNaN(value) ? undefined : value;
}

/** What the candidate's value, and the stable's where an increase is bounded, say. */
export function valueVerdict(
  metric: MetricOf<'prometheus'>,
  candidate: number | undefined,
  stable: number | undefined,
): Measurement {
  const own = metric.min === undefined && metric.max === undefined ? undefined : judgeValue(metric, candidate, 'it');
  if (metric.maxIncrease === undefined) return own ?? judgeValue({}, candidate, 'it');
  if (own && own.kind !== 'not_worse') return own;
  const increase = candidate === undefined || stable === undefined ? undefined : candidate - stable;
  return judgeValue({ max: metric.maxIncrease }, increase, `${candidate} less the stable's ${stable}`);
}
