/**
 * What an endpoint does when a replica, or a revision, does not answer: try again, leave a replica out, ask two at once,
 * go to another revision. The schema validates the API and the YAML; an endpoint that says nothing has the defaults.
 */
import { z } from 'zod';
import { NAME } from '../training/spec.js';

const retrySchema = z
  .object({
    budgetPercent: z
      .number()
      .min(0)
      .max(100)
      .default(20)
      .describe('Most further attempts at once, in percent of the requests that are under way.'),
    minConcurrent: z
      .number()
      .int()
      .min(0)
      .max(1000)
      .default(3)
      .describe('So many further attempts at once are allowed however few requests are under way.'),
    maxAttempts: z
      .number()
      .int()
      .min(1)
      .max(10)
      .default(3)
      .describe('Most attempts of one request; 1 tries nothing again.'),
  })
  .strict();

const outliersSchema = z
  .object({
    consecutiveFailures: z
      .number()
      .int()
      .min(0)
      .max(1000)
      .default(5)
      .describe('Failures in a row after which a replica is left out for a while; 0 leaves none out.'),
    ejectionSec: z
      .number()
      .min(0.1)
      .max(3600)
      .default(30)
      .describe('How long it is left out, in seconds, times how often it was of late.'),
    maxEjectionSec: z.number().min(0.1).max(86_400).default(300).describe('Never longer than this, in seconds.'),
    maxEjectionPercent: z
      .number()
      .min(0)
      .max(100)
      .default(50)
      .describe("Most of a revision's replicas that are left out at once, in percent: at least one, never the last."),
  })
  .strict();

const hedgeSchema = z
  .object({
    afterMs: z
      .number()
      .min(1)
      .max(600_000)
      .optional()
      .describe('A second replica is asked when no answer began after so many milliseconds.'),
    afterQuantile: z
      .number()
      .min(0.5)
      .max(0.999)
      .optional()
      .describe('Or after the time within which this share of the last answers came.'),
    maxPercent: z
      .number()
      .min(0)
      .max(100)
      .default(10)
      .describe('Most second attempts at once, in percent of the requests that are under way; one is always allowed.'),
  })
  .strict()
  .refine((hedge) => (hedge.afterMs === undefined) !== (hedge.afterQuantile === undefined), {
    message: 'needs afterMs or afterQuantile, and not both',
    path: ['afterMs'],
  });

const fallbackSchema = z.union([
  z.literal('stable').describe('The target with the tag "stable".'),
  z.literal('none').describe('What fails is answered with its failure.'),
  z.object({ revision: z.number().int().min(1) }).strict(),
  z.object({ tag: NAME }).strict(),
]);

export const resilienceSchema = z
  .object({
    retry: retrySchema.prefault({}).describe('When a replica goes away with a request.'),
    outliers: outliersSchema.prefault({}).describe('Leaves replicas out that only fail.'),
    hedge: hedgeSchema.optional().describe('Asks a second replica when the first is slow; absent: never.'),
    fallback: fallbackSchema
      .default('stable')
      .describe(
        'Where a request goes that its revision cannot serve. Requests that name a revision or a tag stay there.',
      ),
  })
  .strict();

export type Resilience = z.infer<typeof resilienceSchema>;
export type RetrySettings = Resilience['retry'];
export type OutlierSettings = Resilience['outliers'];
export type HedgeSettings = NonNullable<Resilience['hedge']>;

export const RESILIENCE_DEFAULTS: Resilience = Object.freeze(resilienceSchema.parse({}));

interface Target<R> {
  readonly revision: R;
  readonly tag: string | undefined;
}

/** Where requests go that their own revision cannot serve; undefined where there is nothing else. */
export function fallbackOf<R>(
  { fallback }: Resilience,
  targets: readonly Target<R>[],
  revisions: ReadonlyMap<number, R>,
): R | undefined {
  if (fallback === 'none') return undefined;
  if (typeof fallback === 'object' && 'revision' in fallback) return revisions.get(fallback.revision);
  const tag = typeof fallback === 'object' ? fallback.tag : fallback;
  return targets.find((target) => target.tag === tag)?.revision;
}
