/** Requests that a model must have answered before it counts as ready, so that no client pays for its first inference. */
import { AppError, messageOf } from '../errors.js';
import { DATATYPE_BYTES } from '../protocol/datatypes.js';
import type { InferRequest } from '../protocol/infer.js';
import type { Signature, TensorSpec } from '../protocol/signature.js';
import { elementCount, type Tensor, tensorFromBytes } from '../protocol/tensor.js';
import { parseInferRequest } from '../protocol/v2-json.js';
import type { Engine, EngineOptions, Loaded } from './engine.js';
import { callOf } from './infer.js';

const MAX_REQUESTS = 100;

/**
 * Runs what the load option `warmup` lists, each as often as the engine has lanes: `{"rows": N}` is a made-up request of
 * N rows of zeros, anything else an infer request as clients send it, in JSON. Throws `invalid` when one fails.
 */
export async function warmUp(engine: Engine, loaded: Loaded, options: EngineOptions): Promise<void> {
  const requests = options.warmup ?? [];
  if (!Array.isArray(requests) || requests.length > MAX_REQUESTS)
    throw new AppError('invalid', `option warmup is no list of at most ${MAX_REQUESTS} requests`);
  for (const [at, given] of requests.entries()) {
    try {
      const call = callOf(loaded, readRequest(given, loaded.signature));
      await Promise.all(Array.from({ length: loaded.lanes }, () => engine.infer(call)));
    } catch (error) {
      throw new AppError('invalid', `warmup[${at}] failed: ${messageOf(error)}`, { cause: error });
    }
  }
}

function readRequest(given: unknown, signature: Signature): InferRequest {
  const rows = (given as { rows?: unknown } | null)?.rows;
  if (rows === undefined) return parseInferRequest(Buffer.from(JSON.stringify(given) ?? ''));
  if (typeof rows !== 'number' || !Number.isInteger(rows) || rows < 1 || rows > 65_536)
    throw new AppError('invalid', `rows is ${JSON.stringify(rows)}, expected an integer from 1 to 65536`);
  return {
    id: undefined,
    parameters: {},
    inputs: signature.inputs.map((spec) => zeros(spec, rows)),
    outputs: undefined,
  };
}

/** A variable first dimension has `rows` entries, other variable ones have one. */
function zeros({ name, datatype, shape }: TensorSpec, rows: number): Tensor {
  const sizes = shape.map((size, axis) => (size === -1 ? (axis === 0 ? rows : 1) : size));
  // an element of BYTES is its length, here 0
  const width = datatype === 'BYTES' ? 4 : DATATYPE_BYTES[datatype];
  return tensorFromBytes(name, datatype, sizes, new Uint8Array(elementCount(sizes) * width));
}
