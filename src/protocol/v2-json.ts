/** Reads the JSON bodies of the Open Inference Protocol's REST form, with the binary tensor extension. */
import { AppError } from '../errors.js';
import { DATATYPES, type Datatype, isDatatype } from './datatypes.js';
import { type InferRequest, type InferResponse, type Parameters, type RequestedOutput, refuseTwice } from './infer.js';
import { readNumbers } from './json/numbers.js';
import { eachMember, JsonScanner } from './json/scanner.js';
import { readTensorData } from './json/tensor-data.js';
import type { Signature } from './signature.js';
import { type Tensor, tensorFromBytes } from './tensor.js';
import { rawInput } from './v2-raw.js';

/** The request or response header that says how many bytes of the body are JSON; the rest is binary tensors. */
export const HEADER_LENGTH = 'inference-header-content-length';

/** What a body's reader must know beside the body. */
export interface ParseOptions {
  /** The value of `Inference-Header-Content-Length`; undefined when the body is JSON alone. */
  readonly headerLength?: number | undefined;
  /** Needed only for raw requests (header value 0), whose input is not named in the body. */
  readonly signature?: Signature | undefined;
}

/** Reads the body of an infer request; throws `invalid` naming the input, the value and the bound. */
export function parseInferRequest(body: Buffer, options: ParseOptions = {}): InferRequest {
  if (options.headerLength === 0) return rawInput(body, options.signature);
  const root = new RootReader(body, options.headerLength, 'inputs').read();
  return { id: root.id, parameters: root.parameters, inputs: root.tensors, outputs: readOutputs(root.others.outputs) };
}

/** A name or a version, which some servers send as a number; undefined for anything else. */
function textOf(value: unknown): string | undefined {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : undefined;
}

/** Reads the body of an infer response, as a client does. */
export function parseInferResponse(body: Buffer, options: { headerLength?: number | undefined } = {}): InferResponse {
  const { id, tensors, others } = new RootReader(body, options.headerLength, 'outputs').read();
  return {
    modelName: textOf(others.model_name) ?? '',
    modelVersion: textOf(others.model_version),
    id,
    outputs: tensors,
  };
}

/** The header's value as a number; refuses what is not a plain count of bytes. Undefined for no header. */
export function parseHeaderLength(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  if (/^\d{1,15}$/.test(value)) return Number(value);
  throw new AppError('invalid', `header ${HEADER_LENGTH} is "${value.slice(0, 40)}", expected a count of bytes`);
}

interface Root {
  readonly id: string | undefined;
  readonly parameters: Parameters;
  readonly tensors: Tensor[];
  /** What else the object holds that somebody may ask for. */
  readonly others: Readonly<Record<string, unknown>>;
}

/** Members of the body's object that are read as values; what is not known is passed over. */
const KEPT = new Set(['model_name', 'model_version', 'outputs', 'inputs']);

const NO_PARAMETERS: Parameters = Object.freeze({});
const NO_OTHERS: Root['others'] = Object.freeze({});

const COMMA = 0x2c;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;

/** Reads one body: its JSON from front to back, its binary tensors as they are named. */
class RootReader {
  private readonly json: JsonScanner;
  private binaryAt: number;

  constructor(
    private readonly body: Buffer,
    headerLength: number | undefined,
    private readonly list: 'inputs' | 'outputs',
  ) {
    const size = headerLength ?? body.length;
    if (size > body.length) {
      throw new AppError('invalid', `header ${HEADER_LENGTH} is ${size}, more than the body's ${body.length} bytes`);
    }
    this.json = new JsonScanner(body, 0, size);
    this.binaryAt = size;
  }

  read(): Root {
    const { json, list } = this;
    let id: string | undefined;
    let parameters = NO_PARAMETERS;
    let tensors: Tensor[] | undefined;
    let others: Record<string, unknown> | undefined;
    if (json.peek() !== OPEN_OBJECT) {
      json.skip();
      throw new AppError('invalid', 'the body is not a JSON object');
    }
    eachMember(json, (key) => {
      if (key === list) {
        if (tensors) throw new AppError('invalid', `"${list}" is given twice`);
        tensors = this.tensors();
      } else if (key === 'id') id = readId(json.value());
      else if (key === 'parameters') parameters = readParameters(json.value(), 'the request');
      else if (KEPT.has(key)) {
        others ??= {};
        others[key] = json.value();
      } else json.skip();
    });
    if (json.peek() !== -1) throw json.unexpected('the end');
    if (!tensors) throw new AppError('invalid', `"${list}" is missing or not an array`);
    const rest = this.body.length - this.binaryAt;
    if (rest > 0) {
      throw new AppError(
        'invalid',
        `the body has ${rest} bytes of binary data more than its tensors' binary_data_size say`,
      );
    }
    return { id, parameters, tensors, others: others ?? NO_OTHERS };
  }

  private tensors(): Tensor[] {
    const { json, list } = this;
    if (!json.accept(OPEN_ARRAY)) throw new AppError('invalid', `"${list}" is missing or not an array`);
    const tensors: Tensor[] = [];
    if (json.accept(CLOSE_ARRAY)) return tensors;
    do tensors.push(this.tensor(`${list}[${tensors.length}]`));
    while (json.accept(COMMA));
    refuseTwice(tensors, 'input');
    json.expect(CLOSE_ARRAY);
    return tensors;
  }

  private tensor(where: string): Tensor {
    const { json } = this;
    if (json.peek() !== OPEN_OBJECT) throw new AppError('invalid', `${where} is not an object`);
    let name: unknown;
    let datatype: unknown;
    let shape: unknown;
    let parameters: unknown;
    let dataAt = -1;
    let data: Tensor | undefined;
    eachMember(json, (key) => {
      if (key === 'name') name = json.value();
      else if (key === 'datatype') datatype = json.value();
      else if (key === 'shape') shape = readSizes(json) ?? json.value();
      else if (key === 'parameters') parameters = json.value();
      else if (key !== 'data') json.skip();
      else {
        json.peek();
        dataAt = json.at;
        // as nearly everybody writes it: what the data are comes before them, and one pass is enough
        if (typeof name === 'string' && isDatatype(datatype) && Array.isArray(shape)) {
          data = this.data(name, datatype, readShape(shape, name));
        } else json.skip();
      }
    });
    const knownName = readName(name, where);
    const knownDatatype = readDatatype(datatype, knownName);
    const knownShape = readShape(shape, knownName);
    if (parameters !== undefined) {
      const binary = this.binary(knownName, parameters, dataAt !== -1);
      if (binary) return tensorFromBytes(knownName, knownDatatype, knownShape, binary);
    }
    if (dataAt === -1) throw new AppError('invalid', `input "${knownName}" has no "data"`);
    // a member given twice counts as it was given last
    if (data?.name === knownName && data.datatype === knownDatatype && data.shape === shape) return data;
    const after = json.at;
    json.at = dataAt;
    data = this.data(knownName, knownDatatype, knownShape);
    json.at = after;
    return data;
  }

  private data(name: string, datatype: Datatype, shape: readonly number[]): Tensor {
    if (this.json.peek() !== OPEN_ARRAY) throw new AppError('invalid', `input "${name}": "data" is not an array`);
    return readTensorData(this.json, name, datatype, shape);
  }

  /** The bytes of a binary tensor; undefined for one whose data are JSON. */
  private binary(name: string, given: unknown, hasData: boolean): Buffer | undefined {
    const parameters = readParameters(given, `input "${name}"`);
    const size = parameters.binary_data_size;
    if (parameters.shared_memory_region !== undefined) {
      throw new AppError('unsupported', `input "${name}": shared memory regions are not supported; send the data`);
    }
    if (size === undefined) return undefined;
    if (hasData) throw new AppError('invalid', `input "${name}" has both "data" and parameters.binary_data_size`);
    const at = this.binaryAt;
    this.binaryAt = checkBinary(name, size, at, this.body.length);
    return this.body.subarray(at, this.binaryAt);
  }
}

const sizes = new Float64Array(16);

/** A plain array of a few numbers; undefined, and nothing passed over, when it is something else. */
function readSizes(json: JsonScanner): number[] | undefined {
  const start = json.at;
  if (json.accept(OPEN_ARRAY)) {
    const count = json.peek() === CLOSE_ARRAY ? 0 : readNumbers(json, sizes, sizes.length, false);
    if (json.accept(CLOSE_ARRAY)) return Array.from(sizes.subarray(0, count));
  }
  json.at = start;
  return undefined;
}

/** Where this binary tensor ends; `at` is where it starts. */
function checkBinary(name: string, size: unknown, at: number, end: number): number {
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
    throw new AppError('invalid', `input "${name}": binary_data_size is ${JSON.stringify(size)}, expected bytes`);
  }
  if (size > end - at) {
    throw new AppError(
      'invalid',
      `input "${name}": binary_data_size is ${size}, the body has ${end - at} bytes left after its JSON ` +
        `(is the header ${HEADER_LENGTH} set?)`,
      { details: { input: name, expected: size, actual: end - at } },
    );
  }
  return at + size;
}

function readOutputs(items: unknown): RequestedOutput[] | undefined {
  if (items === undefined || items === null) return undefined;
  if (!Array.isArray(items)) throw new AppError('invalid', '"outputs" is not an array');
  if (items.length === 0) return undefined;
  const outputs: RequestedOutput[] = [];
  items.forEach((item: unknown, i) => {
    if (!isObject(item)) throw new AppError('invalid', `outputs[${i}] is not an object`);
    const name = readName(item.name, `outputs[${i}]`);
    const parameters = readParameters(item.parameters, `output "${name}"`);
    for (const key of ['classification', 'shared_memory_region']) {
      if (parameters[key] !== undefined && parameters[key] !== 0) {
        throw new AppError('unsupported', `output "${name}": the parameter "${key}" is not supported`);
      }
    }
    outputs.push({ name, parameters });
  });
  refuseTwice(outputs, 'requested output');
  return outputs;
}

function readId(value: unknown): string | undefined {
  if (value === undefined || value === null || value === '') return undefined;
  if (typeof value !== 'string') throw new AppError('invalid', `"id" is ${typeof value}, expected a string`);
  return value;
}

function readName(name: unknown, where: string): string {
  if (typeof name !== 'string' || name === '') throw new AppError('invalid', `${where} has no "name"`);
  return name;
}

function readDatatype(datatype: unknown, name: string): Datatype {
  if (isDatatype(datatype)) return datatype;
  const given = datatype === undefined ? 'missing' : (JSON.stringify(datatype) ?? '').slice(0, 60);
  throw new AppError('invalid', `input "${name}": datatype is ${given}, expected one of ${DATATYPES.join(', ')}`);
}

function readShape(shape: unknown, name: string): number[] {
  if (!Array.isArray(shape)) throw new AppError('invalid', `input "${name}": "shape" is missing or not an array`);
  for (let i = 0; i < shape.length; i++) {
    const size: unknown = shape[i];
    if (typeof size === 'number' && Number.isSafeInteger(size) && size >= 0) continue;
    const given = (JSON.stringify(size) ?? 'undefined').slice(0, 60);
    throw new AppError('invalid', `input "${name}": shape[${i}] is ${given}, expected an integer of at least 0`);
  }
  return shape as number[];
}

function readParameters(parameters: unknown, where: string): Parameters {
  if (parameters === undefined || parameters === null) return NO_PARAMETERS;
  if (!isObject(parameters)) throw new AppError('invalid', `"parameters" of ${where} is not an object`);
  return parameters;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
