/** Aliases of model versions: names that move by compare-and-set and remember where they were. */
import { createRoute, z } from '@hono/zod-openapi';
import { aliasHistory, getModel, listAliases, moveAlias } from '../../core/models/store.js';
import { moveFollowedAlias } from '../../core/promotions/open.js';
import { NAME } from '../../core/training/spec.js';
import { AppError } from '../../errors.js';
import { enqueueOrLog } from '../enqueue.js';
import { answer, jsonRequest, named, newRouter, READ_ERRORS, time, WRITE_ERRORS } from '../openapi.js';
import type { Services } from '../services.js';

const tags = ['Aliases'];
const params = z.object({ model: named('Name of the model.') });
const aliasParams = params.extend({ alias: named('Name of the alias.') });
const versionNumber = z.number().int().min(1).max(2_147_483_647);
const expectDescription =
  'The version that it must name now, null when it must not exist; moved wherever it is when absent.';

const aliasSchema = z.object({ alias: z.string(), version: z.number().int(), updatedAt: time }).openapi('Alias');
const changeSchema = z
  .object({
    from: z.number().int().nullable(),
    to: z.number().int().nullable(),
    actor: z.string(),
    reason: z.string(),
    at: time,
  })
  .openapi('AliasChange');
const detailSchema = z
  .object({
    alias: z.string(),
    version: z.number().int().nullable().describe('Null when it was removed.'),
    history: z.array(changeSchema).describe('Newest first.'),
  })
  .openapi('AliasDetail');

const list = createRoute({
  method: 'get',
  path: '/models/{model}/aliases',
  operationId: 'listAliases',
  summary: 'Aliases of a model',
  tags,
  request: { params },
  responses: { 200: answer(z.object({ aliases: z.array(aliasSchema) }), 'All aliases.'), ...READ_ERRORS },
});

const get = createRoute({
  method: 'get',
  path: '/models/{model}/aliases/{alias}',
  operationId: 'getAlias',
  summary: 'An alias with its history',
  tags,
  request: { params: aliasParams },
  responses: { 200: answer(detailSchema, 'The alias.'), ...READ_ERRORS },
});

const put = createRoute({
  method: 'put',
  path: '/models/{model}/aliases/{alias}',
  operationId: 'moveAlias',
  summary: 'Point an alias at a version',
  tags,
  request: {
    params: params.extend({ alias: NAME.describe('Name of the alias.') }),
    body: jsonRequest(
      z
        .object({
          version: versionNumber,
          expect: versionNumber.nullable().optional().describe(expectDescription),
          reason: z.string().max(1000).default(''),
        })
        .strict()
        .openapi('MoveAlias'),
    ),
  },
  responses: { 200: answer(detailSchema, 'The alias as it is now.'), ...WRITE_ERRORS },
});

const remove = createRoute({
  method: 'delete',
  path: '/models/{model}/aliases/{alias}',
  operationId: 'removeAlias',
  summary: 'Remove an alias; its history stays',
  tags,
  request: {
    params: aliasParams,
    query: z.object({
      expect: z.coerce.number().int().min(1).optional().describe('The version that it must name now.'),
    }),
  },
  responses: { 204: { description: 'It is gone.' }, ...WRITE_ERRORS },
});

/** Routes of aliases. */
export function aliasRoutes(services: Services) {
  const { db } = services;
  const app = newRouter();

  const detail = async (project: string, model: string, alias: string) => {
    await getModel(db, project, model);
    const [all, history] = await Promise.all([
      listAliases(db, project, model),
      aliasHistory(db, project, model, alias),
    ]);
    const current = all.find((row) => row.alias === alias);
    if (!current && history.length === 0) {
      throw new AppError('not_found', `model "${model}" has no alias "${alias}"`, { details: { model, alias } });
    }
    return {
      alias,
      version: current?.version ?? null,
      history: history.map((row) => ({
        from: row.from_version,
        to: row.to_version,
        actor: row.actor,
        reason: row.reason,
        at: row.at.toISOString(),
      })),
    };
  };

  app.openapi(list, async (c) => {
    const { project } = c.get('caller');
    const { name } = await getModel(db, project, c.req.valid('param').model);
    const rows = await listAliases(db, project, name);
    const aliases = rows.map((row) => ({
      alias: row.alias,
      version: row.version,
      updatedAt: row.updated_at.toISOString(),
    }));
    return c.json({ aliases }, 200);
  });

  app.openapi(get, async (c) => {
    const { model, alias } = c.req.valid('param');
    return c.json(await detail(c.get('caller').project, model, alias), 200);
  });

  app.openapi(put, async (c) => {
    const { model, alias } = c.req.valid('param');
    const { version, expect, reason } = c.req.valid('json');
    const { project, actor } = c.get('caller');
    const promotions = await moveFollowedAlias(db, { project, model, alias, to: version, expect, actor, reason });
    for (const promotionId of promotions)
      await enqueueOrLog(services, 'promotion.decide', { promotionId }, promotionId);
    return c.json(await detail(project, model, alias), 200);
  });

  app.openapi(remove, async (c) => {
    const { model, alias } = c.req.valid('param');
    const { project, actor } = c.get('caller');
    const all = await listAliases(db, project, model);
    if (!all.some((row) => row.alias === alias)) {
      throw new AppError('not_found', `model "${model}" has no alias "${alias}"`, { details: { model, alias } });
    }
    await moveAlias(db, {
      project,
      model,
      alias,
      to: null,
      expect: c.req.valid('query').expect,
      actor,
      reason: 'removed',
    });
    return c.body(null, 204);
  });

  return app;
}
