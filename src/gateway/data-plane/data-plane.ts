/**
 * The door of predictions over HTTP: the Open Inference Protocol under /v2, taken before any framework. A prediction is two
 * table look-ups, a slot and a forward; its body passes as bytes.
 */
import { chooseRevision } from '../../core/inference/route.js';
import { AppError } from '../../errors.js';
import type { HttpExchange } from '../http/exchange.js';
import { createRequestIds, saneRequestId } from '../request-ids.js';
import type { Services } from '../services.js';
import { callerOf, endpointFor, lookAgain, visibleEndpoints } from './access.js';
import { answerError, answerJson } from './answers.js';
import { predictOverHttp } from './http-prediction.js';
import { configOf, indexOf, metadataOf } from './model-info.js';
import { type DataPath, type ModelPath, readPath } from './paths.js';
import { createPlane } from './plane.js';

const SERVER = {
  name: 'sluice',
  version: '2',
  extensions: ['binary_tensor_data', 'model_repository', 'model_configuration'],
};

export function createDataPlane(services: Services): (exchange: HttpExchange) => void {
  const plane = createPlane(services);
  const nextId = createRequestIds();

  return (exchange) => {
    const id = saneRequestId(exchange.header('x-request-id')) ?? nextId();
    try {
      const path = pathOf(exchange);
      if (path.kind === 'infer') predictOverHttp(plane, exchange, path, id);
      else {
        inform(services, exchange, path).then(
          ({ status, body }) => answerJson(exchange, status, body, id),
          (error) => void answerError(services, exchange, error, id),
        );
      }
    } catch (error) {
      answerError(services, exchange, error, id);
    }
  };
}

/** Paths that take a body; all others are read. */
const POSTED: ReadonlySet<DataPath['kind']> = new Set(['infer', 'index', 'load', 'unload']);

function pathOf({ url, method }: HttpExchange): DataPath {
  const query = url.indexOf('?');
  const path = query === -1 ? url : url.slice(0, query);
  const read = readPath(path);
  if (!read) throw new AppError('not_found', `there is nothing at ${path.slice(0, 200)}`);
  const allowed = POSTED.has(read.kind) ? 'POST' : 'GET';
  if (method === allowed || (method === 'HEAD' && allowed === 'GET')) return read;
  throw new AppError('invalid', `${path.slice(0, 200)} takes ${allowed}, not ${method}`);
}

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

/** Everything but predictions. */
async function inform(services: Services, exchange: HttpExchange, path: DataPath): Promise<Answer> {
  if (path.kind === 'server') return { status: 200, body: SERVER };
  if (path.kind === 'live') return { status: 200, body: { live: true } };
  if (path.kind === 'ready') {
    const { ready } = services.readiness();
    return { status: ready ? 200 : 503, body: { live: true, ready } };
  }
  const authorization = exchange.header('authorization');
  const caller = callerOf(services, { authorization, apiKey: exchange.header('x-api-key') });
  if ('name' in path) {
    const endpoint = endpointFor(services, caller, path.name) ?? (await lookAgain(services, caller, path.name));
    const revision = chooseRevision(endpoint, { pin: path.version, random: 0 });
    return { status: 200, body: aboutModel(path, endpoint, revision) };
  }
  const visible = visibleEndpoints(services, caller);
  if (path.kind === 'index') return { status: 200, body: visible.flatMap(indexOf) };
  return { status: 200, body: { models: visible.map((endpoint) => endpoint.name) } };
}

function aboutModel(path: ModelPath, ...about: Parameters<typeof metadataOf>): unknown {
  if (path.kind === 'modelReady') return { name: about[0].name, ready: true };
  if (path.kind === 'config') return configOf(...about);
  return metadataOf(...about);
}
