/**
 * Requests of the V1 protocol, as TensorFlow Serving's REST API has them: `instances` in the row form or `inputs` in the
 * column form. Shapes are those of the nesting, datatypes those of the model's signature.
 */
import { AppError } from '../../errors.js';
import type { Datatype } from '../datatypes.js';
import { type InferRequest, type Parameters, SIGNATURE_PARAMETER } from '../infer.js';
import { ElementWalk } from '../json/element-walk.js';
import { eachMember, JsonScanner } from '../json/scanner.js';
import { readTensorData } from '../json/tensor-data.js';
import type { Signature, TensorSpec } from '../signature.js';
import type { Tensor } from '../tensor.js';
import type { ModelSignatures } from './codec.js';

export interface V1Request extends InferRequest {
  /** The answer has the form of the request. */
  readonly form: 'row' | 'column';
}

/** What a model's only input is called when the model does not say. */
const UNNAMED = 'input-0';

const COMMA = 0x2c;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;

/** A value within a body, from its first byte to behind its last one. */
interface Span {
  readonly start: number;
  readonly end: number;
}

/** Reads the body of a `:predict` or `:explain` request; throws `invalid` naming what is wrong. */
export function readV1Request(body: Buffer, model: ModelSignatures): V1Request {
  const { instances, inputs, signatureName, parameters } = readRoot(body);
  if (instances && inputs) throw new AppError('invalid', 'the body has both "instances" and "inputs", expected one');
  const signature = signatureName === undefined ? undefined : model.signatures?.get(signatureName);
  const reader = new TensorReader(body, signature ?? model.signature);
  const named: Parameters =
    signatureName === undefined ? parameters : { ...parameters, [SIGNATURE_PARAMETER]: signatureName };
  const shared = { id: undefined, parameters: named, outputs: undefined };
  if (instances) return { ...shared, form: 'row', inputs: reader.rows(instances) };
  if (inputs) return { ...shared, form: 'column', inputs: reader.columns(inputs) };
  throw new AppError('invalid', 'the body has neither "instances" nor "inputs"');
}

interface Root {
  readonly instances: Span | undefined;
  readonly inputs: Span | undefined;
  readonly signatureName: string | undefined;
  readonly parameters: Parameters;
}

function readRoot(body: Buffer): Root {
  const json = new JsonScanner(body);
  const spans = new Map<string, Span>();
  let signatureName: unknown;
  let parameters: unknown;
  if (json.peek() !== OPEN_OBJECT) {
    json.skip();
    throw new AppError('invalid', 'the body is not a JSON object');
  }
  eachMember(json, (key) => {
    if (key === 'signature_name') signatureName = json.value();
    else if (key === 'parameters') parameters = json.value();
    else spans.set(key, pass(json));
  });
  if (json.peek() !== -1) throw json.unexpected('the end');
  if (signatureName !== undefined && signatureName !== null && typeof signatureName !== 'string') {
    throw new AppError('invalid', `"signature_name" is ${typeof signatureName}, expected a string`);
  }
  const isObject = typeof parameters === 'object' && parameters !== null && !Array.isArray(parameters);
  return {
    instances: spans.get('instances'),
    inputs: spans.get('inputs'),
    signatureName: signatureName === '' || signatureName === null ? undefined : signatureName,
    parameters: isObject ? (parameters as Parameters) : {},
  };
}

class TensorReader {
  constructor(
    private readonly body: Buffer,
    private readonly signature: Signature,
  ) {}

  /** A list of rows: each the value of the model's only input, or an object with one value an input. */
  rows(span: Span): Tensor[] {
    const json = new JsonScanner(this.body, span.start, span.end);
    if (json.peek() !== OPEN_ARRAY) throw new AppError('invalid', '"instances" is not an array');
    json.at++;
    if (json.peek() === CLOSE_ARRAY || !this.isNamed(pass(json))) return [this.tensor(this.only('instances'), span)];
    const rows = elements(new JsonScanner(this.body, span.start, span.end));
    const values = new Map<string, Span[]>();
    for (const [i, row] of rows.entries()) {
      if (!this.isNamed(row)) throw new AppError('invalid', `instances[${i}] is not an object, instances[0] is`);
      for (const [name, value] of members(this.body, row)) {
        const column = values.get(name) ?? [];
        // one value for each row before, and none for this one yet
        if (column.length !== i) throw missing(name, column.length);
        column.push(value);
        values.set(name, column);
      }
    }
    return [...values].map(([name, column]) => {
      if (column.length !== rows.length) throw missing(name, column.length);
      return readNested(joined(this.body, column), this.specOf(name));
    });
  }

  /** The value of the model's only input, or an object with one value an input. */
  columns(span: Span): Tensor[] {
    if (!this.isNamed(span)) return [this.tensor(this.only('inputs'), span)];
    return [...members(this.body, span)].map(([name, value]) => this.tensor(this.specOf(name), value));
  }

  private tensor(spec: TensorSpec | string, { start, end }: Span): Tensor {
    return readNested(this.body.subarray(start, end), spec);
  }

  /** Whether a value names inputs, rather than being bytes as `{"b64": …}`. */
  private isNamed(span: Span): boolean {
    if (this.body[span.start] !== OPEN_OBJECT) return false;
    const names = [...members(this.body, span).keys()];
    return names.length !== 1 || names[0] !== 'b64' || this.signature.inputs.some(({ name }) => name === 'b64');
  }

  private only(member: string): TensorSpec | string {
    const [first, ...others] = this.signature.inputs;
    if (others.length === 0) return first ?? UNNAMED;
    const names = this.signature.inputs.map(({ name }) => `"${name}"`).join(', ');
    throw new AppError('invalid', `"${member}" names no input; the model takes ${names}`);
  }

  /** What the signature says of an input; its name alone where it says nothing. */
  private specOf(name: string): TensorSpec | string {
    const { inputs } = this.signature;
    const spec = inputs.find((candidate) => candidate.name === name);
    if (spec || inputs.length === 0) return spec ?? name;
    const names = inputs.map((input) => `"${input.name}"`).join(', ');
    throw new AppError('invalid', `the model has no input "${name.slice(0, 100)}"; it takes ${names}`);
  }
}

/** Reads a value that may be nested to any depth, or a single element. */
function readNested(text: Buffer, spec: TensorSpec | string): Tensor {
  const name = typeof spec === 'string' ? spec : spec.name;
  const single = text[0] !== OPEN_ARRAY;
  const array = single ? Buffer.concat([OPENING, text, CLOSING]) : text;
  const found = shapeOf(array, name);
  const datatype = typeof spec === 'string' ? guessDatatype(array) : spec.datatype;
  const shape = single ? [] : typeof spec === 'string' ? found : asDeclared(found, spec.shape);
  // the nesting is checked; the reader need not compare it with a shape that has one dimension more
  const flat = shape.length === found.length || single ? shape : found;
  const tensor = readTensorData(new JsonScanner(array), name, datatype, flat);
  return flat === shape ? tensor : { ...tensor, shape };
}

function shapeOf(array: Buffer, name: string): number[] {
  const json = new JsonScanner(array);
  const walk = new ElementWalk(json, name);
  while (walk.next()) json.skip();
  return walk.found;
}

/** Rows of single numbers are often sent as numbers: a last dimension of 1 that is declared, and not there, is added. */
function asDeclared(found: readonly number[], declared: readonly number[]): readonly number[] {
  return found.length === declared.length - 1 && declared.at(-1) === 1 ? [...found, 1] : found;
}

/** The datatype for an input of which nothing is known: that of its elements. */
function guessDatatype(array: Buffer): Datatype {
  const json = new JsonScanner(array);
  const walk = new ElementWalk(json, '');
  let guess: Datatype | undefined;
  while (walk.next()) {
    const value = json.value();
    if (typeof value === 'boolean') return guess ?? 'BOOL';
    if (typeof value === 'string' || (typeof value === 'object' && value !== null)) return 'BYTES';
    if (!Number.isInteger(value)) return 'FP64';
    guess = 'INT64';
  }
  return guess ?? 'FP64';
}

const OPENING = Buffer.from('[');
const BETWEEN = Buffer.from(',');
const CLOSING = Buffer.from(']');

/** Values from several places as one array. */
function joined(body: Buffer, values: readonly Span[]): Buffer {
  const parts = values.flatMap(({ start, end }, i) => [i === 0 ? OPENING : BETWEEN, body.subarray(start, end)]);
  return Buffer.concat([...parts, CLOSING]);
}

function missing(name: string, row: number): AppError {
  return new AppError('invalid', `instances[${row}] has no value for input "${name.slice(0, 100)}", others have`, {
    details: { input: name, row },
  });
}

/** Where the elements of an array lie, which has one at least. */
function elements(json: JsonScanner): Span[] {
  const spans: Span[] = [];
  json.expect(OPEN_ARRAY);
  do spans.push(pass(json));
  while (json.accept(COMMA));
  return spans;
}

/** Where the values of an object lie; of a name that is given twice, the last one. */
function members(body: Buffer, { start, end }: Span): Map<string, Span> {
  const json = new JsonScanner(body, start, end);
  const spans = new Map<string, Span>();
  eachMember(json, (name) => spans.set(name, pass(json)));
  return spans;
}

function pass(json: JsonScanner): Span {
  json.peek();
  const start = json.at;
  json.skip();
  return { start, end: json.at };
}
