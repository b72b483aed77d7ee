import { AppError, messageOf } from '../errors.js';
import { DATATYPES, type Datatype, isDatatype } from './datatypes.js';
import { quoteNonFinite } from './exact-integers.js';
import type { InferRequest, InferResponse, Parameters, RequestedOutput } from './infer.js';
import { exactDataOf, tensorFromJson } from './json-decode.js';
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
  const { root, text } = parseRoot(body, options.headerLength);
  const inputs = readTensors(root, text, 'inputs', body, options.headerLength);
  return {
    id: readId(root.id),
    parameters: readParameters(root, 'the request'),
    inputs,
    outputs: readOutputs(root),
  };
}

/** Reads the body of an infer response, as a client does. */
export function parseInferResponse(body: Buffer, options: { headerLength?: number | undefined } = {}): InferResponse {
  const { root, text } = parseRoot(body, options.headerLength);
  const version = root.model_version;
  return {
    modelName: String(root.model_name ?? ''),
    modelVersion: version === undefined ? undefined : String(version),
    id: readId(root.id),
    outputs: readTensors(root, text, 'outputs', body, options.headerLength),
  };
}

/** The header's value as a number; refuses what is not a plain count of bytes. Undefined for no header. */
export function parseHeaderLength(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  if (/^\d{1,15}$/.test(value)) return Number(value);
  throw new AppError('invalid', `header ${HEADER_LENGTH} is "${value.slice(0, 40)}", expected a count of bytes`);
}

type Json = Record<string, unknown>;

function parseRoot(body: Buffer, headerLength: number | undefined): { root: Json; text: string } {
  const size = headerLength ?? body.length;
  if (size > body.length) {
    throw new AppError('invalid', `header ${HEADER_LENGTH} is ${size}, more than the body's ${body.length} bytes`);
  }
  let text = body.toString('utf8', 0, size);
  let root: unknown;
  try {
    root = JSON.parse(text);
  } catch (error) {
    const quoted = quoteNonFinite(text);
    if (quoted === undefined) throw notJson(error);
    text = quoted;
    try {
      root = JSON.parse(text);
    } catch {
      throw notJson(error);
    }
  }
  if (!isObject(root)) throw new AppError('invalid', 'the body is not a JSON object');
  return { root, text };
}

function notJson(error: unknown): AppError {
  return new AppError('invalid', `the body is not JSON: ${messageOf(error)}`);
}

function readTensors(
  root: Json,
  text: string,
  list: 'inputs' | 'outputs',
  body: Buffer,
  headerLength: number | undefined,
): Tensor[] {
  const items = root[list];
  if (!Array.isArray(items)) throw new AppError('invalid', `"${list}" is missing or not an array`);
  const tensors: Tensor[] = [];
  const end = body.length;
  let at = headerLength ?? end;
  for (let i = 0; i < items.length; i++) {
    const item: unknown = items[i];
    if (!isObject(item)) throw new AppError('invalid', `${list}[${i}] is not an object`);
    const name = readName(item, `${list}[${i}]`);
    for (const other of tensors) {
      if (other.name === name) throw new AppError('invalid', `input "${name}" is given twice`);
    }
    const datatype = readDatatype(item, name);
    const shape = readShape(item, name);
    const parameters = item.parameters === undefined ? undefined : readParameters(item, `input "${name}"`);
    const size = parameters?.binary_data_size;
    if (parameters?.shared_memory_region !== undefined) {
      throw new AppError('unsupported', `input "${name}": shared memory regions are not supported; send the data`);
    }
    if (size !== undefined) {
      if (item.data !== undefined) {
        throw new AppError('invalid', `input "${name}" has both "data" and parameters.binary_data_size`);
      }
      at = checkBinary(name, size, at, end);
      tensors.push(tensorFromBytes(name, datatype, shape, body.subarray(at - (size as number), at)));
      continue;
    }
    const data = item.data;
    if (data === undefined) throw new AppError('invalid', `input "${name}" has no "data"`);
    if (!Array.isArray(data)) throw new AppError('invalid', `input "${name}": "data" is not an array`);
    tensors.push(tensorFromJson({ name, exactData: () => exactDataOf(text, list, i) }, datatype, shape, data));
  }
  if (at !== end) {
    throw new AppError(
      'invalid',
      `the body has ${end - at} bytes of binary data more than its tensors' binary_data_size say`,
    );
  }
  return tensors;
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

function readOutputs(root: Json): RequestedOutput[] | undefined {
  const items = root.outputs;
  if (items === undefined || items === null) return undefined;
  if (!Array.isArray(items)) throw new AppError('invalid', '"outputs" is not an array');
  if (items.length === 0) return undefined;
  const outputs: RequestedOutput[] = [];
  items.forEach((item: unknown, i) => {
    if (!isObject(item)) throw new AppError('invalid', `outputs[${i}] is not an object`);
    const name = readName(item, `outputs[${i}]`);
    if (outputs.some((other) => other.name === name)) throw new AppError('invalid', `output "${name}" is asked twice`);
    const parameters = readParameters(item, `output "${name}"`);
    for (const key of ['classification', 'shared_memory_region']) {
      if (parameters[key] !== undefined && parameters[key] !== 0) {
        throw new AppError('unsupported', `output "${name}": the parameter "${key}" is not supported`);
      }
    }
    outputs.push({ name, parameters });
  });
  return outputs;
}

function readId(value: unknown): string | undefined {
  if (value === undefined || value === null || value === '') return undefined;
  if (typeof value !== 'string') throw new AppError('invalid', `"id" is ${typeof value}, expected a string`);
  return value;
}

function readName(item: Json, where: string): string {
  const name = item.name;
  if (typeof name !== 'string' || name === '') throw new AppError('invalid', `${where} has no "name"`);
  return name;
}

function readDatatype(item: Json, name: string): Datatype {
  const datatype = item.datatype;
  if (isDatatype(datatype)) return datatype;
  const given = datatype === undefined ? 'missing' : (JSON.stringify(datatype) ?? '').slice(0, 60);
  throw new AppError('invalid', `input "${name}": datatype is ${given}, expected one of ${DATATYPES.join(', ')}`);
}

function readShape(item: Json, name: string): number[] {
  const shape = item.shape;
  if (!Array.isArray(shape)) throw new AppError('invalid', `input "${name}": "shape" is missing or not an array`);
  for (let i = 0; i < shape.length; i++) {
    const size: unknown = shape[i];
    if (typeof size === 'number' && Number.isSafeInteger(size) && size >= 0) continue;
    const given = (JSON.stringify(size) ?? 'undefined').slice(0, 60);
    throw new AppError('invalid', `input "${name}": shape[${i}] is ${given}, expected an integer of at least 0`);
  }
  return shape as number[];
}

const NO_PARAMETERS: Parameters = Object.freeze({});

function readParameters(item: Json, where: string): Parameters {
  const parameters = item.parameters;
  if (parameters === undefined || parameters === null) return NO_PARAMETERS;
  if (!isObject(parameters)) throw new AppError('invalid', `"parameters" of ${where} is not an object`);
  return parameters;
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
