/** Health, metrics, and the documentation of the API itself. Nothing here belongs to a project. */
import { createReadStream, existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { createRoute, z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { AppError } from '../../errors.js';
import { authenticate } from '../auth.js';
import type { GatewayEnv } from '../env.js';
import { answer, newRouter, READ_ERRORS } from '../openapi.js';
import type { Services } from '../services.js';

const tags = ['System'];
/** These need no key. */
const security: Record<string, string[]>[] = [];

const readinessSchema = z.object({ ready: z.boolean(), checks: z.record(z.string(), z.string()) }).openapi('Readiness');

const live = createRoute({
  method: 'get',
  path: '/healthz',
  operationId: 'getLiveness',
  summary: 'Whether the process answers',
  tags,
  security,
  responses: { 200: answer(z.object({ live: z.boolean() }), 'It does.') },
});

const ready = createRoute({
  method: 'get',
  path: '/readyz',
  operationId: 'getReadiness',
  summary: 'Whether the gateway can do its work now, and what is missing',
  tags,
  security,
  responses: { 200: answer(readinessSchema, 'It can.'), 503: answer(readinessSchema, 'It cannot.') },
});

const metrics = createRoute({
  method: 'get',
  path: '/metrics',
  operationId: 'getMetrics',
  summary: 'Metrics in the Prometheus text format; with an admin key, or without one from the same machine',
  tags,
  responses: {
    200: { description: 'Metrics.', content: { 'text/plain': { schema: z.string() } } },
    401: READ_ERRORS[401],
    403: READ_ERRORS[403],
  },
});

const DOCS = `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Sluice API</title><meta name="viewport" content="width=device-width, initial-scale=1">
<style>body { margin: 0; }</style></head>
<body><redoc spec-url="/openapi.json" disable-google-font="true"></redoc><script src="/docs/redoc.js"></script></body>
</html>
`;
/** Redoc makes its styles and its search worker at run time. */
const DOCS_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; img-src 'self' data:; font-src 'self'; " +
  "connect-src 'self'; worker-src blob:; frame-ancestors 'none'";

const HOME = `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Sluice</title></head>
<body><h1>Sluice</h1><p>A serverless inference and training gateway. Its API: <a href="/docs">documentation</a>,
<a href="/openapi.json">OpenAPI document</a>.</p></body>
</html>
`;

/** Routes outside the API: health, metrics, documentation. `document` makes the OpenAPI document. */
export function systemRoutes(services: Services, document: () => object) {
  const app = newRouter();

  app.openapi(live, (c) => c.json({ live: true }, 200));

  app.openapi(ready, (c) => {
    const readiness = services.readiness();
    const body = { ready: readiness.ready, checks: { ...readiness.checks } };
    return readiness.ready ? c.json(body, 200) : c.json(body, 503);
  });

  app.openapi(metrics, async (c) => {
    if (!fromThisMachine(c)) requireAdmin(c, services);
    const { contentType, text } = await services.printMetrics();
    return c.text(text, 200, { 'Content-Type': contentType });
  });

  app.get('/openapi.json', (c) => c.json(document()));

  app.get('/docs', (c) => {
    c.header('Content-Security-Policy', DOCS_POLICY);
    return c.html(DOCS);
  });

  app.get('/docs/redoc.js', (c) => {
    const path = redocPath();
    if (path === undefined) throw new AppError('not_found', 'redoc.js was not built: run the build');
    c.header('Content-Type', 'text/javascript; charset=utf-8');
    c.header('Cache-Control', 'public, max-age=3600');
    return c.req.method === 'HEAD' ? c.body(null) : c.body(Readable.toWeb(createReadStream(path)) as ReadableStream);
  });

  app.get('/', (c) => {
    if (!(c.req.header('accept') ?? '').includes('text/html'))
      return c.json({ name: 'sluice', docs: '/docs', openapi: '/openapi.json' });
    return c.html(HOME);
  });

  return app;
}

/** A proxy on this machine speaks for others, so what it hands on is not local. */
function fromThisMachine(c: Context<GatewayEnv>): boolean {
  const peer = c.env?.incoming?.socket.remoteAddress ?? '';
  const proxied = c.req.header('x-forwarded-for') !== undefined || c.req.header('forwarded') !== undefined;
  return !proxied && /^(127\.|::1$|::ffff:127\.)/.test(peer);
}

function requireAdmin(c: Context<GatewayEnv>, { keys, clock }: Services): void {
  const headers = { authorization: c.req.header('authorization'), apiKey: c.req.header('x-api-key') };
  const caller = authenticate(headers, keys, clock.now());
  if (!caller) throw new AppError('unauthenticated', 'metrics need an admin key: send Authorization: Bearer KEY');
  if (caller.role !== 'admin') throw new AppError('forbidden', 'metrics need a key of role admin');
}

/** The file lies in dist/public, beside or above this program, or in dist when this runs from source. */
function redocPath(): string | undefined {
  let folder = dirname(fileURLToPath(import.meta.url));
  for (let up = 0; up < 5; up++, folder = dirname(folder)) {
    for (const path of [join(folder, 'public', 'redoc.js'), join(folder, 'dist', 'public', 'redoc.js')]) {
      if (existsSync(path)) return path;
    }
  }
  return undefined;
}
