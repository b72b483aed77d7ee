/** The kinds that one answer of a model counts as: of each output that is asked for, one element, taken by chance. Pure. */

import { header, type InferCodec, type Message } from '../../../protocol/codecs/codec.js';
import { grpc } from '../../../protocol/codecs/grpc.js';
import { v1 } from '../../../protocol/codecs/v1.js';
import { v2 } from '../../../protocol/codecs/v2.js';
import { readModelInferResponse } from '../../../protocol/grpc/infer-response.js';
import type { Signature } from '../../../protocol/signature.js';
import type { Tensor } from '../../../protocol/tensor.js';
import { HEADER_LENGTH, parseHeaderLength, parseInferResponse } from '../../../protocol/v2-json.js';
import { bucketOfElement, bucketOfJson } from './bucket.js';

/** What is looked for in an answer. */
export interface Wanted {
  readonly outputs: readonly string[];
  readonly signature: Signature;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/**
 * One element alone, however many rows the answer has: those of one request are alike, and the tests of a comparison count
 * what is independent. Empty for a form that is not read; throws for an answer that is not of its form.
 */
export function kindsOf(codec: InferCodec, message: Message, wanted: Wanted): ReadonlyMap<string, number> {
  if (codec === v2) {
    const headerLength = parseHeaderLength(header(message, HEADER_LENGTH));
    return ofTensors(parseInferResponse(message.body, { headerLength }).outputs, wanted);
  }
  if (codec === grpc) return ofTensors(readModelInferResponse(message.body).outputs, wanted);
  if (codec === v1) return ofJson(JSON.parse(message.body.toString('utf8')), wanted);
  return new Map();
}

function ofTensors(tensors: readonly Tensor[], { outputs, random }: Wanted): Map<string, number> {
  const kinds = new Map<string, number>();
  for (const tensor of tensors) {
    const { length } = tensor.data;
    if (length === 0 || !outputs.includes(tensor.name)) continue;
    kinds.set(tensor.name, bucketOfElement(tensor, Math.floor(random() * length)));
  }
  return kinds;
}

/** V1: rows under `predictions`, columns under `outputs`; a single output goes without its name. */
function ofJson(answer: unknown, { outputs, signature, random }: Wanted): Map<string, number> {
  const kinds = new Map<string, number>();
  if (typeof answer !== 'object' || answer === null) return kinds;
  const body =
    'predictions' in answer ? pick(answer.predictions, random, 1) : 'outputs' in answer ? answer.outputs : [];
  const [only, ...others] = signature.outputs;
  for (const name of outputs) {
    const named = isRecord(body) && Object.hasOwn(body, name) ? body[name] : undefined;
    const unnamed = only?.name === name && others.length === 0 ? body : undefined;
    const datatype = signature.outputs.find((output) => output.name === name)?.datatype;
    const kind = bucketOfJson(pick(named ?? unnamed, random), datatype);
    if (kind !== undefined) kinds.set(name, kind);
  }
  return kinds;
}

/** An entry of a nested list by chance, down to what is no list, or so many levels. */
function pick(value: unknown, random: () => number, levels = 64): unknown {
  let found = value;
  for (let level = 0; level < levels && Array.isArray(found); level++)
    found = found[Math.floor(random() * found.length)];
  return found;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
