import type { Datatype } from './datatypes.js';

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
