/** Named, versioned data: held-out sets for gates, training data. */
import { createRoute, z } from '@hono/zod-openapi';
import { DIGEST_PATTERN } from '../../core/blobs.js';
import { addDataset, findDataset, listDatasets, listDatasetVersions } from '../../core/datasets/store.js';
import { NAME } from '../../core/training/spec.js';
import { AppError } from '../../errors.js';
import { answer, binary, named, newRouter, ordinal, READ_ERRORS, time, WRITE_ERRORS } from '../openapi.js';
import type { Services } from '../services.js';
import { ownBlob, sendBlob, storeBody } from '../uploads.js';

const tags = ['Datasets'];
const params = z.object({ dataset: named('Name of the dataset.') });
const newParams = z.object({ dataset: NAME.describe('Name of the dataset.') });
const versionParams = params.extend({ version: ordinal });

const versionSchema = z
  .object({ version: z.number().int(), digest: z.string(), bytes: z.number().int(), createdAt: time })
  .openapi('DatasetVersion');
const datasetSchema = z
  .object({ name: z.string(), versions: z.array(versionSchema).describe('Newest first.') })
  .openapi('Dataset');
const addedSchema = z
  .object({ name: z.string(), version: z.number().int(), digest: z.string(), bytes: z.number().int() })
  .openapi('AddedDatasetVersion');

const list = createRoute({
  method: 'get',
  path: '/datasets',
  operationId: 'listDatasets',
  summary: 'Datasets and their versions',
  tags,
  responses: { 200: answer(z.object({ datasets: z.array(datasetSchema) }), 'All datasets, by name.'), ...READ_ERRORS },
});

const get = createRoute({
  method: 'get',
  path: '/datasets/{dataset}',
  operationId: 'getDataset',
  summary: 'One dataset and its versions',
  tags,
  request: { params },
  responses: { 200: answer(datasetSchema, 'The dataset.'), ...READ_ERRORS },
});

const add = createRoute({
  method: 'post',
  path: '/datasets/{dataset}/versions',
  operationId: 'addDatasetVersion',
  summary: 'Add a version: its bytes, or the digest of bytes uploaded before',
  description: 'The bytes of the newest version again are that version.',
  tags,
  request: {
    params: newParams,
    body: {
      content: {
        'application/json': {
          schema: z.object({ digest: z.string().regex(DIGEST_PATTERN, 'must be sha256: and 64 hex digits') }).strict(),
        },
        'application/octet-stream': { schema: binary },
      },
    },
  },
  responses: {
    200: answer(addedSchema, 'The newest version has these bytes.'),
    201: answer(addedSchema, 'It was added.'),
    ...WRITE_ERRORS,
  },
});

const content = createRoute({
  method: 'get',
  path: '/datasets/{dataset}/versions/{version}/content',
  operationId: 'getDatasetContent',
  summary: 'Download a version',
  tags,
  request: { params: versionParams },
  responses: {
    200: { description: 'The bytes.', content: { 'application/octet-stream': { schema: binary } } },
    ...READ_ERRORS,
  },
});

/** Routes of datasets. */
export function datasetRoutes(services: Services) {
  const app = newRouter();
  const { db } = services;

  app.openapi(list, async (c) => {
    const datasets: { name: string; versions: ReturnType<typeof versionView>[] }[] = [];
    for (const row of await listDatasets(db, c.get('caller').project)) {
      const last = datasets.at(-1);
      if (last?.name === row.name) last.versions.push(versionView(row));
      else datasets.push({ name: row.name, versions: [versionView(row)] });
    }
    return c.json({ datasets }, 200);
  });

  app.openapi(get, async (c) => {
    const name = c.req.valid('param').dataset;
    const rows = await listDatasetVersions(db, c.get('caller').project, name);
    if (rows.length === 0)
      throw new AppError('not_found', `there is no dataset "${name}"`, { details: { dataset: name } });
    return c.json({ name, versions: rows.map(versionView) }, 200);
  });

  app.openapi(add, async (c) => {
    const name = c.req.valid('param').dataset;
    // a body of bytes leaves the JSON part empty
    const { digest: given }: { digest?: string } = c.req.valid('json');
    let stored: { digest: string; bytes: number };
    if (given === undefined) stored = await storeBody(c, services);
    else {
      const bytes = await ownBlob(c, services, given);
      if (bytes === undefined) {
        throw new AppError('invalid', `digest: ${given} was not uploaded to this project`, {
          details: { field: 'digest', value: given },
        });
      }
      stored = { digest: given, bytes };
    }
    const { version, created } = await addDataset(db, c.get('caller').project, name, stored.digest, stored.bytes);
    return c.json({ name, version, ...stored }, created ? 201 : 200);
  });

  app.openapi(content, async (c) => {
    const { dataset, version } = c.req.valid('param');
    const row = await findDataset(db, c.get('caller').project, dataset, version);
    if (!row)
      throw new AppError('not_found', `dataset "${dataset}" has no version ${version}`, {
        details: { dataset, version },
      });
    return sendBlob(c, services, { digest: row.digest, bytes: row.bytes, name: `${dataset}-${version}` });
  });

  return app;
}

function versionView(row: { version: number; digest: string; bytes: number; created_at: Date }) {
  return { version: row.version, digest: row.digest, bytes: row.bytes, createdAt: row.created_at.toISOString() };
}
