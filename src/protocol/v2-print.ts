import type { InferRequest, InferResponse } from './infer.js';
import { ByteWriter } from './json/byte-writer.js';
import { printElements } from './json/print-elements.js';
import { type Tensor, tensorToBytes } from './tensor.js';

/** A printed body. */
export interface WireBody {
  readonly body: Buffer;
  /** What `Inference-Header-Content-Length` must say; undefined when the body is JSON alone and needs no such header. */
  readonly headerLength: number | undefined;
}

/**
 * Prints an infer response. `binary` says which outputs travel as bytes behind the JSON. An output with NaN or
 * infinities that goes as JSON carries the parameter `non_finite_as_null` with their count: nothing is lost silently.
 */
export function printInferResponse(response: InferResponse, binary: (output: string) => boolean): WireBody {
  let head = `{"model_name":${quoted(response.modelName)}`;
  if (response.modelVersion !== undefined) head += `,"model_version":${quoted(response.modelVersion)}`;
  if (response.id !== undefined) head += `,"id":${JSON.stringify(response.id)}`;
  return print(`${head},"outputs":[`, response.outputs, binary, ']}');
}

/** Prints an infer request, as a client does. */
export function printInferRequest(request: InferRequest, binary: (input: string) => boolean): WireBody {
  let head = '{';
  if (request.id !== undefined) head += `"id":${JSON.stringify(request.id)},`;
  if (Object.keys(request.parameters).length > 0) head += `"parameters":${exactJson(request.parameters)},`;
  const tail = request.outputs === undefined ? ']}' : `],"outputs":${exactJson(request.outputs)}}`;
  return print(`${head}"inputs":[`, request.inputs, binary, tail);
}

/** As JSON.stringify, and 64-bit integers, which parameters that came by gRPC may be, with all their digits. */
function exactJson(value: unknown): string {
  if (typeof value === 'bigint') return String(value);
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  if (Array.isArray(value)) return `[${value.map(exactJson).join(',')}]`;
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${exactJson(member)}`).join(',')}}`;
}

/** Printing ends before anybody else prints, so one writer's memory serves all. */
const writer = new ByteWriter();

function print(head: string, tensors: readonly Tensor[], binary: (name: string) => boolean, tail: string): WireBody {
  let parts: Buffer[] | undefined;
  writer.reset();
  writer.text(head);
  for (let i = 0; i < tensors.length; i++) {
    const tensor = tensors[i] as Tensor;
    if (i > 0) writer.ascii(',');
    writer.text(beginningOf(tensor));
    if (binary(tensor.name)) {
      const bytes = tensorToBytes(tensor);
      parts ??= [];
      parts.push(bytes);
      writer.ascii(`,"parameters":{"binary_data_size":${bytes.length}}}`);
      continue;
    }
    writer.ascii(',"data":[');
    const nonFinite = printElements(writer, tensor);
    writer.ascii(nonFinite > 0 ? `],"parameters":{"non_finite_as_null":${nonFinite}}}` : ']}');
  }
  writer.text(tail);
  const json = writer.finish();
  if (!parts) return { body: json, headerLength: undefined };
  return { body: Buffer.concat([json, ...parts]), headerLength: json.length };
}

/** A tensor's name, datatype and shape. */
function beginningOf({ name, datatype, shape }: Tensor): string {
  let sizes = '';
  for (let i = 0; i < shape.length; i++) sizes += i === 0 ? shape[i] : `,${shape[i]}`;
  return `{"name":${quoted(name)},"datatype":"${datatype}","shape":[${sizes}]`;
}

/** Names as JSON: a model has a few, and prints them with every answer. */
const quotes = new Map<string, string>();
const MAX_QUOTES = 1000;

function quoted(name: string): string {
  let text = quotes.get(name);
  if (text === undefined) {
    text = JSON.stringify(name);
    if (quotes.size >= MAX_QUOTES) quotes.clear();
    quotes.set(name, text);
  }
  return text;
}
