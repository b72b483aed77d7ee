import { type Datatype, isDatatype } from './datatypes.js';

/** One input or output of a model as its metadata tells it. */
export interface TensorSpec {
  readonly name: string;
  readonly datatype: Datatype;
  /** Row-major dimensions; -1 is variable. Empty: a scalar, or a model that does not say. */
  readonly shape: readonly number[];
}

/** What a model takes and gives: read from the model itself at load, kept with each model version. */
export interface Signature {
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
}

/** Reads model metadata as a server answers it; empty where it is none, or not what the protocol says. */
export function readSignature(metadata: Buffer): Signature {
  let root: unknown;
  try {
    root = JSON.parse(metadata.toString('utf8'));
  } catch {
    return NOTHING_KNOWN;
  }
  if (typeof root !== 'object' || root === null) return NOTHING_KNOWN;
  const { inputs = [], outputs = [] } = root as { inputs?: unknown; outputs?: unknown };
  return areSpecs(inputs) && areSpecs(outputs) ? { inputs, outputs } : NOTHING_KNOWN;
}

const NOTHING_KNOWN: Signature = { inputs: [], outputs: [] };

function areSpecs(specs: unknown): specs is TensorSpec[] {
  return Array.isArray(specs) && specs.every(isSpec);
}

function isSpec(spec: unknown): spec is TensorSpec {
  if (typeof spec !== 'object' || spec === null) return false;
  const { name, datatype, shape } = spec as Partial<Record<keyof TensorSpec, unknown>>;
  return typeof name === 'string' && isDatatype(datatype) && Array.isArray(shape) && shape.every(Number.isSafeInteger);
}
