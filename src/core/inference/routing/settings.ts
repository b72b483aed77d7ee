/** How an endpoint chooses among its revisions, beside the weights: what keeps a client at one, and rules that go first. */
import { z } from 'zod';
import { NAME } from '../../training/spec.js';
import { compilePattern, PatternError } from './pattern.js';

export const headerNameSchema = z
  .string()
  .regex(/^[A-Za-z0-9-]{1,64}$/, 'must be a header name')
  .transform((name) => name.toLowerCase());

const cookieName = z.string().regex(/^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}$/, 'must be the name of a cookie');
const claimName = z.string().min(1).max(128);

export const stickySchema = z
  .discriminatedUnion('by', [
    z.object({ by: z.literal('header'), name: headerNameSchema.describe('Name of the header.') }).strict(),
    z.object({ by: z.literal('cookie'), name: cookieName.describe('Name of the cookie.') }).strict(),
    z.object({ by: z.literal('api_key') }).strict(),
    z
      .object({
        by: z.literal('claim'),
        name: claimName.describe('A claim of the JSON Web Token; dots go into objects, such as org.id.'),
      })
      .strict(),
  ])
  .describe(
    'What keeps a client at its revision while traffic moves; each value changes at most once while a share grows. ' +
      'Requests without it are spread by chance.',
  );

const text = z.string().max(1024);
export const matchSchema = z
  .union([
    z.object({ exact: z.union([text, z.array(text).min(1).max(64)]).describe('The value, or one of these.') }).strict(),
    z.object({ prefix: text.min(1).describe('What the value begins with.') }).strict(),
    z
      .object({
        regex: z
          .string()
          .max(256)
          .superRefine((pattern, context) => {
            const fault = faultOf(pattern);
            if (fault !== undefined) context.addIssue({ code: 'custom', message: `is not a pattern: ${fault}` });
          })
          .describe("Describes the whole value, in RE2's syntax; at most 1024 characters of it are looked at."),
      })
      .strict(),
  ])
  .describe('Exactly one of exact, prefix and regex.');

function faultOf(pattern: string): string | undefined {
  try {
    compilePattern(pattern);
    return undefined;
  } catch (error) {
    if (error instanceof PatternError) return error.message;
    throw error;
  }
}

const atMost16 = (record: object) => Object.keys(record).length <= 16;
const whenSchema = z
  .object({
    headers: z.record(headerNameSchema, matchSchema).refine(atMost16, 'at most 16').optional(),
    cookies: z.record(cookieName, matchSchema).refine(atMost16, 'at most 16').optional(),
    claims: z
      .record(claimName, matchSchema)
      .refine(atMost16, 'at most 16')
      .optional()
      .describe('Claims of the JSON Web Token by name or path; of a list, one entry has to match. Not verified.'),
    key: matchSchema.optional().describe("The name of the caller's key."),
    project: matchSchema
      .optional()
      .describe("The project of the endpoint, which is its callers': for one document that is applied to several."),
  })
  .strict()
  .refine((when) => Object.values(when).some((one) => one !== undefined && Object.keys(one).length > 0), {
    message: 'must name at least one condition; what holds for all requests is the traffic itself',
  });

const revision = z.number().int().min(1);
const toSchema = z
  .union([
    z.object({ revision: revision.describe('This revision, whatever its share.') }).strict(),
    z.object({ tag: NAME.describe('The target of this tag, while there is one.') }).strict(),
    z
      .object({
        targets: z
          .array(z.object({ revision, percent: z.number().min(0).max(100) }).strict())
          .min(1)
          .max(64)
          .refine(
            (targets) => Math.abs(targets.reduce((sum, { percent }) => sum + percent, 0) - 100) <= 1e-6,
            'percents must add up to 100',
          )
          .describe('A split of its own.'),
      })
      .strict(),
  ])
  .describe('Exactly one of revision, tag and targets.');

export const ruleSchema = z
  .object({
    name: NAME.optional().describe('How messages call it; else by its place, from 1.'),
    when: whenSchema.describe('All of it has to hold.'),
    to: toSchema,
  })
  .strict();

export const MAX_RULES = 32;

/** The settings of routing that this folder knows how to follow. */
export const choiceFields = {
  stickyHeader: headerNameSchema.optional().describe('Short for sticky: {by: header, name: …}.'),
  sticky: stickySchema.optional(),
  rules: z
    .array(ruleSchema)
    .max(MAX_RULES)
    .optional()
    .describe('Go before the weights; the first that holds decides. A rule whose revision is gone is passed over.'),
  claimsHeader: headerNameSchema
    .optional()
    .describe(
      'The header whose token the claims are read from; authorization when absent. Claims are not verified and decide ' +
        'about nothing but the revision.',
    ),
};

export type Sticky = z.infer<typeof stickySchema>;
export type Match = z.infer<typeof matchSchema>;
export type RoutingRule = z.infer<typeof ruleSchema>;

/** What of an endpoint's routing says how to choose. */
export interface ChoiceSettings {
  readonly stickyHeader?: string | undefined;
  readonly sticky?: Sticky | undefined;
  readonly rules?: readonly RoutingRule[] | undefined;
  readonly claimsHeader?: string | undefined;
}
