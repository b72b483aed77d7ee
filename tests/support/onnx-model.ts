/** Small ONNX models, written in the wire format of onnx.proto3: no Python, and nothing to download. */
import { ProtoWriter } from '../../src/protocol/protobuf/writer.js';

/** A dimension: its size, or the name of a variable one. */
export type Dim = number | string;

/** A type as ONNX has it; `elementType` is a TensorProto.DataType. */
export type OnnxType =
  | { readonly kind: 'tensor'; readonly elementType: number; readonly shape?: readonly Dim[] }
  | { readonly kind: 'sequence' | 'optional'; readonly of: OnnxType }
  | { readonly kind: 'map'; readonly key: number; readonly of: OnnxType };

export interface OnnxNode {
  readonly op: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** Integers alone. */
  readonly attributes?: Readonly<Record<string, number>>;
  readonly domain?: string;
}

export interface OnnxInitializer {
  readonly name: string;
  readonly elementType: number;
  readonly shape: readonly number[];
  /** The elements, little-endian; or where they lie beside the model. */
  readonly data: Uint8Array | { readonly location: string; readonly offset: number; readonly length: number };
}

export interface OnnxGraph {
  readonly inputs: Readonly<Record<string, OnnxType>>;
  readonly outputs: Readonly<Record<string, OnnxType>>;
  readonly nodes: readonly OnnxNode[];
  readonly initializers?: readonly OnnxInitializer[];
  /** Of ONNX's own operators. */
  readonly opset?: number;
}

export const tensor = (elementType: number, shape?: readonly Dim[]): OnnxType =>
  shape ? { kind: 'tensor', elementType, shape } : { kind: 'tensor', elementType };

/** y = x, of any type. */
export function identityModel(type: OnnxType, opset = 18): Buffer {
  return onnxModel({
    inputs: { x: type },
    outputs: { y: type },
    nodes: [{ op: 'Identity', inputs: ['x'], outputs: ['y'] }],
    opset,
  });
}

/** The bytes of a model. */
export function onnxModel({ inputs, outputs, nodes, initializers = [], opset = 18 }: OnnxGraph): Buffer {
  const graph = new ProtoWriter();
  for (const node of nodes) graph.message(1, nodeProto(node));
  graph.string(2, 'g');
  for (const initializer of initializers) graph.message(5, tensorProto(initializer));
  for (const [name, type] of Object.entries(inputs)) graph.message(11, valueInfo(name, type));
  for (const [name, type] of Object.entries(outputs)) graph.message(12, valueInfo(name, type));
  const model = new ProtoWriter();
  // the version of the format: 10 has all types that are used here
  model.int64(1, 10);
  model.message(7, graph);
  for (const domain of new Set(['', ...nodes.flatMap((node) => node.domain ?? [])])) {
    const operators = new ProtoWriter();
    operators.string(1, domain);
    operators.int64(2, domain === '' ? opset : 1);
    model.message(8, operators);
  }
  return model.finish();
}

function nodeProto({ op, inputs, outputs, attributes = {}, domain }: OnnxNode): ProtoWriter {
  const node = new ProtoWriter();
  for (const name of inputs) node.string(1, name);
  for (const name of outputs) node.string(2, name);
  node.string(4, op);
  for (const [name, value] of Object.entries(attributes)) {
    const attribute = new ProtoWriter();
    attribute.string(1, name);
    attribute.int64(3, value);
    attribute.int32(20, 2);
    node.message(5, attribute);
  }
  if (domain !== undefined) node.string(7, domain);
  return node;
}

function tensorProto({ name, elementType, shape, data }: OnnxInitializer): ProtoWriter {
  const proto = new ProtoWriter();
  for (const size of shape) proto.int64(1, size);
  proto.int32(2, elementType);
  proto.string(8, name);
  if (data instanceof Uint8Array) {
    proto.bytes(9, data);
    return proto;
  }
  for (const [key, value] of Object.entries(data)) {
    const entry = new ProtoWriter();
    entry.string(1, key);
    entry.string(2, String(value));
    proto.message(13, entry);
  }
  proto.int32(14, 1);
  return proto;
}

function valueInfo(name: string, type: OnnxType): ProtoWriter {
  const info = new ProtoWriter();
  info.string(1, name);
  info.message(2, typeProto(type));
  return info;
}

function typeProto(type: OnnxType): ProtoWriter {
  const [outer, inner] = [new ProtoWriter(), new ProtoWriter()];
  if (type.kind === 'tensor') {
    inner.int32(1, type.elementType);
    if (type.shape) inner.message(2, shapeProto(type.shape));
    outer.message(1, inner);
  } else if (type.kind === 'map') {
    inner.int32(1, type.key);
    inner.message(2, typeProto(type.of));
    outer.message(5, inner);
  } else {
    inner.message(1, typeProto(type.of));
    outer.message(type.kind === 'sequence' ? 4 : 9, inner);
  }
  return outer;
}

function shapeProto(shape: readonly Dim[]): ProtoWriter {
  const proto = new ProtoWriter();
  for (const dim of shape) {
    const one = new ProtoWriter();
    if (typeof dim === 'number') one.int64(1, dim);
    else if (dim !== '') one.string(2, dim);
    proto.message(1, one);
  }
  return proto;
}
