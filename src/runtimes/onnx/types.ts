import { DATATYPES, type Datatype } from '../../protocol/datatypes.js';
import type { Pointer } from '../foreign.js';
import type { Api } from './api.js';
import { addressFrom, check, numberFrom } from './status.js';

/** ONNX's number of each datatype (TensorProto.DataType in onnx.proto, ONNXTensorElementDataType in the C API). */
export const TYPE_NUMBER = {
  BOOL: 9,
  UINT8: 2,
  UINT16: 4,
  UINT32: 12,
  UINT64: 13,
  INT8: 3,
  INT16: 5,
  INT32: 6,
  INT64: 7,
  FP16: 10,
  BF16: 16,
  FP32: 1,
  FP64: 11,
  BYTES: 8,
} as const satisfies Record<Datatype, number>;

/** By number; places between are undefined. */
const DATATYPE: readonly (Datatype | undefined)[] = Array.from({ length: 17 }, (_, number) =>
  DATATYPES.find((datatype) => TYPE_NUMBER[datatype] === number),
);

/** ONNX's names by number, for messages. */
const NAMES = [
  ...[
    'undefined',
    'float',
    'uint8',
    'int8',
    'uint16',
    'int16',
    'int32',
    'int64',
    'string',
    'bool',
    'float16',
    'double',
  ],
  ...['uint32', 'uint64', 'complex64', 'complex128', 'bfloat16', 'float8e4m3fn', 'float8e4m3fnuz', 'float8e5m2'],
  ...['float8e5m2fnuz', 'uint4', 'int4', 'float4e2m1', 'uint2', 'int2'],
];

/** The datatype of an element type; undefined for those that the protocol cannot carry. */
export function datatypeOf(elementType: number): Datatype | undefined {
  return DATATYPE[elementType];
}

/** What a model declares of an input or output. */
export type ValueType =
  | {
      readonly kind: 'tensor';
      readonly elementType: number;
      /** -1 is variable. Empty: a scalar, or not said. */
      readonly shape: readonly number[];
      /** Names of the variable dimensions, empty where there is none. */
      readonly dimensionNames: readonly string[];
      /** Whether the model may also take or give nothing. */
      readonly optional: boolean;
      /** As ONNX writes it, such as `tensor(float)`. */
      readonly text: string;
    }
  | { readonly kind: 'other'; readonly text: string };

const KIND_TENSOR = 1;
const KIND_SEQUENCE = 2;
const KIND_MAP = 3;
const KIND_SPARSE = 5;
const KIND_OPTIONAL = 6;

/** Reads a type and releases it. */
export function readType(api: Api, info: Pointer): ValueType {
  try {
    const kind = numberFrom(api, (out) => api.typeKind(info, out));
    switch (kind) {
      case KIND_TENSOR:
        return readTensorType(
          api,
          addressFrom(api, (out) => api.asTensorType(info, out)),
        );
      case KIND_SEQUENCE: {
        const sequence = addressFrom(api, (out) => api.asSequenceType(info, out));
        return inside(api, 'sequence', (out) => api.sequenceElementType(sequence, out));
      }
      case KIND_MAP: {
        const map = addressFrom(api, (out) => api.asMapType(info, out));
        const key = nameOf(numberFrom(api, (out) => api.mapKeyType(map, out)));
        return inside(api, `map(${key},`, (out) => api.mapValueType(map, out));
      }
      case KIND_OPTIONAL: {
        const optional = addressFrom(api, (out) => api.asOptionalType(info, out));
        const held = addressFrom(api, (out) => api.optionalContainedType(optional, out));
        const type = readType(api, held);
        const text = `optional(${type.text})`;
        return type.kind === 'tensor' ? { ...type, optional: true, text } : { kind: 'other', text };
      }
      default:
        return { kind: 'other', text: kind === KIND_SPARSE ? 'sparse_tensor' : 'opaque' };
    }
  } finally {
    api.releaseType(info);
  }
}

function inside(api: Api, outer: string, call: Parameters<typeof addressFrom>[1]): ValueType {
  const { text } = readType(api, addressFrom(api, call));
  return { kind: 'other', text: outer.endsWith(',') ? `${outer}${text})` : `${outer}(${text})` };
}

function readTensorType(api: Api, tensor: Pointer): ValueType {
  const elementType = numberFrom(api, (out) => api.elementType(tensor, out));
  const rank = Number(addressFrom(api, (out) => api.rank(tensor, out)));
  const [sizes, names] = [new BigInt64Array(rank), new BigUint64Array(rank)];
  if (rank > 0) {
    check(api, api.dimensions(tensor, sizes, rank));
    check(api, api.dimensionNames(tensor, names, rank));
  }
  return {
    kind: 'tensor',
    elementType,
    shape: Array.from(sizes, Number),
    dimensionNames: Array.from(names, (name) => (name === 0n ? '' : api.text(name))),
    optional: false,
    text: `tensor(${nameOf(elementType)})`,
  };
}

function nameOf(elementType: number): string {
  return NAMES[elementType] ?? `type ${elementType}`;
}
