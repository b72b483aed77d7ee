/** What the protocol tells besides predictions, in the messages of its gRPC service. */
import { AppError } from '../../errors.js';
import * as messages from '../../protocol/grpc/messages.js';
import {
  type MessageOf,
  readMessage,
  type Schema,
  type ValuesOf,
  writeMessage,
} from '../../protocol/protobuf/schema.js';
import { type GrpcMethod, INFERENCE_SERVICE } from '../grpc/methods.js';
import { requireAdmin } from './access.js';
import {
  about,
  askerOf,
  checkTraceSettings,
  isReady,
  modelStatistics,
  repositoryIndex,
  SERVER,
  TRACE_SETTINGS,
} from './information.js';
import { changeLogSettings, type LogSetting, logSettings } from './log-settings.js';
import { type ConfigTensor, configOf, metadataOf } from './model-info.js';
import type { HeaderSource, Named, Plane } from './plane.js';
import { checkLoadParameters, loadModel, unloadModel } from './repository.js';

/** Methods that are no predictions. */
export type InformationMethod = Exclude<GrpcMethod, 'ModelInfer' | 'ModelStreamInfer'>;

type Inform = (plane: Plane, source: HeaderSource, message: Buffer) => Promise<Buffer>;

/** Answers a method: message in, message out. */
export const INFORM: Readonly<Record<InformationMethod, Inform>> = {
  ServerLive: method(messages.EMPTY, messages.SERVER_LIVE_RESPONSE, () => ({ live: true })),
  ServerReady: method(messages.EMPTY, messages.READY_RESPONSE, ({ services }) => ({
    ready: services.readiness().ready,
  })),
  ServerMetadata: method(messages.EMPTY, messages.SERVER_METADATA_RESPONSE, () => SERVER),
  ModelReady: method(messages.MODEL_REQUEST, messages.READY_RESPONSE, async (plane, source, asked) => ({
    ready: await isReady(plane, source, namedBy(asked)),
  })),
  ModelMetadata: method(messages.MODEL_REQUEST, messages.MODEL_METADATA_RESPONSE, async (plane, source, asked) => {
    const { endpoint, revision } = await about(plane, source, namedBy(asked));
    return metadataOf(endpoint, revision);
  }),
  ModelConfig: method(messages.MODEL_REQUEST, messages.MODEL_CONFIG_RESPONSE, async (plane, source, asked) => {
    const { endpoint, revision } = await about(plane, source, namedBy(asked));
    const { input, output, ...config } = configOf(endpoint, revision);
    return { config: { ...config, input: input.map(configTensor), output: output.map(configTensor) } };
  }),
  ModelStatistics: method(messages.MODEL_REQUEST, messages.MODEL_STATISTICS_RESPONSE, async (plane, source, asked) => ({
    model_stats: await modelStatistics(plane, source, asked.name === '' ? undefined : namedBy(asked)),
  })),
  RepositoryIndex: method(
    messages.REPOSITORY_INDEX_REQUEST,
    messages.REPOSITORY_INDEX_RESPONSE,
    (plane, source, { ready }) => ({ models: repositoryIndex(plane, source, ready) }),
  ),
  RepositoryModelLoad: method(messages.REPOSITORY_MODEL_REQUEST, messages.EMPTY, async (plane, source, asked) => {
    checkLoadParameters(asked.parameters);
    await loadModel(plane, source, asked.model_name);
    return {};
  }),
  RepositoryModelUnload: method(messages.REPOSITORY_MODEL_REQUEST, messages.EMPTY, async (plane, source, asked) => {
    checkLoadParameters(asked.parameters);
    await unloadModel(plane, source, asked.model_name);
    return {};
  }),
  TraceSetting: method(
    messages.TRACE_SETTING_REQUEST,
    messages.TRACE_SETTING_RESPONSE,
    async (plane, source, asked) => {
      const { settings, model_name: name } = asked;
      if (name === '') askerOf(plane, source);
      else await about(plane, source, { name });
      checkTraceSettings(mapValues(settings, ({ value }) => value));
      return { settings: mapValues(TRACE_SETTINGS, (value) => ({ value })) };
    },
  ),
  LogSettings: method(messages.LOG_SETTINGS, messages.LOG_SETTINGS, (plane, source, { settings }) => {
    const { log } = plane.services;
    requireAdmin(askerOf(plane, source));
    changeLogSettings(
      log,
      mapValues(settings, (one) => one.bool_param ?? one.uint32_param ?? one.string_param),
    );
    return { settings: mapValues(logSettings(log), choiceOf) };
  }),
  HealthCheck: method(messages.HEALTH_CHECK_REQUEST, messages.HEALTH_CHECK_RESPONSE, ({ services }, _, { service }) => {
    if (service !== '' && service !== INFERENCE_SERVICE)
      throw new AppError('not_found', `there is no service "${service.slice(0, 100)}"`);
    const { SERVING, NOT_SERVING } = messages.SERVING_STATUS;
    return { status: services.readiness().ready ? SERVING : NOT_SERVING };
  }),
};

/** A method by what it reads, what it writes, and what it does. */
function method<Q extends Schema, A extends Schema>(
  question: Q,
  answer: A,
  reply: (plane: Plane, source: HeaderSource, asked: MessageOf<Q>) => ValuesOf<A> | Promise<ValuesOf<A>>,
): Inform {
  return async (plane, source, message) =>
    writeMessage(answer, await reply(plane, source, readMessage(question, message)));
}

function namedBy({ name, version }: { readonly name: string; readonly version: string }): Named {
  return { name, version: version === '' ? undefined : version };
}

function configTensor({ name, datatype, dims }: ConfigTensor) {
  return { name, data_type: messages.CONFIG_DATATYPES[datatype], dims };
}

function choiceOf(value: LogSetting) {
  if (typeof value === 'boolean') return { bool_param: value };
  return typeof value === 'number' ? { uint32_param: value } : { string_param: value };
}

function mapValues<T, U>(object: Readonly<Record<string, T>>, map: (value: T) => U): Record<string, U> {
  return Object.fromEntries(Object.entries(object).map(([name, value]) => [name, map(value)]));
}
