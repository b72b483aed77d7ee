/**
 * The door of predictions: the Open Inference Protocol under /v2, taken at the HTTP server before any framework. A
 * prediction is two table look-ups, a slot and a forward; its body passes as bytes.
 */
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import { ANONYMOUS, type Caller } from '../core/access/key.js';
import { predict } from '../core/inference/predict.js';
import { chooseRevision, type EndpointRoute, type RevisionRoute } from '../core/inference/route.js';
import { AppError, asAppError, WIRE } from '../errors.js';
import { authenticate } from './auth.js';
import { readBody } from './body.js';
import { answerCoding, decodeBody, encodeBody } from './content-coding.js';
import { type ModelPath, parseModelPath } from './model-path.js';
import type { Services } from './services.js';

const SERVER = { name: 'sluice', version: '2', extensions: ['binary_tensor_data', 'model_repository'] };
const PLATFORM: Record<string, string> = { onnx: 'onnx_onnxv1', tensorflow: 'tensorflow_savedmodel' };

export type DataPlane = (request: IncomingMessage, response: ServerResponse) => void;

export function createDataPlane(services: Services): DataPlane {
  const meters = new Map<string, RevisionMeter>();
  let serial = 0;
  const idPrefix = Math.random().toString(36).slice(2, 10);

  return (request, response) => {
    const id = requestId(request.headers['x-request-id']) ?? `${idPrefix}-${++serial}`;
    handle(request, response, id).catch((error: unknown) => {
      const failure = asAppError(error);
      if (failure.code === 'internal') services.log.error('a prediction failed', { requestId: id, error });
      answerError(response, failure, id);
    });
  };

  async function handle(request: IncomingMessage, response: ServerResponse, id: string): Promise<void> {
    const { url = '/', method } = request;
    const query = url.indexOf('?');
    const path = query === -1 ? url : url.slice(0, query);
    const model = parseModelPath(path);
    if (model?.verb === 'infer') {
      if (method !== 'POST') throw notAllowed(method, path, 'POST');
      return infer(request, response, model, id);
    }
    if (path === '/v2/repository/index' && method === 'POST')
      return answerJson(response, 200, repositoryIndex(callerOf(request)), id);
    if (method !== 'GET') throw notAllowed(method, path, 'GET');
    if (path === '/v2' || path === '/v2/') return answerJson(response, 200, SERVER, id);
    if (path === '/v2/health/live') return answerJson(response, 200, { live: true }, id);
    if (path === '/v2/health/ready') {
      const { ready } = services.readiness();
      return answerJson(response, ready ? 200 : 503, { live: true, ready }, id);
    }
    const caller = callerOf(request);
    if (path === '/v2/models') {
      const names = visible(caller).map((endpoint) => endpoint.name);
      return answerJson(response, 200, { models: names }, id);
    }
    if (!model) throw new AppError('not_found', `there is nothing at ${path}`);
    const endpoint = endpointFor(caller, model.name) ?? (await lookAgain(caller, model.name));
    const revision = chooseRevision(endpoint, { pin: model.version, random: 0 });
    if (model.verb === 'ready') return answerJson(response, 200, { name: endpoint.name, ready: true }, id);
    answerJson(response, 200, metadata(endpoint, revision), id);
  }

  async function infer(
    request: IncomingMessage,
    response: ServerResponse,
    model: ModelPath,
    id: string,
  ): Promise<void> {
    const { headers } = request;
    let endpoint: EndpointRoute;
    let revision: RevisionRoute;
    try {
      const caller = callerOf(request);
      endpoint = endpointFor(caller, model.name) ?? (await lookAgain(caller, model.name));
      revision = chooseRevision(endpoint, {
        pin: model.version ?? single(headers['sluice-revision']),
        tag: single(headers['sluice-tag']),
        stickyKey: endpoint.stickyHeader === undefined ? undefined : single(headers[endpoint.stickyHeader]),
        random: Math.random(),
      });
    } catch (error) {
      services.metrics.refused.inc({ code: asAppError(error).code });
      throw error;
    }
    const sent = await readBody(request, services.limits.bodyBytes, services.limits.predictTimeoutMs);
    // a client's slow line is no fault of the revision
    const began = performance.now();
    const coding = headers['content-encoding'];
    const body = coding === undefined ? sent : await decodeBody(sent, coding, services.limits.bodyBytes);
    const call = {
      method: 'POST',
      path: `/v2/models/${encodeURIComponent(endpoint.name)}/infer`,
      headers: forwarded(headers),
      body,
    };
    const prediction = predict(services.fleet, revision, call, {
      timeoutMs: services.limits.predictTimeoutMs,
      idempotent: headers['sluice-idempotent'] !== 'false',
    });
    const left = () => {
      if (!response.writableFinished) prediction.cancel();
    };
    response.on('close', left);
    const meter = meterOf(revision);
    try {
      const reply = await prediction.reply;
      meter.record(performance.now() - began, reply.status);
      const head: OutgoingHttpHeaders = { ...reply.headers };
      const answerIn = answerCoding(single(headers['accept-encoding']), reply.body.length);
      const answer = answerIn === undefined ? reply.body : await encodeBody(reply.body, answerIn);
      if (answerIn !== undefined) {
        head['content-encoding'] = answerIn;
        head.vary = 'accept-encoding';
      }
      head['content-length'] = answer.length;
      head['sluice-revision'] = meter.revision;
      head['sluice-model-version'] = meter.version;
      head['x-request-id'] = id;
      response.writeHead(reply.status, head);
      response.end(answer);
    } catch (error) {
      const failure = asAppError(error);
      if (failure.code !== 'cancelled') meter.record(performance.now() - began, WIRE[failure.code].http);
      throw failure;
    } finally {
      response.off('close', left);
    }
  }

  function callerOf(request: IncomingMessage): Caller {
    const { authorization } = request.headers;
    const apiKey = single(request.headers['x-api-key']);
    if (authorization === undefined && apiKey === undefined) return ANONYMOUS;
    const caller = authenticate({ authorization, apiKey }, services.keys, services.clock.now());
    if (!caller) throw new AppError('unauthenticated', 'this key is not known, has expired or was revoked');
    return caller;
  }

  /** The endpoint, when the caller may use it and it can answer. */
  function endpointFor(caller: Caller, name: string): EndpointRoute | undefined {
    const endpoint = services.routing.find(caller.project, name);
    if (!endpoint || endpoint.targets.length === 0) return undefined;
    return endpoint.access === 'public' || caller.role !== 'anonymous' ? endpoint : undefined;
  }

  /** What would be refused is looked up once more in the database: the news of it may still be on its way. */
  async function lookAgain(caller: Caller, name: string): Promise<EndpointRoute> {
    const { routing, db, clock } = services;
    const known = routing.find(caller.project, name);
    if (caller.role === 'anonymous' && known?.access !== 'public')
      throw new AppError('unauthenticated', 'a key is needed: send Authorization: Bearer KEY');
    if (!routing.loaded)
      throw new AppError('not_ready', 'the gateway has not read its routing yet', { retryAfterSec: 1 });
    // with the database away, what is known is the answer
    await routing.lookAgain(db, caller.project, name, clock.now()).catch(() => {});
    const endpoint = routing.find(caller.project, name);
    if (!endpoint) throw new AppError('not_found', `there is no endpoint "${name}"`);
    return endpoint;
  }

  function visible(caller: Caller): EndpointRoute[] {
    return [...services.routing.all()].filter(
      (endpoint) =>
        endpoint.project === caller.project && (endpoint.access === 'public' || caller.role !== 'anonymous'),
    );
  }

  function repositoryIndex(caller: Caller) {
    return visible(caller).flatMap((endpoint) =>
      endpoint.targets.map(({ revision }) => ({
        name: endpoint.name,
        version: String(revision.number),
        state: 'READY',
        reason: '',
      })),
    );
  }

  function meterOf(revision: RevisionRoute): RevisionMeter {
    let meter = meters.get(revision.key);
    if (!meter) {
      meter = createMeter(services, revision);
      if (meters.size >= 100_000) meters.clear();
      meters.set(revision.key, meter);
    }
    return meter;
  }
}

/** Where the answers of one revision are counted; its labels are looked up once. */
interface RevisionMeter {
  readonly revision: string;
  readonly version: string;
  record(latencyMs: number, status: number): void;
}

function createMeter(services: Services, route: RevisionRoute): RevisionMeter {
  const labels = { endpoint: route.endpoint, revision: String(route.number) };
  const latency = services.metrics.latency.labels(labels);
  const byStatus = ['1xx', '2xx', '3xx', '4xx', '5xx'].map((status) =>
    services.metrics.predictions.labels({ ...labels, status }),
  );
  return {
    revision: labels.revision,
    version: String(route.modelVersion),
    record(latencyMs, status) {
      latency.observe(latencyMs / 1000);
      byStatus[Math.floor(status / 100) - 1]?.inc();
      services.statistics.record(route.endpointId, route.number, services.clock.now(), latencyMs, status >= 500);
    },
  };
}

function metadata(endpoint: EndpointRoute, revision: RevisionRoute) {
  return {
    name: endpoint.name,
    versions: endpoint.targets.map((target) => String(target.revision.number)),
    platform: PLATFORM[revision.framework] ?? revision.framework,
    inputs: revision.signature.inputs,
    outputs: revision.signature.outputs,
  };
}

/** The headers that a model server needs to read the body. */
function forwarded(headers: IncomingMessage['headers']): Record<string, string> {
  const out: Record<string, string> = {};
  for (const name of ['content-type', 'inference-header-content-length'] as const) {
    const value = headers[name];
    if (typeof value === 'string') out[name] = value;
  }
  return out;
}

function single(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}

/** A client's own request id, if it is one that is safe to repeat in headers and logs. */
function requestId(value: string | string[] | undefined): string | undefined {
  return typeof value === 'string' && /^[\w.:/+=-]{1,128}$/.test(value) ? value : undefined;
}

function notAllowed(method: string | undefined, path: string, allowed: string): AppError {
  return new AppError('invalid', `${path} takes ${allowed}, not ${method}`);
}

function answerJson(response: ServerResponse, status: number, body: unknown, id: string): void {
  const bytes = Buffer.from(JSON.stringify(body));
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': bytes.length,
    'x-request-id': id,
  });
  response.end(bytes);
}

/** The Open Inference Protocol's error body, on whatever of the answer is still ours to write. */
function answerError(response: ServerResponse, failure: AppError, id: string): void {
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  if (failure.retryAfterSec !== undefined) response.setHeader('retry-after', String(failure.retryAfterSec));
  if (failure.code === 'unauthenticated') response.setHeader('www-authenticate', 'Bearer');
  // what is left of the body is not read: the connection cannot carry another request
  if (failure.code === 'too_large' || failure.code === 'timeout') response.setHeader('connection', 'close');
  answerJson(
    response,
    WIRE[failure.code].http,
    { error: failure.code === 'internal' ? `internal error (request ${id})` : failure.message },
    id,
  );
}
