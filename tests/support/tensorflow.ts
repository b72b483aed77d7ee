/** TensorFlow for tests: the library where there is one, and SavedModels written by hand. */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { loadConfig } from '../../src/config.js';
import { enginesFolder } from '../../src/main/engines.js';
import { findTensorFlow } from '../../src/platform/engines/find-tensorflow.js';
import { ProtoWriter } from '../../src/protocol/protobuf/writer.js';
import { masked } from '../../src/runtimes/tensorflow/records.js';

/** The folder of TensorFlow's library; undefined, and said once, where there is none. */
export async function tensorFlowLibrary(): Promise<string | undefined> {
  const config = loadConfig();
  const found = await findTensorFlow({
    configured: config.tensorflowDir,
    enginesFolder: enginesFolder(config),
    python: config.training.python,
    env: config.training.baseEnv,
  });
  if (!found) {
    console.warn(
      'skipped: there is no TensorFlow (SLUICE_TENSORFLOW_DIR, or `sluice engines install tensorflow`), so its engine ' +
        'is tested without it',
    );
  }
  return found?.folder;
}

/** TensorFlow's numbers of types, as far as the tests name them. */
export const DT = { float: 1, int32: 3, string: 7, complex64: 8, int64: 9, bool: 10, resource: 20 } as const;

/** The value of a node's attribute (AttrValue). */
export type Attribute =
  | { readonly type: number }
  | { readonly types: readonly number[] }
  | { readonly text: string }
  | { readonly shape: readonly number[] | 'unknown' }
  | { readonly strings: readonly string[] }
  | { readonly floats: readonly number[]; readonly of: readonly number[] };

export interface Node {
  readonly name: string;
  readonly op: string;
  readonly inputs?: readonly string[];
  readonly attributes?: Readonly<Record<string, Attribute>>;
}

/** An input or output of a signature (TensorInfo). */
export interface Info {
  readonly tensor?: string;
  readonly type: number;
  readonly shape: readonly number[] | 'unknown';
}

export interface GraphSignature {
  readonly inputs: Readonly<Record<string, Info>>;
  readonly outputs: Readonly<Record<string, Info>>;
}

export interface Graph {
  readonly nodes?: readonly Node[];
  readonly signatures: Readonly<Record<string, GraphSignature>>;
}

/** A placeholder: what an input of a signature stands for. */
export function placeholder(name: string, type: number, shape: readonly number[] | 'unknown' = 'unknown'): Node {
  return { name, op: 'Placeholder', attributes: { dtype: { type }, shape: { shape } } };
}

/** Writes a SavedModel without variables into a folder. */
export async function writeSavedModel(folder: string, graph: Graph): Promise<string> {
  const model = new ProtoWriter();
  model.int64(1, 1);
  model.bytes(2, metaGraph(graph));
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'saved_model.pb'), model.finish());
  return folder;
}

/** Writes a file below a SavedModel. */
export async function writeBeside(folder: string, path: string, bytes: Uint8Array): Promise<void> {
  await mkdir(dirname(join(folder, path)), { recursive: true });
  await writeFile(join(folder, path), bytes);
}

/** The MetaGraphDef with tag `serve`. */
export function metaGraph({ nodes = [], signatures }: Graph): Buffer {
  const info = new ProtoWriter();
  info.string(4, 'serve');
  info.string(5, '2.21.0');
  const versions = new ProtoWriter();
  versions.int32(1, 1000);
  const graph = new ProtoWriter();
  for (const node of nodes) graph.message(1, nodeDef(node));
  graph.message(4, versions);
  const meta = new ProtoWriter();
  meta.message(1, info);
  meta.message(2, graph);
  for (const [name, { inputs, outputs }] of Object.entries(signatures)) {
    const signature = new ProtoWriter();
    for (const [key, value] of Object.entries(inputs)) signature.message(1, entry(key, tensorInfo(value)));
    for (const [key, value] of Object.entries(outputs)) signature.message(2, entry(key, tensorInfo(value)));
    signature.string(3, 'tensorflow/serving/predict');
    meta.message(5, entry(name, signature));
  }
  return meta.finish();
}

/** An entry of a map with text keys. */
function entry(key: string, value: ProtoWriter): ProtoWriter {
  const writer = new ProtoWriter();
  writer.string(1, key);
  writer.message(2, value);
  return writer;
}

/** A TensorShapeProto. */
export function shapeProto(shape: readonly number[] | 'unknown'): ProtoWriter {
  const writer = new ProtoWriter();
  if (shape === 'unknown') writer.bool(3, true);
  else {
    for (const size of shape) {
      const dim = new ProtoWriter();
      dim.int64(1, size);
      writer.message(2, dim);
    }
  }
  return writer;
}

function tensorInfo({ tensor, type, shape }: Info): ProtoWriter {
  const writer = new ProtoWriter();
  if (tensor !== undefined) writer.string(1, tensor);
  // without a tensor of its own it is a sparse one
  else writer.message(4, new ProtoWriter());
  writer.int32(2, type);
  writer.message(3, shapeProto(shape));
  return writer;
}

function nodeDef({ name, op, inputs = [], attributes = {} }: Node): ProtoWriter {
  const writer = new ProtoWriter();
  writer.string(1, name);
  writer.string(2, op);
  for (const input of inputs) writer.string(3, input);
  for (const [key, value] of Object.entries(attributes)) writer.message(5, entry(key, attribute(value)));
  return writer;
}

function attribute(value: Attribute): ProtoWriter {
  const writer = new ProtoWriter();
  if ('type' in value) writer.int32(6, value.type);
  else if ('text' in value) writer.string(2, value.text);
  else if ('shape' in value) writer.message(7, shapeProto(value.shape));
  else if ('types' in value) {
    const list = new ProtoWriter();
    for (const type of value.types) list.int32(6, type);
    writer.message(1, list);
  } else if ('strings' in value) {
    const tensor = new ProtoWriter();
    tensor.int32(1, DT.string);
    tensor.message(2, shapeProto([]));
    for (const text of value.strings) tensor.string(8, text);
    writer.message(8, tensor);
  } else {
    const tensor = new ProtoWriter();
    tensor.int32(1, DT.float);
    tensor.message(2, shapeProto(value.of));
    for (const number of value.floats) tensor.float(5, number);
    writer.message(8, tensor);
  }
  return writer;
}

/** A TensorProto of integers, in the field for 32 bits. */
export function tensorProto(type: number, shape: readonly number[], values: readonly number[]): ProtoWriter {
  const writer = new ProtoWriter();
  writer.int32(1, type);
  writer.message(2, shapeProto(shape));
  writer.packed(7, values.length, (inner, at) => inner.packedInt64(values[at] ?? 0));
  return writer;
}

/** A PredictionLog of TensorFlow Serving with a predict request. */
export function predictLog(
  inputs: Readonly<Record<string, ProtoWriter>>,
  signature = '',
  outputs: readonly string[] = [],
): Buffer {
  const request = new ProtoWriter();
  const spec = new ProtoWriter();
  spec.string(1, 'some model');
  if (signature !== '') spec.string(3, signature);
  request.message(1, spec);
  for (const [name, tensor] of Object.entries(inputs)) request.message(2, entry(name, tensor));
  for (const name of outputs) request.string(3, name);
  return logOf(6, request);
}

/** A PredictionLog with a request in the log of this field. */
export function logOf(field: number, request: ProtoWriter): Buffer {
  const [inner, log] = [new ProtoWriter(), new ProtoWriter()];
  inner.message(1, request);
  log.message(field, inner);
  return log.finish();
}

/** A record of a TFRecord file. */
export function recordOf(bytes: Buffer): Buffer {
  const head = Buffer.alloc(12);
  head.writeBigUInt64LE(BigInt(bytes.length));
  head.writeUInt32LE(masked(head.subarray(0, 8)), 8);
  const tail = Buffer.alloc(4);
  tail.writeUInt32LE(masked(bytes));
  return Buffer.concat([head, bytes, tail]);
}
