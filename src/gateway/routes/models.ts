/** The model registry. */
import { createRoute, z } from '@hono/zod-openapi';
import { artifactFileSchema } from '../../core/models/model.js';
import { serverSchema } from '../../core/models/server.js';
import { createModel, getModel, getVersion, listAliases, listModels, listVersions } from '../../core/models/store.js';
import { registerUpload } from '../../core/models/upload.js';
import { NAME } from '../../core/training/spec.js';
import { AppError } from '../../errors.js';
import { modelSchema, modelSummarySchema, modelSummaryView, versionSchema, versionView } from '../model-view.js';
import {
  answer,
  binary,
  component,
  jsonRequest,
  named,
  newRouter,
  ordinal,
  READ_ERRORS,
  WRITE_ERRORS,
} from '../openapi.js';
import type { Services } from '../services.js';
import { sendBlob, storeBody } from '../uploads.js';

const tags = ['Models'];
const params = z.object({ model: named('Name of the model.') });
const versionParams = params.extend({ version: ordinal });

const newModelSchema = z
  .object({ name: NAME, description: z.string().max(10_000).default('') })
  .strict()
  .openapi('NewModel');
const newVersionSchema = z
  .object({
    files: z.array(artifactFileSchema).max(1000).default([]).describe('The files, uploaded before as blobs.'),
    server: component('ServerSpec', serverSchema)
      .optional()
      .describe('The server that serves it, where that is none of ours; it may come without files.'),
    metrics: z.record(z.string().min(1).max(250), z.number()).default({}).describe('What is known of its quality.'),
  })
  .strict()
  .refine((version) => version.server !== undefined || version.files.length > 0, {
    message: 'must name at least one file, or a server',
    path: ['files'],
  })
  .openapi('NewModelVersion');

const list = createRoute({
  method: 'get',
  path: '/models',
  operationId: 'listModels',
  summary: 'Models by name',
  tags,
  responses: { 200: answer(z.object({ models: z.array(modelSummarySchema) }), 'All models.'), ...READ_ERRORS },
});

const create = createRoute({
  method: 'post',
  path: '/models',
  operationId: 'createModel',
  summary: 'Create a model, without versions yet',
  tags,
  request: { body: jsonRequest(newModelSchema) },
  responses: { 201: answer(modelSummarySchema, 'It was created.'), ...WRITE_ERRORS },
});

const get = createRoute({
  method: 'get',
  path: '/models/{model}',
  operationId: 'getModel',
  summary: 'A model with its aliases and versions',
  tags,
  request: { params },
  responses: { 200: answer(modelSchema, 'The model.'), ...READ_ERRORS },
});

const register = createRoute({
  method: 'post',
  path: '/models/{model}/versions',
  operationId: 'registerVersion',
  summary: 'Register a version: files uploaded before, or the bytes of one model.onnx',
  description:
    'The model is loaded in the runtime that will serve it, and its signature is read from it. One that does not load is ' +
    "refused with the engine's words. The same files again are the version that stands.",
  tags,
  request: {
    params: z.object({ model: NAME.describe('Name of the model; it is created when missing.') }),
    body: {
      content: { 'application/json': { schema: newVersionSchema }, 'application/octet-stream': { schema: binary } },
    },
  },
  responses: {
    200: answer(versionSchema, 'These files are registered already.'),
    201: answer(versionSchema, 'It was registered.'),
    ...WRITE_ERRORS,
  },
});

const getOne = createRoute({
  method: 'get',
  path: '/models/{model}/versions/{version}',
  operationId: 'getVersion',
  summary: 'One version',
  tags,
  request: { params: versionParams },
  responses: { 200: answer(versionSchema, 'The version.'), ...READ_ERRORS },
});

const download = createRoute({
  method: 'get',
  path: '/models/{model}/versions/{version}/files/{path}',
  operationId: 'getVersionFile',
  summary: 'Download a file of a version; the path may have slashes',
  tags,
  request: { params: versionParams.extend({ path: named('Path of the file.') }) },
  responses: {
    200: { description: 'The bytes.', content: { 'application/octet-stream': { schema: binary } } },
    ...READ_ERRORS,
  },
});

/** Routes of models and versions. */
export function modelRoutes(services: Services) {
  const app = newRouter();
  const { db } = services;

  app.openapi(list, async (c) => {
    const rows = await listModels(db, c.get('caller').project);
    return c.json({ models: rows.map(modelSummaryView) }, 200);
  });

  app.openapi(create, async (c) => {
    const { name, description } = c.req.valid('json');
    const { project } = c.get('caller');
    if (!(await createModel(db, project, name, description))) {
      throw new AppError('conflict', `model "${name}" exists already`, { details: { model: name } });
    }
    return c.json(modelSummaryView(await getModel(db, project, name)), 201);
  });

  app.openapi(get, async (c) => {
    const { project } = c.get('caller');
    const row = await getModel(db, project, c.req.valid('param').model);
    const [aliases, versions] = await Promise.all([
      listAliases(db, project, row.name),
      listVersions(db, project, row.name),
    ]);
    return c.json(
      {
        ...modelSummaryView(row),
        aliases: Object.fromEntries(aliases.map((alias) => [alias.alias, alias.version])),
        versions: versions.map(versionView),
      },
      200,
    );
  });

  app.openapi(register, async (c) => {
    const { project, actor } = c.get('caller');
    const { model } = c.req.valid('param');
    // a body of bytes leaves the JSON part empty
    const given: Partial<z.infer<typeof newVersionSchema>> = c.req.valid('json');
    const files = given.files ?? [{ path: 'model.onnx', digest: (await storeBody(c, services)).digest }];
    const { version, created } = await registerUpload(services, {
      project,
      model,
      files,
      server: given.server,
      metrics: given.metrics ?? {},
      actor,
    });
    return c.json(versionView(await getVersion(db, project, model, version)), created ? 201 : 200);
  });

  app.openapi(getOne, async (c) => {
    const { model, version } = c.req.valid('param');
    return c.json(versionView(await getVersion(db, c.get('caller').project, model, version)), 200);
  });

  // the document knows no parameter with slashes, the router does
  app.openAPIRegistry.registerPath(download);
  app.openapi({ ...download, path: '/models/{model}/versions/{version}/files/:path{.+}', hide: true }, async (c) => {
    const { model, version, path } = c.req.valid('param');
    const row = await getVersion(db, c.get('caller').project, model, version);
    const file = row.artifact.files.find((one) => one.path === path);
    if (!file)
      throw new AppError('not_found', `version ${version} of "${model}" has no file "${path}"`, { details: { path } });
    return sendBlob(c, services, { ...file, name: path.slice(path.lastIndexOf('/') + 1) });
  });

  return app;
}
