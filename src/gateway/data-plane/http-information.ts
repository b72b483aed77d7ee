import { readJsonObject } from '../../protocol/json-object.js';
import type { HttpExchange } from '../http/exchange.js';
import { wholeBody } from '../http/whole-body.js';
import { requireAdmin } from './access.js';
import {
  about,
  askerOf,
  checkTraceSettings,
  endpointsFor,
  modelStatistics,
  repositoryIndex,
  SERVER,
  TRACE_SETTINGS,
} from './information.js';
import { changeLogSettings, logSettings } from './log-settings.js';
import { type ConfigTensor, configOf, metadataOf } from './model-info.js';
import type { DataPath, InferPath, ModelPath, OpenAiPath } from './paths.js';
import type { Plane } from './plane.js';
import { checkLoadParameters, loadModel, unloadModel } from './repository.js';
import { openAiModel, openAiModels, v1Metadata, v1Models, v1Status } from './v1-info.js';

export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

/** Paths that are no predictions. */
export type InformationPath = Exclude<DataPath, InferPath | OpenAiPath>;

/** A question at hand. */
interface Asked {
  readonly plane: Plane;
  readonly exchange: HttpExchange;
}

/** Answers everything but predictions. */
export async function inform(plane: Plane, exchange: HttpExchange, path: InformationPath): Promise<Answer> {
  const asked = { plane, exchange };
  return 'name' in path ? ofModel(asked, path) : ofServer(asked, path.kind);
}

async function ofServer(asked: Asked, kind: Exclude<InformationPath, ModelPath>['kind']): Promise<Answer> {
  const { plane, exchange } = asked;
  switch (kind) {
    case 'server':
      return ok(SERVER);
    case 'live':
      return ok({ live: true });
    case 'ready': {
      const { ready } = plane.services.readiness();
      return { status: ready ? 200 : 503, body: { live: true, ready } };
    }
    case 'list':
      return ok({ models: endpointsFor(plane, exchange).map((endpoint) => endpoint.name) });
    case 'index':
      return ok(repositoryIndex(plane, exchange, (await jsonBody(asked)).ready === true));
    case 'statistics':
      return ok({ model_stats: await modelStatistics(plane, exchange, undefined) });
    case 'traceSettings':
      return traceSettings(asked);
    case 'logSettings':
      return logs(asked);
    case 'v1List':
      return ok(v1Models(endpointsFor(plane, exchange)));
    case 'openaiModels': {
      const served = endpointsFor(plane, exchange).filter(({ targets }) =>
        targets.some(({ revision }) => revision.server?.protocols.includes('openai')),
      );
      return ok(openAiModels(served));
    }
  }
}

async function ofModel(asked: Asked, path: ModelPath): Promise<Answer> {
  const { plane, exchange } = asked;
  const { kind, name } = path;
  if (kind === 'load' || kind === 'unload') {
    checkLoadParameters((await jsonBody(asked)).parameters);
    await (kind === 'load' ? loadModel(plane, exchange, name) : unloadModel(plane, exchange, name));
    return ok({});
  }
  if (kind === 'modelStatistics') return ok({ model_stats: await modelStatistics(plane, exchange, path) });
  const { endpoint, revision } = await about(plane, exchange, path);
  switch (kind) {
    case 'modelReady':
      return ok({ name, ready: true });
    case 'metadata':
      return ok(metadataOf(endpoint, revision));
    case 'config': {
      const { input, output, ...config } = configOf(endpoint, revision);
      return ok({ ...config, input: input.map(configTensor), output: output.map(configTensor) });
    }
    case 'modelTraceSettings':
      return traceSettings(asked);
    case 'v1Status': {
      const one = path.version !== undefined || path.tag !== undefined;
      return ok(v1Status(endpoint, one ? [revision] : endpoint.targets.map((target) => target.revision)));
    }
    case 'v1Metadata':
      return ok(v1Metadata(endpoint, revision));
    case 'openaiModel':
      return ok(openAiModel(endpoint));
  }
}

async function traceSettings(asked: Asked): Promise<Answer> {
  askerOf(asked.plane, asked.exchange);
  const changes = await changesOf(asked);
  if (changes) {
    checkTraceSettings(
      Object.fromEntries(
        Object.entries(changes).map(([name, value]) => [name, value === null ? null : [value].flat().map(textOf)]),
      ),
    );
  }
  return ok(TRACE_SETTINGS);
}

/** A setting's value as text, whatever it is: an object may have a toString of its own, which is none. */
function textOf(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

async function logs(asked: Asked): Promise<Answer> {
  const { log } = asked.plane.services;
  requireAdmin(askerOf(asked.plane, asked.exchange));
  const changes = await changesOf(asked);
  if (changes) changeLogSettings(log, changes);
  return ok(logSettings(log));
}

/** What a request that may change something is to change; undefined for one that only reads. */
async function changesOf(asked: Asked): Promise<Readonly<Record<string, unknown>> | undefined> {
  return asked.exchange.method === 'POST' ? jsonBody(asked) : undefined;
}

function configTensor({ name, datatype, dims }: ConfigTensor) {
  return { name, data_type: `TYPE_${datatype === 'BYTES' ? 'STRING' : datatype}`, dims };
}

async function jsonBody({ plane, exchange }: Asked): Promise<Readonly<Record<string, unknown>>> {
  const { bodyBytes, apiTimeoutMs } = plane.services.limits;
  return readJsonObject(await wholeBody(exchange, { maxBytes: bodyBytes, timeoutMs: apiTimeoutMs }));
}

function ok(body: unknown): Answer {
  return { status: 200, body };
}
