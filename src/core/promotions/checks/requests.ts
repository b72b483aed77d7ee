/** Requests to measure with: rows of a dataset, or what a signature says may be sent. */
import { AppError } from '../../../errors.js';
import type { Signature } from '../../../protocol/signature.js';
import { bodyOf, type JsonTensor, readEvaluationSet, rowsOf } from '../evaluation-set.js';
import type { Check } from './check.js';

/** Bodies made ahead: what is measured is the model, not the printing. */
const DIFFERENT = 64;

export interface MadeRequests {
  readonly bodies: readonly Buffer[];
  /** Where they came from. */
  readonly evidence: Readonly<Record<string, unknown>>;
}

export async function makeRequests(
  { deps, input, candidate }: Pick<Check, 'deps' | 'input' | 'candidate'>,
  dataset: string | undefined,
  rows: number,
): Promise<MadeRequests> {
  if (dataset === undefined) {
    const inputs = zerosOf(candidate.signature, rows);
    return { bodies: [bodyOf(inputs)], evidence: { requestsOf: 'the signature' } };
  }
  const set = await readEvaluationSet(deps.db, deps.blobs, input.project, dataset);
  const each = Math.min(rows, set.rows);
  const count = Math.min(DIFFERENT, Math.floor(set.rows / each));
  const bodies = Array.from({ length: count }, (_, at) => bodyOf(rowsOf(set, at * each, (at + 1) * each)));
  return { bodies, evidence: { dataset, digest: set.digest } };
}

/** Inputs of a signature, all zeros or empty texts; `rows` of them, and 1 wherever else a size is open. */
export function zerosOf({ inputs }: Signature, rows: number): JsonTensor[] {
  if (inputs.length === 0)
    throw new AppError('invalid', 'the model does not say what it takes: name a dataset whose rows are sent');
  return inputs.map(({ name, datatype, shape }) => {
    const sizes = shape.map((size, at) => (size === -1 ? (at === 0 ? rows : 1) : size));
    const count = sizes.reduce((product, size) => product * size, 1);
    const zero = datatype === 'BYTES' ? '' : datatype === 'BOOL' ? false : 0;
    return { name, datatype, shape: sizes.length > 0 ? sizes : [1], data: new Array(count).fill(zero) };
  });
}
