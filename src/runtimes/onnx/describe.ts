import { AppError } from '../../errors.js';
import type { Signature, TensorSpec } from '../../protocol/signature.js';
import type { DimensionNames } from '../check.js';
import type { Loaded } from '../engine.js';
import type { Declared, Session } from './session.js';
import { datatypeOf } from './types.js';

/** What a model takes and gives; `unsupported`, naming it, for an input or output that the protocol cannot carry. */
export function describe({ inputs, outputs }: Session): Pick<Loaded, 'signature' | 'dimensionNames' | 'batchable'> {
  const signature: Signature = {
    inputs: inputs.map((declared) => specOf('input', declared)),
    outputs: outputs.map((declared) => specOf('output', declared)),
  };
  const dimensionNames = new Map(inputs.map((declared) => [declared.name, namesOf(declared)]));
  return { signature, dimensionNames, batchable: declaresBatch(signature, dimensionNames) };
}

function specOf(role: 'input' | 'output', { name, type }: Declared): TensorSpec {
  const datatype = type.kind === 'tensor' ? datatypeOf(type.elementType) : undefined;
  if (type.kind === 'tensor' && datatype !== undefined) return { name, datatype, shape: type.shape };
  const remedy = type.text.startsWith('sequence(map(')
    ? '; convert scikit-learn models with the option zipmap=False'
    : '';
  throw new AppError(
    'unsupported',
    `${role} "${name}" has the type ${type.text}, which the protocol cannot carry${remedy}`,
    { details: { [role]: name, type: type.text } },
  );
}

function namesOf({ type }: Declared): (string | number)[] {
  if (type.kind !== 'tensor') return [];
  return type.shape.map((size, axis) => (size === -1 ? (type.dimensionNames[axis] ?? '') : size));
}

/** Whether every input and output begins with a variable dimension, in all inputs the same one. */
function declaresBatch({ inputs, outputs }: Signature, names: DimensionNames): boolean {
  const first = new Set(inputs.map((input) => names.get(input.name)?.[0]));
  return inputs.length > 0 && first.size === 1 && [...inputs, ...outputs].every((spec) => spec.shape[0] === -1);
}
