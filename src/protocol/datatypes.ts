/** The datatypes of the Open Inference Protocol: names as on the wire, and how wide one element is. */

/** Bytes of one element; 0 where elements differ in length (BYTES: 4 bytes of length, then the bytes). */
export const DATATYPE_BYTES = {
  BOOL: 1,
  UINT8: 1,
  UINT16: 2,
  UINT32: 4,
  UINT64: 8,
  INT8: 1,
  INT16: 2,
  INT32: 4,
  INT64: 8,
  FP16: 2,
  BF16: 2,
  FP32: 4,
  FP64: 8,
  BYTES: 0,
} as const;

/** A datatype by its name on the wire. BF16 is Triton's addition to the specification's list. */
export type Datatype = keyof typeof DATATYPE_BYTES;

/** All datatypes, in the order of the specification, BF16 beside FP16. */
export const DATATYPES = Object.keys(DATATYPE_BYTES) as readonly Datatype[];

/** Whether a value from the wire names a datatype; exact spelling, as in the specification (upper case). */
export function isDatatype(value: unknown): value is Datatype {
  return typeof value === 'string' && Object.hasOwn(DATATYPE_BYTES, value);
}
