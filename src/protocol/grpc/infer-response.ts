/** `ModelInferResponse`, and how it goes in a stream. */
import type { InferResponse } from '../infer.js';
import { BYTES, ProtoReader } from '../protobuf/reader.js';
import { ProtoWriter } from '../protobuf/writer.js';
import { tensorToBytes } from '../tensor.js';
import { hasContents } from './contents.js';
import { writeParameters } from './parameters.js';
import { type PendingTensor, readTensorMessage, withElements, writeTensorMessage } from './tensors.js';

/**
 * Writes an answer as parts to be sent one after the other; large tensors among them are not copied. Outputs go raw, or,
 * with `raw` false, as contents; all of them raw still when one has no such form.
 */
export function writeModelInferResponse(response: InferResponse, raw: boolean): Buffer[] {
  return writerOf(response, raw).take();
}

/** The same, as an element of `ModelStreamInfer`'s answers. */
export function writeStreamResponse(response: InferResponse, raw: boolean): Buffer[] {
  const to = new ProtoWriter();
  to.message(2, writerOf(response, raw));
  return to.take();
}

/**
 * An answer that already is a message, in parts, as an element of a stream; it is not copied. It says that there is no
 * other answer to its request, as Triton does: its clients may wait for that.
 */
export function wrapStreamResponse(message: readonly Buffer[]): Buffer[] {
  const bytes = message.reduce((sum, part) => sum + part.length, FINAL.length);
  const head = new ProtoWriter();
  head.bytesHead(2, bytes);
  return [head.finish(), ...message, FINAL];
}

/** Fields that follow a message are a part of it. */
const FINAL = finalParameter();

function finalParameter(): Buffer {
  const to = new ProtoWriter();
  writeParameters(to, 4, { triton_final_response: true });
  return to.finish();
}

/** The failure of one request of a stream, which goes on. */
export function writeStreamError(message: string): Buffer[] {
  const to = new ProtoWriter();
  to.string(1, message);
  return to.take();
}

/** Reads an answer, as a client does; tensors are views of it where they are aligned. */
export function readModelInferResponse(bytes: Buffer): InferResponse {
  return readResponse(new ProtoReader(bytes));
}

/** Reads an element of a stream of answers: the answer to one request, or why there is none. */
export function readStreamResponse(bytes: Buffer): { readonly error: string } | { readonly response: InferResponse } {
  const reader = new ProtoReader(bytes);
  let error = '';
  let response: InferResponse | undefined;
  while (reader.next()) {
    if (reader.field > 2) {
      reader.skip();
      continue;
    }
    reader.expect(BYTES);
    if (reader.field === 1) error = reader.string();
    else response = readResponse(reader.message());
  }
  return response === undefined || error !== '' ? { error } : { response };
}

function writerOf(response: InferResponse, raw: boolean): ProtoWriter {
  const { outputs } = response;
  const allRaw = raw || !outputs.every(({ datatype }) => hasContents(datatype));
  const to = new ProtoWriter();
  to.string(1, response.modelName);
  if (response.modelVersion !== undefined) to.string(2, response.modelVersion);
  if (response.id !== undefined) to.string(3, response.id);
  for (const tensor of outputs) writeTensorMessage(to, 5, tensor, allRaw);
  if (allRaw) for (const tensor of outputs) to.bytes(6, tensorToBytes(tensor));
  return to;
}

function readResponse(reader: ProtoReader): InferResponse {
  let modelName = '';
  let modelVersion = '';
  let id = '';
  const pending: PendingTensor[] = [];
  const raws: Buffer[] = [];
  while (reader.next()) {
    if (reader.field > 6 || reader.field === 4) {
      reader.skip();
      continue;
    }
    reader.expect(BYTES);
    if (reader.field === 1) modelName = reader.string();
    else if (reader.field === 2) modelVersion = reader.string();
    else if (reader.field === 3) id = reader.string();
    else if (reader.field === 5) pending.push(readTensorMessage(reader.message(), 'output'));
    else raws.push(reader.view());
  }
  return {
    modelName,
    modelVersion: modelVersion === '' ? undefined : modelVersion,
    id: id === '' ? undefined : id,
    outputs: withElements(pending, raws, 'output'),
  };
}
