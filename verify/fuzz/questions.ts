/** Predictions that are right, in every form that they may travel in, and what must come back. */
import type { InferRequest } from '../../src/protocol/infer.js';
import type { Tensor } from '../../src/protocol/tensor.js';
import { printInferRequest } from '../../src/protocol/v2-print.js';
import type { Dice } from './dice.js';

/** The models that the stage serves, by their files' names. */
export const MODELS = ['add', 'digits', 'identity-fp32', 'identity-int64', 'identity-string', 'identity-bool'] as const;
/** A model of an external server that speaks V2, and one that speaks the OpenAI API. */
export const OUTSIDE = 'outside';
export const CHAT = 'chat';

export interface Question {
  readonly model: string;
  readonly inputs: readonly Tensor[];
}

const sizes = (dice: Dice): readonly [number, number] => [1 + dice.below(3), 1 + dice.below(4)];

export function question(dice: Dice): Question {
  const [rows, columns] = sizes(dice);
  const count = rows * columns;
  const shape = [rows, columns];
  const floats = (length: number) => Float32Array.from({ length }, () => dice.below(1000) - 500);
  switch (dice.pick([...MODELS, OUTSIDE])) {
    case 'add':
      return {
        model: 'add',
        inputs: ['a', 'b'].map((name) => ({ name, datatype: 'FP32', shape: [rows, 2], data: floats(2 * rows) })),
      };
    case 'digits':
      return { model: 'digits', inputs: [digits(dice, rows)] };
    case 'outside':
      return { model: OUTSIDE, inputs: [digits(dice, rows)] };
    case 'identity-int64': {
      const data = BigInt64Array.from({ length: count }, () => dice.bytes(8).readBigInt64LE());
      return { model: 'identity-int64', inputs: [{ name: 'x', datatype: 'INT64', shape, data }] };
    }
    case 'identity-string': {
      const data = Array.from({ length: count }, () => Buffer.from(dice.pick(['', 'a', 'é', '"', '\n', '日本'])));
      return { model: 'identity-string', inputs: [{ name: 'x', datatype: 'BYTES', shape, data }] };
    }
    case 'identity-bool': {
      const data = Uint8Array.from({ length: count }, () => dice.below(2));
      return { model: 'identity-bool', inputs: [{ name: 'x', datatype: 'BOOL', shape, data }] };
    }
    default:
      return { model: 'identity-fp32', inputs: [{ name: 'x', datatype: 'FP32', shape, data: floats(count) }] };
  }
}

function digits(dice: Dice, rows: number): Tensor {
  const data = Float32Array.from({ length: 64 * rows }, () => dice.below(17));
  return { name: 'X', datatype: 'FP32', shape: [rows, 64], data };
}

export function inferRequest({ inputs }: Question, more: Partial<InferRequest> = {}): InferRequest {
  return { id: undefined, parameters: {}, inputs, outputs: undefined, ...more };
}

/** Its V2 body; `binary`: with the tensors behind the JSON. */
export function v2Body(asked: Question, binary: boolean): { body: Buffer; headerLength: number | undefined } {
  const parameters = binary ? { binary_data_output: true } : {};
  return printInferRequest(inferRequest(asked, { id: 'f', parameters }), () => binary);
}

/** Its V1 body: `instances` of the one input, or named `inputs`. */
export function v1Body({ inputs }: Question, columns: boolean): unknown {
  const nested = inputs.map((input) => [input.name, rowsOf(input)] as const);
  if (columns) return { inputs: Object.fromEntries(nested) };
  const [[, first] = ['', []]] = nested;
  const instances = first.map((row, at) =>
    nested.length === 1 ? row : Object.fromEntries(nested.map(([name, rows]) => [name, rows[at]])),
  );
  return { instances };
}

function rowsOf({ shape: [rows = 0, columns = 0], data, datatype }: Tensor): unknown[][] {
  const elements = Array.from<unknown, unknown>(data, (element) => {
    if (Buffer.isBuffer(element)) return element.toString();
    return datatype === 'BOOL' ? element === 1 : typeof element === 'bigint' ? Number(element) : element;
  });
  return Array.from({ length: rows }, (_, row) => elements.slice(row * columns, (row + 1) * columns));
}
