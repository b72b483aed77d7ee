/** Builds an Open Inference Protocol request from what a person has at hand. */
import type { TensorSpec } from '../api-types.js';
import { usageError } from '../exit.js';

export interface TensorInput {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly number[];
  readonly data: unknown;
}

/** Whether the value is a whole request already, which is sent as it is. */
export function isRequest(value: unknown): boolean {
  return isObject(value) && Array.isArray(value.inputs);
}

/** A request from data alone: an array for a model with one input, or an object of arrays by input name. */
export function buildRequest(data: unknown, specs: readonly TensorSpec[], model: string): { inputs: TensorInput[] } {
  const expected = specs.map((spec) => `${spec.name} ${spec.datatype}[${spec.shape.join(', ')}]`).join(', ');
  const only = specs[0];
  if (Array.isArray(data)) {
    if (specs.length !== 1 || !only) {
      throw usageError(`${model} takes ${specs.length} inputs (${expected}); give an object with an array for each`);
    }
    return { inputs: [tensor(data, only)] };
  }
  if (!isObject(data)) throw usageError(`the data is neither an array nor an object; ${model} takes ${expected}`);
  const unknown = Object.keys(data).find((name) => !specs.some((spec) => spec.name === name));
  if (unknown !== undefined) throw usageError(`${model} has no input "${unknown}"; it takes ${expected}`);
  return {
    inputs: specs.map((spec) => {
      const given = data[spec.name];
      if (!Array.isArray(given))
        throw usageError(`there is no array for input "${spec.name}"; ${model} takes ${expected}`);
      return tensor(given, spec);
    }),
  };
}

/** One tensor; a single row for an input of rows is taken as a batch of one. */
function tensor(data: readonly unknown[], spec: TensorSpec): TensorInput {
  const shape = shapeOf(data, spec.name);
  const isRow = shape.length === spec.shape.length - 1;
  const full = isRow ? [1, ...shape] : shape;
  const fits = full.length === spec.shape.length && spec.shape.every((size, at) => size < 0 || size === full[at]);
  if (!fits) {
    throw usageError(
      `input "${spec.name}" takes ${spec.datatype}[${spec.shape.join(', ')}], and the data is [${shape.join(', ')}]`,
    );
  }
  return { name: spec.name, datatype: spec.datatype, shape: full, data: isRow ? [data] : data };
}

/** The shape of nested arrays; refuses those whose rows differ. */
export function shapeOf(data: unknown, name: string, path = ''): number[] {
  if (!Array.isArray(data)) return [];
  const inner = data.map((one, at) => shapeOf(one, name, `${path}[${at}]`));
  const first = inner[0] ?? [];
  const odd = inner.findIndex((shape) => shape.join() !== first.join());
  if (odd >= 0) {
    const [a, b] = [`${path}[0]`, `${path}[${odd}]`];
    throw usageError(
      `input "${name}" is ragged: ${a} is [${first.join(', ')}], ${b} is [${(inner[odd] ?? []).join(', ')}]`,
    );
  }
  return [data.length, ...first];
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
