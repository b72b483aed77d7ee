/** What the routes share to describe themselves: bodies, answers, errors, and the document made of them. */
import { OpenAPIHono, z } from '@hono/zod-openapi';
import type { WorkState } from '../core/work-state.js';
import { AppError, type ErrorCode, WIRE } from '../errors.js';
import type { GatewayEnv } from './env.js';
import { describeIssues } from './issues.js';

/** A router whose requests are checked against their schemas; the first part that fails is told whole. */
export function newRouter(): OpenAPIHono<GatewayEnv> {
  return new OpenAPIHono<GatewayEnv>({
    defaultHook: (result) => {
      if (result.success) return;
      const problems = describeIssues(result.error.issues, 'data' in result ? result.data : undefined);
      throw new AppError('invalid', problems.join('; '), { details: { in: result.target, problems } });
    },
  });
}

const errorSchema = z
  .object({
    error: z.object({
      code: z.enum(Object.keys(WIRE) as [ErrorCode, ...ErrorCode[]]),
      message: z.string().describe('For people: names the field, the value and the bound.'),
      requestId: z.string(),
      details: z.record(z.string(), z.unknown()).optional().describe('The same facts for programs.'),
    }),
  })
  .openapi('Error');

const failure = (description: string) => ({ description, content: { 'application/json': { schema: errorSchema } } });

/** The errors that any call may be answered with. */
export const READ_ERRORS = {
  400: failure('The request is malformed; every problem is named.'),
  401: failure('No key, or one that is not live.'),
  403: failure('The key may not do this.'),
  404: failure('There is no such thing in this project.'),
  500: failure('A fault of the gateway; its log has it under the request id.'),
  503: failure('Something that it needs is away; Retry-After says when to try again.'),
  504: failure('It took too long.'),
} as const;

/** The errors of calls that change something. */
export const WRITE_ERRORS = {
  ...READ_ERRORS,
  409: failure('It is not in the state that this change needs.'),
  413: failure('The body is larger than allowed.'),
} as const;

/**
 * A schema of the domain as a component of the document. Copied, because only schemas made after this library was
 * loaded can be told their name, and which module comes first is the bundler's choice.
 */
export function component<S extends z.ZodType>(name: string, schema: S): S {
  return schema.clone().openapi(name);
}

/** A JSON answer. */
export function answer<S extends z.ZodType>(schema: S, description: string) {
  return { description, content: { 'application/json': { schema } } };
}

/** A JSON body that must be there. */
export function jsonRequest<S extends z.ZodType>(schema: S) {
  return { required: true as const, content: { 'application/json': { schema } } };
}

/** The header under which a submission is made once, however often it is sent. */
export const idempotencyHeaders = z.object({
  'idempotency-key': z
    .string()
    .min(1)
    .max(200)
    .optional()
    .describe('The same key and request again is the same submission.'),
});

/** Bytes of any kind: handlers take them as a stream, never as a value. */
export const binary = z.custom<never>().openapi({ type: 'string', format: 'binary' });

/** Where asynchronous and batch predictions are in their lives. */
export const workStateSchema = z.enum([
  'queued',
  'running',
  'succeeded',
  'failed',
  'cancelled',
] as const satisfies readonly WorkState[]);

/** A moment in ISO 8601. */
export const time = z.iso.datetime().openapi({ example: '2026-01-31T12:00:00.000Z' });

/** A whole number in a path or a query, as Postgres holds versions and revisions. */
export const ordinal = z.coerce.number().int().min(1).max(2_147_483_647);

/** How many of a list, newest first. */
export const limit = (most: number, usual: number) =>
  z.coerce.number().int().min(1).max(most).default(usual).describe(`At most so many, up to ${most}.`);

/** Where a page begins: after this sequence number. */
export const after = z.coerce
  .number()
  .int()
  .min(0)
  .max(Number.MAX_SAFE_INTEGER)
  .default(0)
  .describe('Only what has a higher sequence number; `next` of the page before.');

/** A path parameter that names something. */
export const named = (what: string) => z.string().min(1).max(256).describe(what);

/** The OpenAPI 3.1 document of every route under the app, made when first asked for. */
export function documentOf(app: OpenAPIHono<GatewayEnv>): () => ReturnType<typeof app.getOpenAPI31Document> {
  let made: ReturnType<typeof app.getOpenAPI31Document> | undefined;
  app.openAPIRegistry.registerComponent('securitySchemes', 'bearer', { type: 'http', scheme: 'bearer' });
  app.openAPIRegistry.registerComponent('securitySchemes', 'apiKey', {
    type: 'apiKey',
    in: 'header',
    name: 'X-API-Key',
  });
  return () => {
    made ??= app.getOpenAPI31Document({
      openapi: '3.1.0',
      info: {
        title: 'Sluice control API',
        version: '1',
        description: 'Models, endpoints, rollouts and training jobs of one project: the one that the key belongs to.',
        license: { name: 'Apache-2.0' },
      },
      servers: [{ url: '/' }],
      security: [{ bearer: [] }, { apiKey: [] }],
    });
    return made;
  };
}
