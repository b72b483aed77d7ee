/** `ModelInferRequest`: what asks for a prediction. */
import { AppError } from '../../errors.js';
import { type InferRequest, type Parameters, type RequestedOutput, refuseTwice } from '../infer.js';
import { BYTES, ProtoReader } from '../protobuf/reader.js';
import { ProtoWriter } from '../protobuf/writer.js';
import { tensorToBytes } from '../tensor.js';
import { hasContents } from './contents.js';
import { parametersOf, readParameter, writeParameters } from './parameters.js';
import {
  type PendingTensor,
  readTensorMessage,
  refuseSharedMemory,
  withElements,
  writeTensorMessage,
} from './tensors.js';

export interface ModelName {
  readonly modelName: string;
  /** Undefined: the server's choice. */
  readonly modelVersion: string | undefined;
}

export interface GrpcInferRequest extends InferRequest, ModelName {
  /**
   * How the answer's tensors go back: raw, as from Triton, unless the request's own came as contents. So a client that
   * reads only one of the two forms reads the answers, too.
   */
  readonly rawOutputs: boolean;
}

/** Which model a request is for, without reading the rest of it. */
export function peekModelName(bytes: Buffer): ModelName {
  const reader = new ProtoReader(bytes);
  let modelName = '';
  let modelVersion = '';
  while (reader.next()) {
    if (reader.field === 1) modelName = text(reader);
    else if (reader.field === 2) modelVersion = text(reader);
    else reader.skip();
  }
  return { modelName, modelVersion: modelVersion === '' ? undefined : modelVersion };
}

/** Reads a request; its tensors are views of it where they are aligned. Throws `invalid` or `unsupported`. */
export function readModelInferRequest(bytes: Buffer): GrpcInferRequest {
  const reader = new ProtoReader(bytes);
  let modelName = '';
  let modelVersion = '';
  let id = '';
  const parameters: ReturnType<typeof readParameter>[] = [];
  const pending: PendingTensor[] = [];
  const outputs: RequestedOutput[] = [];
  const raws: Buffer[] = [];
  while (reader.next()) {
    if (reader.field > 7) {
      reader.skip();
      continue;
    }
    reader.expect(BYTES);
    if (reader.field === 1) modelName = reader.string();
    else if (reader.field === 2) modelVersion = reader.string();
    else if (reader.field === 3) id = reader.string();
    else if (reader.field === 4) parameters.push(readParameter(reader.message()));
    else if (reader.field === 5) pending.push(readTensorMessage(reader.message(), 'input'));
    else if (reader.field === 6) outputs.push(readOutput(reader.message()));
    else raws.push(reader.view());
  }
  refuseTwice(outputs, 'requested output');
  return {
    modelName,
    modelVersion: modelVersion === '' ? undefined : modelVersion,
    id: id === '' ? undefined : id,
    parameters: parametersOf(parameters),
    inputs: withElements(pending, raws, 'input'),
    outputs: outputs.length === 0 ? undefined : outputs,
    rawOutputs: raws.length > 0 || pending.every(({ contents }) => contents === undefined),
  };
}

/**
 * Writes a request, as a client does, as parts to be sent one after the other; large tensors among them are not copied.
 * With `raw` false, the tensors go as contents if all of them can.
 */
export function writeModelInferRequest(
  { modelName, modelVersion }: ModelName,
  request: InferRequest,
  raw = true,
): Buffer[] {
  const to = new ProtoWriter();
  if (modelName !== '') to.string(1, modelName);
  if (modelVersion !== undefined) to.string(2, modelVersion);
  if (request.id !== undefined) to.string(3, request.id);
  writeParameters(to, 4, request.parameters);
  const allRaw = raw || !request.inputs.every(({ datatype }) => hasContents(datatype));
  for (const tensor of request.inputs) writeTensorMessage(to, 5, tensor, allRaw);
  for (const output of request.outputs ?? []) to.nested(6, (inner) => writeOutput(inner, output));
  if (allRaw) for (const tensor of request.inputs) to.bytes(7, tensorToBytes(tensor));
  return to.take();
}

function text(reader: ProtoReader): string {
  reader.expect(BYTES);
  return reader.string();
}

function readOutput(reader: ProtoReader): RequestedOutput {
  let name = '';
  const entries: ReturnType<typeof readParameter>[] = [];
  while (reader.next()) {
    if (reader.field > 2) {
      reader.skip();
      continue;
    }
    reader.expect(BYTES);
    if (reader.field === 1) name = reader.string();
    else entries.push(readParameter(reader.message()));
  }
  if (name === '') throw new AppError('invalid', 'a requested output has no name');
  const parameters: Parameters = parametersOf(entries);
  for (const key of Object.keys(parameters)) refuseSharedMemory(key, `output "${name}"`);
  const { classification } = parameters;
  if (classification !== undefined && classification !== 0) {
    throw new AppError('unsupported', `output "${name}": the parameter "classification" is not supported`);
  }
  return { name, parameters };
}

function writeOutput(to: ProtoWriter, { name, parameters }: RequestedOutput): void {
  to.string(1, name);
  writeParameters(to, 2, parameters);
}
