/** Artifacts by the hash of their bytes. A project sees only what it brought itself. */
import { createRoute, z } from '@hono/zod-openapi';
import { AppError } from '../../errors.js';
import { answer, binary, newRouter, READ_ERRORS, WRITE_ERRORS } from '../openapi.js';
import type { Services } from '../services.js';
import { checkDigest, ownBlob, sendBlob, storeBody } from '../uploads.js';

const tags = ['Blobs'];
const params = z.object({ digest: z.string().openapi({ example: `sha256:${'0'.repeat(64)}` }) });
const blobSchema = z.object({ digest: z.string(), bytes: z.number().int() }).openapi('Blob');
const bytes = { content: { 'application/octet-stream': { schema: binary } } };

const put = createRoute({
  method: 'put',
  path: '/blobs/{digest}',
  operationId: 'putBlob',
  summary: 'Upload bytes whose hash is known',
  description:
    'What hashes to something else is refused and not kept. Bytes that this project brought before are not read again.',
  tags,
  request: { params, body: bytes },
  responses: { 200: answer(blobSchema, 'It was there.'), 201: answer(blobSchema, 'It was stored.'), ...WRITE_ERRORS },
});

const post = createRoute({
  method: 'post',
  path: '/blobs',
  operationId: 'postBlob',
  summary: 'Upload bytes; the answer says their hash',
  tags,
  request: { body: bytes },
  responses: { 201: answer(blobSchema, 'It was stored.'), ...WRITE_ERRORS },
});

const get = createRoute({
  method: 'get',
  path: '/blobs/{digest}',
  operationId: 'getBlob',
  summary: 'Download bytes; HEAD says whether they are there',
  tags,
  request: { params },
  responses: {
    200: { description: 'The bytes.', content: { 'application/octet-stream': { schema: binary } } },
    ...READ_ERRORS,
  },
});

/** Routes of blobs. */
export function blobRoutes(services: Services) {
  const app = newRouter();

  app.openapi(put, async (c) => {
    const digest = checkDigest(c.req.valid('param').digest);
    const there = await ownBlob(c, services, digest);
    if (there !== undefined) return c.json({ digest, bytes: there }, 200);
    return c.json(await storeBody(c, services, digest), 201);
  });

  app.openapi(post, async (c) => c.json(await storeBody(c, services), 201));

  app.openapi(get, async (c) => {
    const digest = checkDigest(c.req.valid('param').digest);
    const found = await ownBlob(c, services, digest);
    if (found === undefined)
      throw new AppError('not_found', `this project stored no blob ${digest}`, { details: { digest } });
    return sendBlob(c, services, { digest, bytes: found, name: digest.replace(':', '-') });
  });

  return app;
}
