/** Requests joined along the first axis, and their answers taken apart again. Pure. */
import { AppError } from '../../errors.js';
import type { Signature } from '../../protocol/signature.js';
import { makeTensor, type Tensor } from '../../protocol/tensor.js';

/** The inputs in the order of the signature, whatever order they came in; all of them are there. */
export function inOrder(signature: Signature, inputs: readonly Tensor[]): readonly Tensor[] {
  let same = true;
  for (let i = 0; i < inputs.length && same; i++) same = inputs[i]?.name === signature.inputs[i]?.name;
  if (same) return inputs;
  return signature.inputs.flatMap((spec) => inputs.filter((input) => input.name === spec.name));
}

/** How many rows the inputs have, when each has as many; undefined when they differ, or one has no axis. */
export function rowsOf(inputs: readonly Tensor[]): number | undefined {
  const rows = inputs[0]?.shape[0];
  for (let i = 1; i < inputs.length; i++) if (inputs[i]?.shape[0] !== rows) return undefined;
  return rows;
}

/** Requests with equal keys can be joined: what each row looks like, and what is asked for. */
export function joinKey(inputs: readonly Tensor[], outputs: readonly string[] | undefined, signature = ''): string {
  let key = signature;
  for (const input of inputs) key += `|${input.shape.slice(1).join(',')}`;
  return outputs === undefined ? key : `${key}>${outputs.join('\n')}`;
}

/** What requests to a model whose inputs nothing fixes must have in common besides. */
export function nameKey(inputs: readonly Tensor[]): string {
  return inputs.map(({ name, datatype }) => `\n${datatype} ${name}`).join('');
}

/** One request's inputs per entry, all in the same order: the inputs of all, one behind the other. */
export function joinInputs(requests: readonly (readonly Tensor[])[]): Tensor[] {
  const [first = []] = requests;
  return first.map((model, at) => {
    const parts = requests.map((inputs) => inputs[at] as Tensor);
    const rows = parts.reduce((sum, part) => sum + (part.shape[0] as number), 0);
    return { ...model, shape: [rows, ...model.shape.slice(1)], data: joinData(parts) } as Tensor;
  });
}

type Numbers = Exclude<Tensor['data'], readonly Buffer[]>;

function joinData(parts: readonly Tensor[]): Tensor['data'] {
  const [first] = parts as readonly [Tensor];
  if (first.datatype === 'BYTES') return parts.flatMap((part) => part.data as readonly Buffer[]);
  const arrays = parts.map((part) => part.data as Numbers);
  const length = arrays.reduce((sum, array) => sum + array.length, 0);
  const joined = new (first.data.constructor as new (length: number) => Numbers)(length);
  let at = 0;
  for (const array of arrays) {
    // the arrays are of one datatype, which their type does not say
    joined.set(array as never, at);
    at += array.length;
  }
  return joined;
}

/** The outputs of a joined run, given back to each request by its rows. Throws `internal` when they do not add up. */
export function splitOutputs(outputs: readonly Tensor[], rows: readonly number[]): Tensor[][] {
  const total = rows.reduce((sum, count) => sum + count, 0);
  for (const { name, shape } of outputs) {
    if (shape[0] === total) continue;
    throw new AppError('internal', `output "${name}" has shape [${shape.join(',')}] for a batch of ${total} rows`);
  }
  let from = 0;
  return rows.map((count) => {
    const mine = outputs.map((output) => slice(output, from, count, total));
    from += count;
    return mine;
  });
}

function slice(output: Tensor, from: number, count: number, total: number): Tensor {
  const { name, datatype, shape, data } = output;
  const width = total === 0 ? 0 : data.length / total;
  const part = datatype === 'BYTES' ? data.slice(from, from + count) : view(data, from * width, (from + count) * width);
  return makeTensor(name, datatype, [count, ...shape.slice(1)], part);
}

function view(data: Tensor['data'], from: number, to: number): unknown {
  return (data as Numbers).subarray(from, to);
}
