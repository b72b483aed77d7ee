/** The control API: what every request passes, then the routes, one file per noun. */
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { authenticated, requireRole } from './auth.js';
import type { GatewayEnv } from './env.js';
import { apiTimeout, jsonBody, requestId, securityHeaders } from './middlewares.js';
import { methodNotAllowed, notFound, onError } from './on-error.js';
import { documentOf, newRouter } from './openapi.js';
import { aliasRoutes } from './routes/aliases.js';
import { batchRoutes } from './routes/batch-predictions.js';
import { blobRoutes } from './routes/blobs.js';
import { datasetRoutes } from './routes/datasets.js';
import { endpointRoutes } from './routes/endpoints.js';
import { eventRoutes } from './routes/events.js';
import { feedbackRoutes, feedbackSummaryRoutes } from './routes/feedback.js';
import { hookRoutes, openHookRoutes } from './routes/hooks.js';
import { jobRoutes } from './routes/jobs.js';
import { keyRoutes, whoamiRoutes } from './routes/keys.js';
import { modelRoutes } from './routes/models.js';
import { podRoutes } from './routes/pods.js';
import { predictionListRoutes, predictionRoutes } from './routes/predictions.js';
import { promotionRoutes } from './routes/promotions.js';
import { recordRoutes } from './routes/record.js';
import { rolloutRoutes } from './routes/rollouts.js';
import { shadowRoutes } from './routes/shadow.js';
import { systemRoutes } from './routes/system.js';
import { trafficRoutes } from './routes/traffic.js';
import { webhookRoutes } from './routes/webhooks.js';
import type { Services } from './services.js';

const API = '/api/v1';
/** Longest body that somebody without a key may send. */
const HOOK_BYTES = 64 * 1024;

/** The control API and its documentation as one app; `app.fetch` answers requests. */
export function createApp(services: Services): OpenAPIHono<GatewayEnv> {
  const app = newRouter();
  const document = documentOf(app);

  app.use(requestId(services), securityHeaders);
  app.route('/', systemRoutes(services, document));

  app.route('/', predictionRoutes(services));

  if (services.pods) app.route('/pods/v1', podRoutes(services, services.pods));

  // before keys are asked for: a hook's address is its secret
  app.use(`${API}/hooks/*`, apiTimeout(services.limits.apiTimeoutMs), jsonBody(HOOK_BYTES));
  app.route(API, openHookRoutes(services));
  app.route(API, feedbackRoutes(services));

  app.use(`${API}/*`, authenticated(services));
  app.route(API, whoamiRoutes());
  app.use(
    `${API}/*`,
    requireRole('admin'),
    apiTimeout(services.limits.apiTimeoutMs),
    jsonBody(services.limits.bodyBytes),
  );
  app.route(API, blobRoutes(services));
  app.route(API, modelRoutes(services));
  app.route(API, aliasRoutes(services));
  app.route(API, datasetRoutes(services));
  app.route(API, endpointRoutes(services));
  app.route(API, trafficRoutes(services));
  app.route(API, shadowRoutes(services));
  app.route(API, feedbackSummaryRoutes(services));
  app.route(API, promotionRoutes(services));
  app.route(API, hookRoutes(services));
  app.route(API, recordRoutes(services));
  app.route(API, rolloutRoutes(services));
  app.route(API, jobRoutes(services));
  app.route(API, batchRoutes(services));
  app.route(API, predictionListRoutes(services));
  app.route(API, webhookRoutes(services));
  app.route(API, eventRoutes(services));
  app.route(API, keyRoutes(services));

  app.onError(onError(services.log));
  app.notFound((c) => {
    const allowed = methodsAt(app, c);
    return allowed.length > 0 ? methodNotAllowed(c, allowed) : notFound(c);
  });
  return app;
}

/** The methods that have a route at the request's path; middlewares match them all and do not count. */
function methodsAt(app: OpenAPIHono<GatewayEnv>, c: Context<GatewayEnv>): string[] {
  return ['GET', 'POST', 'PUT', 'DELETE'].filter((method) => {
    const [handlers] = app.router.match(method, c.req.path);
    return handlers.some(([[, route]]) => route.method !== 'ALL');
  });
}
