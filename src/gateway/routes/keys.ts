/** API keys of a project. */
import { createRoute, z } from '@hono/zod-openapi';
import { createKey, listKeys, revokeKey } from '../../core/access/store.js';
import { answer, jsonRequest, named, newRouter, READ_ERRORS, time, WRITE_ERRORS } from '../openapi.js';
import type { Services } from '../services.js';

const tags = ['Keys'];
const role = z.enum(['admin', 'predict']).describe('admin may do everything in the project; predict may only predict.');

const keySchema = z
  .object({
    id: z.string(),
    name: z.string(),
    hint: z.string().describe('Its first characters.'),
    role,
    createdAt: time,
    expiresAt: time.nullable(),
    revokedAt: time.nullable(),
  })
  .openapi('Key');

const newKeySchema = z
  .object({
    name: z.string().min(1).max(100).describe('Whose it is; noted as the actor of what it does.'),
    role,
    expiresAt: z.iso.datetime({ offset: true }).optional().describe('When it stops to be live; never when absent.'),
  })
  .strict()
  .openapi('NewKey');

const createdSchema = z
  .object({
    id: z.string(),
    key: z.string().describe('The key itself: shown now and never again.'),
    name: z.string(),
    role,
    expiresAt: time.nullable(),
  })
  .openapi('CreatedKey');

const whoami = createRoute({
  method: 'get',
  path: '/whoami',
  operationId: 'whoami',
  summary: 'What this key stands for',
  tags,
  responses: {
    200: answer(z.object({ project: z.string(), role, actor: z.string() }).openapi('Caller'), 'The caller.'),
    ...READ_ERRORS,
  },
});

const list = createRoute({
  method: 'get',
  path: '/keys',
  operationId: 'listKeys',
  summary: 'Keys of the project, without the keys themselves',
  tags,
  responses: { 200: answer(z.object({ keys: z.array(keySchema) }), 'All keys, oldest first.'), ...READ_ERRORS },
});

const create = createRoute({
  method: 'post',
  path: '/keys',
  operationId: 'createKey',
  summary: 'Make a key',
  tags,
  request: { body: jsonRequest(newKeySchema) },
  responses: { 201: answer(createdSchema, 'The key.'), ...WRITE_ERRORS },
});

const revoke = createRoute({
  method: 'delete',
  path: '/keys/{key}',
  operationId: 'revokeKey',
  summary: 'Revoke a key, at once on every gateway',
  tags,
  request: { params: z.object({ key: named('Id of the key.') }) },
  responses: { 204: { description: 'It is revoked.' }, ...WRITE_ERRORS },
});

/** The one route that any live key may call. */
export function whoamiRoutes() {
  return newRouter().openapi(whoami, (c) => {
    const { project, role: of, actor } = c.get('caller');
    // a caller that came this far has a key
    return c.json({ project, role: of === 'admin' ? ('admin' as const) : ('predict' as const), actor }, 200);
  });
}

/** Routes of keys. */
export function keyRoutes({ db, keys }: Services) {
  const app = newRouter();

  app.openapi(list, async (c) => {
    const rows = await listKeys(db, c.get('caller').project);
    const shown = rows.map((row) => ({
      id: row.id,
      name: row.name,
      hint: row.hint,
      role: row.role,
      createdAt: row.created_at.toISOString(),
      expiresAt: row.expires_at?.toISOString() ?? null,
      revokedAt: row.revoked_at?.toISOString() ?? null,
    }));
    return c.json({ keys: shown }, 200);
  });

  app.openapi(create, async (c) => {
    const { name, role: wanted, expiresAt } = c.req.valid('json');
    const expires = expiresAt === undefined ? undefined : new Date(expiresAt);
    const { id, key } = await createKey(db, {
      project: c.get('caller').project,
      actor: c.get('caller').actor,
      name,
      role: wanted,
      expiresAt: expires,
    });
    // whoever is told of a key may use it at once, here
    await keys.reload(db);
    return c.json({ id, key, name, role: wanted, expiresAt: expires?.toISOString() ?? null }, 201);
  });

  app.openapi(revoke, async (c) => {
    const { project, actor } = c.get('caller');
    await revokeKey(db, project, c.req.valid('param').key, actor);
    // and a revoked one is refused here before the answer goes out
    await keys.reload(db);
    return c.body(null, 204);
  });

  return app;
}
