import { AppError } from '../errors.js';
import type { Signature, TensorSpec } from '../protocol/signature.js';
import type { Tensor } from '../protocol/tensor.js';

/** Names of variable dimensions, by input and axis; numbers are fixed dimensions. */
export type DimensionNames = ReadonlyMap<string, readonly (string | number)[]>;

/**
 * Refuses inputs that the model does not take, before they reach it: the client's mistake gets a 400 with both shapes,
 * and what fails after this is the model's own. An empty shape in the signature says nothing, so it is not compared.
 */
export function checkInputs(signature: Signature, inputs: readonly Tensor[], names?: DimensionNames): void {
  for (const input of inputs) {
    const spec = signature.inputs.find((candidate) => candidate.name === input.name);
    if (!spec) {
      throw new AppError('invalid', `the model has no input "${input.name}"; it takes ${list(signature.inputs)}`);
    }
    if (spec.datatype !== input.datatype) {
      throw new AppError('invalid', `input "${input.name}" is ${input.datatype}, the model takes ${spec.datatype}`, {
        details: { input: input.name, datatype: input.datatype, expected: spec.datatype },
      });
    }
    if (!fits(spec.shape, input.shape)) {
      throw new AppError(
        'invalid',
        `input "${input.name}" has shape [${input.shape.join(',')}], the model takes [${spec.shape.join(',')}]`,
        { details: { input: input.name, shape: input.shape, expected: spec.shape } },
      );
    }
  }
  for (const spec of signature.inputs) {
    if (inputs.some((input) => input.name === spec.name)) continue;
    throw new AppError('invalid', `input "${spec.name}" is missing; the model takes ${list(signature.inputs)}`);
  }
  if (names && inputs.length > 1) checkShared(inputs, names);
}

/** Refuses outputs that the model does not have. */
export function checkOutputs(signature: Signature, outputs: readonly string[]): void {
  for (const name of outputs) {
    if (signature.outputs.some((spec) => spec.name === name)) continue;
    throw new AppError('invalid', `the model has no output "${name}"; it gives ${list(signature.outputs)}`);
  }
}

function fits(spec: readonly number[], shape: readonly number[]): boolean {
  if (spec.length === 0) return true;
  if (spec.length !== shape.length) return false;
  for (let axis = 0; axis < spec.length; axis++) {
    if (spec[axis] !== -1 && spec[axis] !== shape[axis]) return false;
  }
  return true;
}

/** Dimensions of one name, such as the batch, must be equal in all inputs. */
function checkShared(inputs: readonly Tensor[], names: DimensionNames): void {
  const seen = new Map<string, { input: Tensor; size: number }>();
  for (const input of inputs) {
    for (const [axis, name] of (names.get(input.name) ?? []).entries()) {
      if (typeof name !== 'string' || name === '') continue;
      const size = input.shape[axis] as number;
      const first = seen.get(name);
      if (!first) {
        seen.set(name, { input, size });
      } else if (first.size !== size) {
        throw new AppError(
          'invalid',
          `inputs "${first.input.name}" and "${input.name}" differ in the dimension "${name}": ` +
            `shapes [${first.input.shape.join(',')}] and [${input.shape.join(',')}]`,
        );
      }
    }
  }
}

function list(specs: readonly TensorSpec[]): string {
  return specs.map((spec) => `"${spec.name}"`).join(', ');
}
