import type { InferRequest, InferResponse } from './infer.js';
import { elementsToJson } from './json-encode.js';
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
  let head = `{"model_name":${JSON.stringify(response.modelName)}`;
  if (response.modelVersion !== undefined) head += `,"model_version":${JSON.stringify(response.modelVersion)}`;
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

function print(head: string, tensors: readonly Tensor[], binary: (name: string) => boolean, tail: string): WireBody {
  let text = head;
  let parts: Buffer[] | undefined;
  for (let i = 0; i < tensors.length; i++) {
    const tensor = tensors[i] as Tensor;
    if (i > 0) text += ',';
    text += `{"name":${JSON.stringify(tensor.name)},"datatype":"${tensor.datatype}","shape":[${tensor.shape.join(',')}]`;
    if (binary(tensor.name)) {
      const bytes = tensorToBytes(tensor);
      parts ??= [];
      parts.push(bytes);
      text += `,"parameters":{"binary_data_size":${bytes.length}}}`;
      continue;
    }
    const elements = elementsToJson(tensor);
    if (elements.nonFinite > 0) text += `,"parameters":{"non_finite_as_null":${elements.nonFinite}}`;
    text += `,"data":[${elements.text}]}`;
  }
  const json = Buffer.from(text + tail, 'utf8');
  if (!parts) return { body: json, headerLength: undefined };
  return { body: Buffer.concat([json, ...parts]), headerLength: json.length };
}
