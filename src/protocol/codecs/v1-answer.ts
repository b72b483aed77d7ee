/**
 * The outputs in an answer of the V1 protocol, as a client finds them. Such an answer says neither datatypes nor, of a single
 * output, its name: both are the signature's where it fits what is there, and guessed from the values where it does not.
 */
import { AppError } from '../../errors.js';
import type { Datatype } from '../datatypes.js';
import { toBfloat, toHalf } from '../float16.js';
import type { Signature, TensorSpec } from '../signature.js';
import { makeTensor, type Tensor } from '../tensor.js';

/** Of a single output that no signature names. */
const UNNAMED = 'output';

/** Reads an answer; `invalid` for one that is none. */
export function readV1Answer(body: Buffer, { outputs: specs }: Signature): Tensor[] {
  const { predictions, outputs } = parsed(body);
  const value = predictions ?? outputs;
  if (value === undefined) throw new AppError('invalid', 'the answer has neither "predictions" nor "outputs"');
  const columns = outputs === undefined ? columnsOf(value) : isRecord(value) ? value : undefined;
  if (columns) {
    return Object.entries(columns).map(([name, nested]) =>
      tensorOf(
        name,
        nested,
        specs.find((spec) => spec.name === name),
      ),
    );
  }
  const [only] = specs;
  const spec = specs.length === 1 ? only : undefined;
  return [tensorOf(spec?.name ?? UNNAMED, value, spec)];
}

function parsed(body: Buffer): Readonly<Record<string, unknown>> {
  try {
    const root: unknown = JSON.parse(body.toString('utf8'));
    if (isRecord(root)) return root;
  } catch {
    // said below
  }
  throw new AppError('invalid', 'the answer is no JSON object');
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && bytesIn(value) === undefined;
}

/** Rows that name their outputs, turned to columns; undefined for rows that are values. */
function columnsOf(rows: unknown): Record<string, unknown[]> | undefined {
  if (!Array.isArray(rows) || rows.length === 0 || !rows.every(isRecord)) return undefined;
  return Object.fromEntries(Object.keys(rows[0] as object).map((name) => [name, rows.map((row) => row[name])]));
}

/** The bytes of `{"b64": …}`. */
function bytesIn(value: object): Buffer | undefined {
  const { b64, ...others } = value as { readonly b64?: unknown };
  return typeof b64 === 'string' && Object.keys(others).length === 0 ? Buffer.from(b64, 'base64') : undefined;
}

function tensorOf(name: string, nested: unknown, spec: TensorSpec | undefined): Tensor {
  const shape: number[] = [];
  for (let level = nested; Array.isArray(level); level = level[0]) shape.push(level.length);
  const flat: unknown[] = [];
  flatten(name, nested, shape, 0, flat);
  const datatype = spec && fits(spec.datatype, flat) ? spec.datatype : guessed(flat);
  return makeTensor(name, datatype, shape, elementsOf(datatype, flat));
}

function flatten(name: string, nested: unknown, shape: readonly number[], depth: number, into: unknown[]): void {
  if (depth === shape.length) {
    if (Array.isArray(nested)) throw ragged(name);
    into.push(nested);
    return;
  }
  if (!Array.isArray(nested) || nested.length !== shape[depth]) throw ragged(name);
  for (const inner of nested) flatten(name, inner, shape, depth + 1, into);
}

function ragged(name: string): AppError {
  return new AppError('invalid', `output "${name}" is nested unevenly, which is no tensor`);
}

function isText(value: unknown): boolean {
  return typeof value === 'string' || (typeof value === 'object' && value !== null && bytesIn(value) !== undefined);
}

/** Numbers that JSON does not have are printed as null. */
function isNumber(value: unknown): boolean {
  return typeof value === 'number' || value === null;
}

function fits(datatype: Datatype, values: readonly unknown[]): boolean {
  if (datatype === 'BYTES') return values.every(isText);
  if (datatype === 'BOOL') return values.every((value) => typeof value === 'boolean');
  if (datatype === 'UINT64') return values.every((value) => Number.isInteger(value) && Number(value) >= 0);
  if (/INT/.test(datatype)) return values.every(Number.isInteger);
  return values.every(isNumber);
}

function guessed(values: readonly unknown[]): Datatype {
  for (const datatype of ['FP64', 'BOOL', 'BYTES'] as const) if (fits(datatype, values)) return datatype;
  throw new AppError('invalid', 'an output has values of several kinds, which is no tensor');
}

function elementsOf(datatype: Datatype, values: readonly unknown[]): unknown {
  const numbers = () => values.map((value) => (value === null ? Number.NaN : Number(value)));
  switch (datatype) {
    case 'BYTES':
      return values.map((value) => (typeof value === 'string' ? Buffer.from(value) : bytesIn(value as object)));
    case 'INT64':
      return BigInt64Array.from(values, (value) => BigInt(value as number));
    case 'UINT64':
      return BigUint64Array.from(values, (value) => BigInt(value as number));
    case 'FP16':
      return Uint16Array.from(numbers(), toHalf);
    case 'BF16':
      return Uint16Array.from(numbers(), toBfloat);
    default:
      return new PLAIN[datatype](numbers());
  }
}

const PLAIN = {
  BOOL: Uint8Array,
  UINT8: Uint8Array,
  UINT16: Uint16Array,
  UINT32: Uint32Array,
  INT8: Int8Array,
  INT16: Int16Array,
  INT32: Int32Array,
  FP32: Float32Array,
  FP64: Float64Array,
} as const;
