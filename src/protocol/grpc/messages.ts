/**
 * The messages of `inference.GRPCInferenceService` beside those of predictions, and those of gRPC's health service. Field
 * numbers are those of Triton's `grpc_service.proto`; the whole of what is served is in docs/inference.proto.
 */
import {
  bool,
  bytes,
  count,
  counts,
  int32,
  map,
  message,
  optional,
  repeated,
  string,
  uint32,
} from '../protobuf/schema.js';

/** Of ServerLive, ServerReady, ServerMetadata; of RepositoryModelLoad's and RepositoryModelUnload's answers. */
export const EMPTY = {};

export const SERVER_LIVE_RESPONSE = { live: bool(1) };

/** Of ServerReady and ModelReady. */
export const READY_RESPONSE = { ready: bool(1) };

/** Asks about one model: of ModelReady, ModelMetadata, ModelConfig and ModelStatistics. */
export const MODEL_REQUEST = { name: string(1), version: string(2) };

export const SERVER_METADATA_RESPONSE = { name: string(1), version: string(2), extensions: repeated(string(3)) };

const TENSOR_METADATA = { name: string(1), datatype: string(2), shape: counts(3) };

export const MODEL_METADATA_RESPONSE = {
  name: string(1),
  versions: repeated(string(2)),
  platform: string(3),
  inputs: repeated(message(4, TENSOR_METADATA)),
  outputs: repeated(message(5, TENSOR_METADATA)),
};

/** Triton's enumeration of datatypes in a model's configuration. */
export const CONFIG_DATATYPES = {
  BOOL: 1,
  UINT8: 2,
  UINT16: 3,
  UINT32: 4,
  UINT64: 5,
  INT8: 6,
  INT16: 7,
  INT32: 8,
  INT64: 9,
  FP16: 10,
  FP32: 11,
  FP64: 12,
  BYTES: 13,
  BF16: 14,
} as const;

const CONFIG_TENSOR = { name: string(1), data_type: int32(2), dims: counts(4) };
/** Of an output the dimensions have another number. */
const CONFIG_OUTPUT = { name: string(1), data_type: int32(2), dims: counts(3) };

/** What Triton's `ModelConfig` says that clients look at; the rest is Triton's own business. */
export const MODEL_CONFIG_RESPONSE = {
  config: message(1, {
    name: string(1),
    platform: string(2),
    backend: string(17),
    max_batch_size: int32(4),
    input: repeated(message(5, CONFIG_TENSOR)),
    output: repeated(message(6, CONFIG_OUTPUT)),
  }),
};

const DURATION = { count: count(1), ns: count(2) };

export const MODEL_STATISTICS_RESPONSE = {
  model_stats: repeated(
    message(1, {
      name: string(1),
      version: string(2),
      last_inference: count(3),
      inference_count: count(4),
      execution_count: count(5),
      inference_stats: message(6, {
        success: message(1, DURATION),
        fail: message(2, DURATION),
        queue: message(3, DURATION),
        compute_input: message(4, DURATION),
        compute_infer: message(5, DURATION),
        compute_output: message(6, DURATION),
        cache_hit: message(7, DURATION),
        cache_miss: message(8, DURATION),
      }),
      batch_stats: repeated(
        message(7, {
          batch_size: count(1),
          compute_input: message(2, DURATION),
          compute_infer: message(3, DURATION),
          compute_output: message(4, DURATION),
        }),
      ),
    }),
  ),
};

export const REPOSITORY_INDEX_REQUEST = { repository_name: string(1), ready: bool(2) };

export const REPOSITORY_INDEX_RESPONSE = {
  models: repeated(message(1, { name: string(1), version: string(2), state: string(3), reason: string(4) })),
};

/** Of RepositoryModelLoad and RepositoryModelUnload. */
export const REPOSITORY_MODEL_REQUEST = {
  repository_name: string(1),
  model_name: string(2),
  parameters: map(
    3,
    message(2, {
      bool_param: optional(bool(1)),
      int64_param: optional(count(2)),
      string_param: optional(string(3)),
      bytes_param: optional(bytes(4)),
    }),
  ),
};

const TRACE_SETTINGS = map(1, message(2, { value: repeated(string(1)) }));

/** A setting without a value is to go back to its default. */
export const TRACE_SETTING_REQUEST = { settings: TRACE_SETTINGS, model_name: string(2) };

export const TRACE_SETTING_RESPONSE = { settings: TRACE_SETTINGS };

/** Of LogSettings' request and answer. */
export const LOG_SETTINGS = {
  settings: map(
    1,
    message(2, {
      bool_param: optional(bool(1)),
      uint32_param: optional(uint32(2)),
      string_param: optional(string(3)),
    }),
  ),
};

/** Of grpc.health.v1.Health, which probes ask; the service is empty for the server as a whole. */
export const HEALTH_CHECK_REQUEST = { service: string(1) };

export const HEALTH_CHECK_RESPONSE = { status: int32(1) };

/** The values of `status`. */
export const SERVING_STATUS = { UNKNOWN: 0, SERVING: 1, NOT_SERVING: 2, SERVICE_UNKNOWN: 3 } as const;
