/**
 * `InferInputTensor` and `InferOutputTensor`, which are the same message. Their elements come in it as `contents`, or, for
 * all tensors of a message, beside it as raw bytes in the order of the tensors.
 */
import { AppError } from '../../errors.js';
import { DATATYPE_BYTES, DATATYPES, type Datatype, isDatatype } from '../datatypes.js';
import { refuseTwice } from '../infer.js';
import { BYTES, type ProtoReader, VARINT } from '../protobuf/reader.js';
import type { ProtoWriter } from '../protobuf/writer.js';
import { elementCount, type Tensor, tensorFromBytes } from '../tensor.js';
import { readContents, type TensorHead, writeContents } from './contents.js';
import { readParameter } from './parameters.js';

/** A tensor whose elements may still be among the raw contents. */
export interface PendingTensor extends TensorHead {
  readonly contents: ProtoReader | undefined;
}

/** Which side's tensors: for the words of a refusal. */
export type Side = 'input' | 'output';

export function readTensorMessage(reader: ProtoReader, side: Side): PendingTensor {
  let name = '';
  let datatype = '';
  const shape: number[] = [];
  let contents: ProtoReader | undefined;
  while (reader.next()) {
    if (reader.field === 3 && reader.wire === VARINT) {
      shape.push(reader.safeInt64());
      continue;
    }
    if (reader.field > 5) {
      reader.skip();
      continue;
    }
    reader.expect(BYTES);
    if (reader.field === 1) name = reader.string();
    else if (reader.field === 2) datatype = reader.string();
    else if (reader.field === 3) for (const sizes = reader.message(); !sizes.done; ) shape.push(sizes.safeInt64());
    else if (reader.field === 4) refuseSharedMemory(readParameter(reader.message())[0], `${side} "${name}"`);
    else contents = reader.message();
  }
  if (name === '') throw new AppError('invalid', `an ${side} has no name`);
  const label = `${side} "${name}"`;
  return { label, name, datatype: checkDatatype(label, datatype), shape: checkShape(label, shape), contents };
}

/** The tensors with their elements; `raws` go to those without contents, in their order. */
export function withElements(pending: readonly PendingTensor[], raws: readonly Buffer[], side: Side): Tensor[] {
  refuseTwice(pending, side);
  const tensors: Tensor[] = [];
  let used = 0;
  for (const head of pending) {
    const { contents } = head;
    if (contents !== undefined && (contents.left > 0 || raws.length === 0)) {
      // an answer may have both kinds, as KServe's have
      if (raws.length > 0 && side === 'input') {
        throw new AppError(
          'invalid',
          `${head.label} has contents, and the request has raw_input_contents: one or the other`,
        );
      }
      tensors.push(readContents(head, contents));
    } else {
      const raw = raws[used++];
      if (raw === undefined && (raws.length > 0 || elementCount(head.shape) > 0)) throw noElements(head, pending, raws);
      tensors.push(fromRaw(head, raw ?? NOTHING, side));
    }
  }
  if (used < raws.length) {
    throw new AppError('invalid', `there are ${raws.length} raw_${side}_contents, ${used} ${side}s take them`);
  }
  return tensors;
}

/** Writes a tensor as field `field`; with contents, or without, its elements then being sent raw. */
export function writeTensorMessage(to: ProtoWriter, field: number, tensor: Tensor, raw: boolean): void {
  const { name, datatype, shape } = tensor;
  const small = raw || tensor.data.length <= SMALL_CONTENTS;
  const write = (message: ProtoWriter) => {
    message.string(1, name);
    message.string(2, datatype);
    message.packed(3, shape.length, (sizes, axis) => sizes.packedInt64(shape[axis] as number));
    if (!raw) message.nested(5, (contents) => writeContents(contents, tensor), small);
  };
  to.nested(field, write, small);
}

/** Elements that are worth a try to fit a message of less than 128 bytes. */
const SMALL_CONTENTS = 16;

const NOTHING = Buffer.alloc(0);

/** Refuses what would read memory that we do not share. */
export function refuseSharedMemory(parameter: string, label: string): void {
  if (!parameter.startsWith('shared_memory_')) return;
  throw new AppError('unsupported', `${label}: shared memory regions are not supported; send the data`);
}

function fromRaw(head: TensorHead, bytes: Buffer, side: Side): Tensor {
  const { label, name, datatype, shape } = head;
  const wanted = elementCount(shape) * DATATYPE_BYTES[datatype];
  if (datatype !== 'BYTES' && bytes.length !== wanted) {
    throw new AppError(
      'invalid',
      `${label}: shape [${shape.join(',')}] of ${datatype} takes ${wanted} bytes, raw_${side}_contents has ${bytes.length}`,
      { details: { expected: wanted, actual: bytes.length, shape } },
    );
  }
  return tensorFromBytes(name, datatype, shape, bytes);
}

function noElements({ label }: TensorHead, pending: readonly PendingTensor[], raws: readonly Buffer[]): AppError {
  if (raws.length === 0) return new AppError('invalid', `${label} has no data: neither contents nor raw contents`);
  return new AppError(
    'invalid',
    `${label} has no raw contents: there are ${raws.length} for ${pending.length} tensors`,
  );
}

function checkDatatype(label: string, datatype: string): Datatype {
  if (isDatatype(datatype)) return datatype;
  const given = datatype === '' ? 'missing' : `"${datatype.slice(0, 60)}"`;
  throw new AppError('invalid', `${label}: datatype is ${given}, expected one of ${DATATYPES.join(', ')}`);
}

function checkShape(label: string, shape: readonly number[]): readonly number[] {
  for (let axis = 0; axis < shape.length; axis++) {
    if ((shape[axis] as number) >= 0) continue;
    throw new AppError('invalid', `${label}: shape[${axis}] is ${shape[axis]}, expected an integer of at least 0`);
  }
  return shape;
}
