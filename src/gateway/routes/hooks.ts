/** Hooks: addresses that may open promotions of one endpoint, and nothing else. */
import { createRoute, z } from '@hono/zod-openapi';
import { createHook, listHooks, pullHook, revokeHook, rotateHook } from '../../core/promotions/hooks.js';
import { NAME } from '../../core/training/spec.js';
import { enqueueOrLog } from '../enqueue.js';
import { answer, jsonRequest, named, newRouter, READ_ERRORS, time, WRITE_ERRORS } from '../openapi.js';
import type { Services } from '../services.js';

const tags = ['Promotions'];
const params = z.object({ endpoint: named('Name of the endpoint.') });
const hookParams = params.extend({ hook: named('Id of the hook.') });

const hookSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    hint: z.string().describe('How its token begins.'),
    createdBy: z.string(),
    createdAt: time,
    rotatedAt: time.nullable(),
    usedAt: time.nullable(),
    uses: z.number().int(),
  })
  .openapi('Hook');

const madeSchema = z
  .object({
    id: z.string(),
    token: z.string().describe('Shown this once.'),
    path: z.string().describe('Where to post to, below the address of the gateway.'),
  })
  .openapi('MadeHook');

const create = createRoute({
  method: 'post',
  path: '/endpoints/{endpoint}/hooks',
  operationId: 'createHook',
  summary: 'Make an address that opens promotions of this endpoint and can do nothing else',
  tags,
  request: {
    params,
    body: jsonRequest(
      z
        .object({ name: NAME.describe('Who will use it.') })
        .strict()
        .openapi('NewHook'),
    ),
  },
  responses: { 201: answer(madeSchema, 'It was made.'), ...WRITE_ERRORS },
});

const list = createRoute({
  method: 'get',
  path: '/endpoints/{endpoint}/hooks',
  operationId: 'listHooks',
  summary: 'Hooks of an endpoint, oldest first',
  tags,
  request: { params },
  responses: { 200: answer(z.object({ hooks: z.array(hookSchema) }), 'Hooks.'), ...READ_ERRORS },
});

const rotate = createRoute({
  method: 'post',
  path: '/endpoints/{endpoint}/hooks/{hook}/rotate',
  operationId: 'rotateHook',
  summary: 'Give a hook another address; the old one opens nothing any more',
  tags,
  request: { params: hookParams },
  responses: { 200: answer(madeSchema, 'Its new address.'), ...WRITE_ERRORS },
});

const revoke = createRoute({
  method: 'delete',
  path: '/endpoints/{endpoint}/hooks/{hook}',
  operationId: 'revokeHook',
  summary: 'Revoke a hook',
  tags,
  request: { params: hookParams },
  responses: { 204: { description: 'It opens nothing any more.' }, ...WRITE_ERRORS },
});

const pull = createRoute({
  method: 'post',
  path: '/hooks/{token}',
  operationId: 'pullHook',
  summary: 'Open a promotion, by a hook',
  description: 'Needs no key: the address is the secret. The newest version is taken where none is named.',
  tags,
  security: [],
  request: {
    params: z.object({ token: named('The token of the hook.') }),
    body: jsonRequest(
      z
        .object({
          version: z.number().int().min(1).max(2_147_483_647).optional(),
          alias: NAME.optional().describe('The version that this alias names.'),
        })
        .strict()
        .refine(({ version, alias }) => version === undefined || alias === undefined, {
          message: 'stands alone, without version',
          path: ['alias'],
        })
        .openapi('HookRequest'),
    ),
  },
  responses: { 202: answer(z.object({ promotion: z.string() }), 'The id of the promotion.'), ...WRITE_ERRORS },
});

const pathOf = (token: string) => `/api/v1/hooks/${token}`;

/** The hooks themselves; mounted before keys are asked for. */
export function openHookRoutes(services: Services) {
  const app = newRouter();
  app.openapi(pull, async (c) => {
    const { id } = await pullHook(services.db, c.req.valid('param').token, c.req.valid('json'));
    await enqueueOrLog(services, 'promotion.decide', { promotionId: id }, id);
    return c.json({ promotion: id }, 202);
  });
  return app;
}

/** Routes that make and revoke hooks. */
export function hookRoutes({ db }: Services) {
  const app = newRouter();

  app.openapi(create, async (c) => {
    const { project, actor } = c.get('caller');
    const { endpoint } = c.req.valid('param');
    const made = await createHook(db, { project, endpoint, actor, name: c.req.valid('json').name });
    return c.json({ ...made, path: pathOf(made.token) }, 201);
  });

  app.openapi(list, async (c) => {
    const rows = await listHooks(db, c.get('caller').project, c.req.valid('param').endpoint);
    const hooks = rows.map(({ id, name, hint, created_by, created_at, rotated_at, used_at, uses }) => ({
      id,
      name,
      hint,
      createdBy: created_by,
      createdAt: created_at.toISOString(),
      rotatedAt: rotated_at?.toISOString() ?? null,
      usedAt: used_at?.toISOString() ?? null,
      uses,
    }));
    return c.json({ hooks }, 200);
  });

  app.openapi(rotate, async (c) => {
    const { project, actor } = c.get('caller');
    const { endpoint, hook } = c.req.valid('param');
    const made = await rotateHook(db, { project, endpoint, id: hook, actor });
    return c.json({ ...made, path: pathOf(made.token) }, 200);
  });

  app.openapi(revoke, async (c) => {
    const { project, actor } = c.get('caller');
    const { endpoint, hook } = c.req.valid('param');
    await revokeHook(db, { project, endpoint, id: hook, actor });
    return c.body(null, 204);
  });

  return app;
}
