/** A server of every method that answers with what it was sent: for clients of other makes. */

import { AppError } from '../../src/errors.js';
import type { CallReceiver, GrpcCall } from '../../src/gateway/grpc/call.js';
import { type GrpcMethod, grpcMethod } from '../../src/gateway/grpc/methods.js';
import { unary } from '../../src/gateway/grpc/unary.js';
import { type GrpcInferRequest, readModelInferRequest } from '../../src/protocol/grpc/infer-request.js';
import {
  writeModelInferResponse,
  writeStreamError,
  writeStreamResponse,
} from '../../src/protocol/grpc/infer-response.js';
import * as messages from '../../src/protocol/grpc/messages.js';
import { readMessage, type Schema, type ValuesOf, writeMessage } from '../../src/protocol/protobuf/schema.js';
import { grpcServer, type TestGrpcServer } from './grpc-server.js';

const duration = (n: number) => ({ count: n, ns: n * 1000 });
const tensors = [{ name: 'x', datatype: 'FP32', shape: [-1, 64] }];

/** A method that answers always the same; what it read goes back as JSON in the trailing metadata `x-seen`. */
function fixed<Q extends Schema, A extends Schema>(question: Q, answer: A, values: ValuesOf<A>) {
  return (call: GrpcCall): CallReceiver =>
    unary((message) => {
      const seen = readMessage(question, message);
      const printed = JSON.stringify(seen, function (this: Record<string, unknown>, key, value: unknown) {
        const own = this[key];
        return Buffer.isBuffer(own) ? own.toString('hex') : value;
      });
      call.reply([writeMessage(answer, values)], { 'x-seen': printed });
      return undefined;
    });
}

const answerTo = (request: GrpcInferRequest) => ({
  modelName: request.modelName,
  modelVersion: request.modelVersion,
  id: request.id,
  outputs: request.inputs.filter(({ name }) => request.outputs?.some((output) => output.name === name) ?? true),
});

type Serve = (call: GrpcCall, never: () => void) => CallReceiver;

const METHODS: Record<GrpcMethod, Serve> = {
  ServerLive: fixed(messages.EMPTY, messages.SERVER_LIVE_RESPONSE, { live: true }),
  ServerReady: fixed(messages.EMPTY, messages.READY_RESPONSE, { ready: true }),
  ServerMetadata: fixed(messages.EMPTY, messages.SERVER_METADATA_RESPONSE, {
    name: 'sluice',
    version: '2',
    extensions: ['a', 'b'],
  }),
  ModelReady: fixed(messages.MODEL_REQUEST, messages.READY_RESPONSE, { ready: false }),
  ModelMetadata: fixed(messages.MODEL_REQUEST, messages.MODEL_METADATA_RESPONSE, {
    name: 'm',
    versions: ['1', '2'],
    platform: 'p',
    inputs: tensors,
    outputs: tensors,
  }),
  ModelConfig: fixed(messages.MODEL_REQUEST, messages.MODEL_CONFIG_RESPONSE, {
    config: {
      name: 'm',
      platform: 'onnxruntime_onnx',
      backend: 'onnxruntime',
      max_batch_size: 8,
      input: [{ name: 'x', data_type: messages.CONFIG_DATATYPES.FP32, dims: [64] }],
      output: [{ name: 'y', data_type: messages.CONFIG_DATATYPES.BYTES, dims: [-1] }],
    },
  }),
  ModelStatistics: fixed(messages.MODEL_REQUEST, messages.MODEL_STATISTICS_RESPONSE, {
    model_stats: [
      {
        name: 'm',
        version: '1',
        last_inference: 1_700_000_000_000,
        inference_count: 2 ** 40,
        execution_count: 3,
        inference_stats: { success: duration(7), cache_miss: duration(8) },
        batch_stats: [{ batch_size: 4, compute_infer: duration(9) }],
      },
    ],
  }),
  RepositoryIndex: fixed(messages.REPOSITORY_INDEX_REQUEST, messages.REPOSITORY_INDEX_RESPONSE, {
    models: [{ name: 'm', version: '1', state: 'READY', reason: '' }],
  }),
  RepositoryModelLoad: fixed(messages.REPOSITORY_MODEL_REQUEST, messages.EMPTY, {}),
  RepositoryModelUnload: fixed(messages.REPOSITORY_MODEL_REQUEST, messages.EMPTY, {}),
  TraceSetting: fixed(messages.TRACE_SETTING_REQUEST, messages.TRACE_SETTING_RESPONSE, {
    settings: { trace_level: { value: ['TIMESTAMPS', 'TENSORS'] } },
  }),
  LogSettings: fixed(messages.LOG_SETTINGS, messages.LOG_SETTINGS, {
    settings: {
      log_info: { bool_param: false },
      log_verbose_level: { uint32_param: 2 },
      log_format: { string_param: '' },
    },
  }),
  HealthCheck: fixed(messages.HEALTH_CHECK_REQUEST, messages.HEALTH_CHECK_RESPONSE, {
    status: messages.SERVING_STATUS.SERVING,
  }),
  ModelInfer: (call, never) => {
    call.headMetadata = { 'x-deadline': String(call.deadlineMs), 'x-auth': call.header('authorization') ?? '' };
    const bin = call.header('x-data-bin');
    return unary((message) => {
      const request = readModelInferRequest(message);
      if (request.modelName === 'never') return never;
      if (request.modelName === 'missing')
        throw new AppError('not_found', 'there is no endpoint "missing", 100 % sure: é');
      call.reply(
        writeModelInferResponse(answerTo(request), request.rawOutputs),
        bin === undefined ? {} : { 'x-data-bin': bin },
      );
      return undefined;
    });
  },
  ModelStreamInfer: (call) => ({
    message(bytes) {
      const request = readModelInferRequest(bytes);
      if (request.modelName === 'missing') call.send(writeStreamError('there is no endpoint "missing"'));
      else call.send(writeStreamResponse(answerTo(request), request.rawOutputs));
    },
    end: () => call.end(),
    cancel() {},
  }),
};

export interface EchoServer extends TestGrpcServer {
  /** Calls of the model "never" that their client gave up. */
  readonly cancelled: () => number;
}

export async function echoServer(maxMessageBytes: number): Promise<EchoServer> {
  let cancelled = 0;
  const never = () => {
    cancelled++;
  };
  const server = await grpcServer({
    maxMessageBytes,
    onCall(call) {
      const method = grpcMethod(call.path);
      if (method === undefined) throw new AppError('unsupported', `there is no method ${call.path}`);
      return METHODS[method](call, never);
    },
  });
  return { ...server, cancelled: () => cancelled };
}
