import type { Datatype } from '../../protocol/datatypes.js';

/** One output of a model as a column of the answers. */
export interface OutputColumn {
  readonly name: string;
  readonly datatype: Datatype;
  /** Of one row: without the first dimension. */
  readonly shape: readonly number[];
}
