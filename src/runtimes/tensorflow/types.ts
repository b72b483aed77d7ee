import { DATATYPES, type Datatype } from '../../protocol/datatypes.js';

/** TensorFlow's number of each datatype (TF_DataType in tf_datatype.h, DataType in types.proto). */
export const TYPE_NUMBER = {
  BOOL: 10,
  UINT8: 4,
  UINT16: 17,
  UINT32: 22,
  UINT64: 23,
  INT8: 6,
  INT16: 5,
  INT32: 3,
  INT64: 9,
  FP16: 19,
  BF16: 14,
  FP32: 1,
  FP64: 2,
  BYTES: 7,
} as const satisfies Record<Datatype, number>;

const DATATYPE = new Map<number, Datatype>(DATATYPES.map((datatype) => [TYPE_NUMBER[datatype], datatype]));

/** Names of types that no wire here carries, for messages. */
const OTHERS: Readonly<Record<number, string>> = {
  8: 'complex64',
  11: 'qint8',
  12: 'quint8',
  13: 'qint32',
  15: 'qint16',
  16: 'quint16',
  18: 'complex128',
  20: 'resource',
  21: 'variant',
};

/** Numbers from here on are references to variables of the type that is this much lower; they come from TensorFlow 1. */
const REFERENCE = 100;

/** The datatype of TensorFlow's type; undefined for those that the protocol cannot carry. */
export function datatypeOf(type: number): Datatype | undefined {
  return DATATYPE.get(type > REFERENCE ? type - REFERENCE : type);
}

/** What a type is called in messages. */
export function typeName(type: number): string {
  return datatypeOf(type) ?? OTHERS[type] ?? `number ${type}`;
}
