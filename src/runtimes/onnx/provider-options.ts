import { AppError } from '../../errors.js';

interface ProviderKind {
  /** ONNX Runtime's own name of it. */
  readonly ortName: string;
  /**
   * Settings that a load may make, by ONNX Runtime's names. None of those that name files, libraries or addresses: whoever
   * may load models may not choose what code is loaded, or where in memory is written.
   */
  readonly settings: readonly string[];
}

/** What can compute, by the names that ONNX Runtime's bindings have for them. */
export const PROVIDERS = {
  cpu: { ortName: 'CPUExecutionProvider', settings: [] },
  cuda: {
    ortName: 'CUDAExecutionProvider',
    settings: [
      ...['device_id', 'gpu_mem_limit', 'arena_extend_strategy', 'cudnn_conv_algo_search', 'do_copy_in_default_stream'],
      ...['cudnn_conv_use_max_workspace', 'cudnn_conv1d_pad_to_nc1d', 'prefer_nhwc', 'use_tf32', 'fuse_conv_bias'],
      ...['enable_skip_layer_norm_strict_mode', 'use_ep_level_unified_stream', 'tunable_op_enable'],
      ...['tunable_op_tuning_enable', 'tunable_op_max_tuning_duration_ms', 'sdpa_kernel'],
    ],
  },
  tensorrt: {
    ortName: 'TensorrtExecutionProvider',
    settings: [
      ...['device_id', 'trt_max_workspace_size', 'trt_max_partition_iterations', 'trt_min_subgraph_size'],
      ...[
        'trt_fp16_enable',
        'trt_bf16_enable',
        'trt_int8_enable',
        'trt_sparsity_enable',
        'trt_layer_norm_fp32_fallback',
      ],
      ...['trt_builder_optimization_level', 'trt_force_sequential_engine_build', 'trt_context_memory_sharing_enable'],
      ...['trt_profile_min_shapes', 'trt_profile_opt_shapes', 'trt_profile_max_shapes'],
    ],
  },
  webgpu: { ortName: 'WebGpuExecutionProvider', settings: ['preferredLayout'] },
  coreml: {
    ortName: 'CoreMLExecutionProvider',
    settings: ['ModelFormat', 'MLComputeUnits', 'RequireStaticInputShapes', 'EnableOnSubgraphs'],
  },
} as const satisfies Record<string, ProviderKind>;

export type ProviderName = keyof typeof PROVIDERS;

export interface ProviderRequest {
  readonly name: ProviderName;
  readonly settings: Readonly<Record<string, string>>;
}

/** Reads the option `executionProviders`: names, or objects with a name and settings. */
export function readProviders(value: unknown): readonly ProviderRequest[] | undefined {
  if (value === undefined) return undefined;
  if (!Array.isArray(value) || value.length === 0) throw wrong(value);
  const requests = value.map((entry: unknown): ProviderRequest => {
    const { name, ...settings } = (typeof entry === 'object' && entry !== null ? entry : { name: entry }) as {
      readonly name?: unknown;
    };
    if (typeof name !== 'string' || !isProvider(name)) throw wrong(value);
    return { name, settings: readSettings(name, settings) };
  });
  if (new Set(requests.map(({ name }) => name)).size < requests.length) throw wrong(value);
  return requests;
}

function wrong(value: unknown): AppError {
  return new AppError(
    'invalid',
    `option executionProviders is ${JSON.stringify(value)}, expected a list of ${Object.keys(PROVIDERS).join(', ')}, each ` +
      'at most once, as a name or as an object with a name and settings',
  );
}

function isProvider(name: string): name is ProviderName {
  return Object.hasOwn(PROVIDERS, name);
}

function readSettings(provider: ProviderName, given: Readonly<Record<string, unknown>>): Record<string, string> {
  const { settings }: ProviderKind = PROVIDERS[provider];
  const entries = Object.entries(given).map(([name, value]): [string, string] => {
    // as onnxruntime-node calls it
    const setting = name === 'deviceId' ? 'device_id' : name;
    if (!settings.includes(setting)) {
      const known = settings.length > 0 ? `there are ${settings.join(', ')}` : 'it has none';
      throw new AppError('unsupported', `option executionProviders: ${provider} has no setting "${name}"; ${known}`);
    }
    if (typeof value === 'boolean') return [setting, value ? '1' : '0'];
    if (typeof value === 'number' || (typeof value === 'string' && !value.includes('\0')))
      return [setting, String(value)];
    throw new AppError(
      'invalid',
      `option executionProviders: ${name} of ${provider} is ${JSON.stringify(value)}, expected a text or a number`,
    );
  });
  return Object.fromEntries(entries);
}
