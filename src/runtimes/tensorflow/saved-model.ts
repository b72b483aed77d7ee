/** Reads what a SavedModel's MetaGraphDef says of its signatures (tensorflow/core/protobuf/meta_graph.proto). */
import { AppError } from '../../errors.js';
import { BYTES, ProtoReader, VARINT } from '../../protocol/protobuf/reader.js';
import type { TensorSpec } from '../../protocol/signature.js';
import { datatypeOf, typeName } from './types.js';

/** An input or output of a signature, and the place in the graph that it stands for. */
export interface TensorRef {
  readonly spec: TensorSpec;
  readonly operation: string;
  readonly index: number;
  /** The model says that it is a scalar; the spec's empty shape alone could also mean that it does not say. */
  readonly scalar: boolean;
}

/** Inputs and outputs sorted by name: the format keeps them in maps, which have no order of their own. */
export interface SavedSignature {
  readonly inputs: readonly TensorRef[];
  readonly outputs: readonly TensorRef[];
}

export interface SavedSignatures {
  /** Those that can be served. */
  readonly usable: ReadonlyMap<string, SavedSignature>;
  /** The others, with what stands in the way. */
  readonly unusable: ReadonlyMap<string, string>;
}

/** TensorFlow's own, for its loader: `__saved_model_init_op`, `__saved_model_train_op`. */
const INTERNAL = /^__saved_model_/;

const DEFAULT = 'serving_default';

/** All signatures of a MetaGraphDef but TensorFlow's own. */
export function readSignatures(metaGraph: Buffer): SavedSignatures {
  const found: [name: string, fields: SignatureFields][] = [];
  const reader = new ProtoReader(metaGraph);
  while (reader.next()) {
    if (reader.field !== SIGNATURE_DEF) reader.skip();
    else found.push(readEntry(nested(reader), readSignature));
  }
  const usable = new Map<string, SavedSignature>();
  const unusable = new Map<string, string>();
  for (const [name, { inputs, outputs }] of found.sort(byName)) {
    if (INTERNAL.test(name)) continue;
    const problem = problemOf('input', inputs) ?? problemOf('output', outputs);
    if (problem === undefined) usable.set(name, { inputs: inputs.map(toRef), outputs: outputs.map(toRef) });
    else unusable.set(name, problem);
  }
  return { usable, unusable };
}

/** The signature that requests mean which name none: `serving_default`, or the only one. Refuses when there is none. */
export function defaultSignature({ usable, unusable }: SavedSignatures): string {
  if (usable.has(DEFAULT)) return DEFAULT;
  const problem = unusable.get(DEFAULT);
  if (problem !== undefined)
    throw new AppError('unsupported', `the signature "${DEFAULT}" cannot be served: ${problem}`);
  const [only, ...others] = usable.keys();
  if (only !== undefined && others.length === 0) return only;
  if (only !== undefined) {
    throw new AppError(
      'invalid',
      `the SavedModel has the signatures ${quoted(usable.keys())}, and none is called ${DEFAULT}: ` +
        'export the one to serve under that name',
    );
  }
  const [name, reason] = [...unusable][0] ?? [];
  if (name !== undefined) throw new AppError('unsupported', `the signature "${name}" cannot be served: ${reason}`);
  throw new AppError(
    'invalid',
    'the SavedModel has no signature to serve: export it with model.export(...), or with signatures=... where ' +
      'tf.saved_model.save is called',
  );
}

function quoted(names: Iterable<string>): string {
  return [...names].map((name) => `"${name}"`).join(', ');
}

const SIGNATURE_DEF = 5;

interface SignatureFields {
  readonly inputs: readonly (readonly [string, TensorInfo])[];
  readonly outputs: readonly (readonly [string, TensorInfo])[];
}

interface TensorInfo {
  /** Undefined for what is made of several tensors: sparse, ragged. */
  readonly tensor: string | undefined;
  readonly type: number;
  /** Undefined when even the rank is unknown. */
  readonly shape: readonly number[] | undefined;
}

function readSignature(reader: ProtoReader): SignatureFields {
  const inputs: [string, TensorInfo][] = [];
  const outputs: [string, TensorInfo][] = [];
  while (reader.next()) {
    if (reader.field === 1) inputs.push(readEntry(nested(reader), readTensorInfo));
    else if (reader.field === 2) outputs.push(readEntry(nested(reader), readTensorInfo));
    else reader.skip();
  }
  return { inputs: inputs.sort(byName), outputs: outputs.sort(byName) };
}

function readTensorInfo(reader: ProtoReader): TensorInfo {
  let tensor: string | undefined;
  let type = 0;
  // a shape that is not given says nothing
  let shape: readonly number[] | undefined;
  while (reader.next()) {
    if (reader.field === 1) tensor = text(reader);
    else if (reader.field === 2) {
      reader.expect(VARINT);
      type = reader.int32();
    } else if (reader.field === 3) shape = readShape(nested(reader));
    else reader.skip();
  }
  return { tensor, type, shape };
}

/** TensorShapeProto: dimensions, -1 for an unknown one; undefined when the rank is unknown. */
export function readShape(reader: ProtoReader): number[] | undefined {
  const shape: number[] = [];
  let known = true;
  while (reader.next()) {
    if (reader.field === 2) shape.push(readDim(nested(reader)));
    else if (reader.field === 3) {
      reader.expect(VARINT);
      known = !reader.bool();
    } else reader.skip();
  }
  return known ? shape : undefined;
}

function readDim(reader: ProtoReader): number {
  let size = 0;
  while (reader.next()) {
    if (reader.field === 1) {
      reader.expect(VARINT);
      size = reader.safeInt64();
    } else reader.skip();
  }
  return size;
}

/** One entry of a protobuf map whose keys are text. */
export function readEntry<T>(
  reader: ProtoReader,
  readValue: (value: ProtoReader, key: string) => T,
): [key: string, value: T] {
  let key = '';
  let value: T | undefined;
  while (reader.next()) {
    if (reader.field === 1) key = text(reader);
    else if (reader.field === 2) value = readValue(nested(reader), key);
    else reader.skip();
  }
  return [key, value ?? readValue(new ProtoReader(Buffer.alloc(0)), key)];
}

/** The message that the current field holds. */
export function nested(reader: ProtoReader): ProtoReader {
  reader.expect(BYTES);
  return reader.message();
}

/** The text that the current field holds. */
export function text(reader: ProtoReader): string {
  reader.expect(BYTES);
  return reader.string();
}

function problemOf(role: 'input' | 'output', entries: SignatureFields['inputs']): string | undefined {
  for (const [name, { tensor, type }] of entries) {
    if (tensor === undefined)
      return `${role} "${name}" is a sparse or composite tensor, which the protocol cannot carry`;
    if (datatypeOf(type) === undefined) {
      return `${role} "${name}" has the type ${typeName(type)}, which the protocol cannot carry`;
    }
  }
  return undefined;
}

function toRef([name, info]: readonly [string, TensorInfo]): TensorRef {
  const datatype = datatypeOf(info.type);
  if (datatype === undefined || info.tensor === undefined) throw new AppError('internal', `"${name}" is no tensor`);
  // "operation:index"; the index may be left out
  const [, operation = info.tensor, index = '0'] = /^(.*):(\d+)$/.exec(info.tensor) ?? [];
  return {
    spec: { name, datatype, shape: info.shape ?? [] },
    operation,
    index: Number(index),
    scalar: info.shape?.length === 0,
  };
}

function byName(a: readonly [string, unknown], b: readonly [string, unknown]): number {
  return a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0;
}
