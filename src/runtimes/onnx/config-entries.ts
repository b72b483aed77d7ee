import { AppError } from '../../errors.js';

/**
 * Session configuration that may be set: what changes how a model computes. Keys that read or write files, that say how
 * the model's bytes lie, or that other options have already, are not among them; ONNX Runtime passes over what it does
 * not know, so that a key with a mistake in it would do nothing and say nothing.
 */
const KEYS: ReadonlySet<string> = new Set([
  'mlas.disable_kleidiai',
  'mlas.use_lut_gemm',
  'optimization.disable_specified_optimizers',
  'optimization.enable_cast_chain_elimination',
  'optimization.enable_gelu_approximation',
  'session.allow_released_opsets_only',
  'session.disable_aot_function_inlining',
  'session.disable_cpu_ep_fallback',
  'session.disable_double_qdq_remover',
  'session.disable_prepacking',
  'session.disable_qdq_constant_folding',
  'session.disable_quant_qdq',
  'session.dynamic_block_base',
  'session.enable_dq_matmulnbits_fusion',
  'session.enable_quant_qdq_cleanup',
  'session.force_spinning_stop',
  'session.graph_optimizations_loop_level',
  'session.inter_op.allow_spinning',
  'session.inter_op.spin_duration_us',
  'session.intra_op.allow_spinning',
  'session.intra_op.spin_duration_us',
  'session.intra_op_thread_affinities',
  'session.qdq_matmulnbits_accuracy_level',
  'session.qdq_matmulnbits_block_size',
  'session.qdqisint8allowed',
  'session.strict_shape_type_inference',
  'session.use_deterministic_compute',
  'session.use_device_allocator_for_initializers',
  'session.x64quantprecision',
]);

/** ONNX Runtime's own bound. */
const MAX_VALUE = 1024;

/**
 * Reads the option `extra`, flat (`{"session.intra_op.allow_spinning": "0"}`) or in parts, as other bindings have it
 * (`{"session": {"intra_op": {"allow_spinning": "0"}}}`). true and false are 1 and 0.
 */
export function readConfigEntries(extra: unknown): Readonly<Record<string, string>> {
  const entries: Record<string, string> = {};
  if (extra === undefined) return entries;
  if (typeof extra !== 'object' || extra === null || Array.isArray(extra))
    throw new AppError('invalid', `option extra is ${JSON.stringify(extra)}, expected an object`);
  collect('', extra, entries);
  return entries;
}

function collect(prefix: string, part: object, entries: Record<string, string>): void {
  for (const [name, value] of Object.entries(part) as [string, unknown][]) {
    const key = prefix + name;
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      collect(`${key}.`, value, entries);
      continue;
    }
    if (!KEYS.has(key)) {
      const message = `option extra has "${key.slice(0, 128)}", which cannot be set; there are ${[...KEYS].join(', ')}`;
      throw new AppError('unsupported', message);
    }
    entries[key] = readValue(key, value);
  }
}

function readValue(key: string, value: unknown): string {
  if (typeof value === 'boolean') return value ? '1' : '0';
  const text = typeof value === 'number' ? String(value) : value;
  if (typeof text === 'string' && text.length <= MAX_VALUE && !text.includes('\0')) return text;
  throw new AppError(
    'invalid',
    `option extra: "${key}" is ${JSON.stringify(value)}, expected a text of at most ${MAX_VALUE} characters`,
  );
}
