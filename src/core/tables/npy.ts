/**
 * numpy's .npy files (format versions 1 to 3, as numpy.lib.format describes them): one array whose first axis is the rows,
 * in C order and little-endian.
 */
import { AppError } from '../../errors.js';
import { DATATYPE_BYTES, type Datatype } from '../../protocol/datatypes.js';
import { fromHalf } from '../../protocol/float16.js';
import { elementCount, type Tensor, tensorFromBytes, tensorToBytes } from '../../protocol/tensor.js';
import { createElements } from './elements.js';
import type { Part, PartLimits, RandomAccess } from './format.js';
import type { InputColumn } from './layout.js';
import type { OutputColumn } from './outputs.js';
import { type DecodedRows, fitShape } from './rows.js';

/** What stands before the elements. */
export interface NpyHead {
  readonly type: ElementType;
  readonly rows: number;
  /** Of one row. */
  readonly shape: readonly number[];
  /** Where the elements begin, in bytes. */
  readonly start: number;
}

/** How elements lie in the file: a datatype of the protocol, or text of a fixed width. */
type ElementType =
  | { readonly kind: 'plain'; readonly datatype: Exclude<Datatype, 'BYTES'>; readonly bytes: number }
  /** `S` is bytes padded with zeros, `U` is UTF-32. */
  | { readonly kind: 'S' | 'U'; readonly bytes: number };

const MAGIC = Buffer.from('\x93NUMPY', 'latin1');

const DESCR: ReadonlyMap<string, Exclude<Datatype, 'BYTES'>> = new Map([
  ['|b1', 'BOOL'],
  ['|u1', 'UINT8'],
  ['|i1', 'INT8'],
  ['<u2', 'UINT16'],
  ['<u4', 'UINT32'],
  ['<u8', 'UINT64'],
  ['<i2', 'INT16'],
  ['<i4', 'INT32'],
  ['<i8', 'INT64'],
  ['<f2', 'FP16'],
  ['<f4', 'FP32'],
  ['<f8', 'FP64'],
]);

export async function readNpyHead(file: RandomAccess): Promise<NpyHead> {
  const fixed = await file.read(0, Math.min(12, file.bytes));
  if (fixed.length < 10 || !fixed.subarray(0, 6).equals(MAGIC)) throw new AppError('invalid', 'it is no .npy file');
  const version = fixed[6] ?? 0;
  if (version < 1 || version > 3)
    throw new AppError('invalid', `its .npy format has version ${version}; 1 to 3 are known`);
  const headAt = version === 1 ? 10 : 12;
  const length = version === 1 ? fixed.readUInt16LE(8) : fixed.readUInt32LE(8);
  const start = headAt + length;
  if (start > file.bytes) throw new AppError('invalid', 'its .npy header is cut off');
  const head = parseHead((await file.read(headAt, start)).toString(version === 3 ? 'utf8' : 'latin1'));
  const [rows, ...shape] = head.shape;
  if (rows === undefined) throw new AppError('invalid', 'the array has no axis, so it has no rows');
  const wanted = rows * elementCount(shape) * head.type.bytes;
  if (file.bytes - start !== wanted)
    throw new AppError('invalid', `the file has ${file.bytes - start} bytes of elements; its shape takes ${wanted}`);
  return { type: head.type, rows, shape, start };
}

/** Reads the header, which is a Python dictionary as text. */
function parseHead(text: string): { type: ElementType; shape: number[] } {
  const descr = /'descr':\s*'([^']*)'/.exec(text)?.[1];
  const order = /'fortran_order':\s*(True|False)/.exec(text)?.[1];
  const shape = /'shape':\s*\(([\d,\s]*)\)/.exec(text)?.[1];
  if (order === undefined || shape === undefined || (descr === undefined && !text.includes("'descr'")))
    throw new AppError('invalid', `its .npy header cannot be read: ${text.slice(0, 100)}`);
  if (order === 'True') throw new AppError('invalid', 'the array is in Fortran order; save it in C order');
  return { type: typeOf(descr ?? 'a structure'), shape: (shape.match(/\d+/g) ?? []).map(Number) };
}

function typeOf(descr: string): ElementType {
  const datatype = DESCR.get(descr.replace(/^=/, '<'));
  if (datatype) return { kind: 'plain', datatype, bytes: DATATYPE_BYTES[datatype] };
  const text = /^([|<])([SU])(\d+)$/.exec(descr);
  if (text) return { kind: text[2] as 'S' | 'U', bytes: Number(text[3]) * (text[2] === 'U' ? 4 : 1) };
  throw new AppError(
    'invalid',
    descr.startsWith('>')
      ? `the array's elements are ${descr}, big-endian; save them little-endian`
      : `the array's elements are ${descr}; ${[...DESCR.keys()].join(' ')} and text (S, U) are known`,
  );
}

/** The file's parts in order. */
export function* cutNpy({ rows, shape, start, type }: NpyHead, limits: PartLimits): Generator<Part> {
  const rowBytes = elementCount(shape) * type.bytes;
  const most = Math.max(1, Math.min(limits.rows, rowBytes === 0 ? limits.rows : Math.floor(limits.bytes / rowBytes)));
  for (let row = 0; row < rows; row += most) {
    const count = Math.min(most, rows - row);
    yield { row, rows: count, start: start + row * rowBytes, stop: start + (row + count) * rowBytes, line: row + 1 };
  }
}

/** Reads the rows of a part for the one input of a model. */
export function decodeNpy(bytes: Buffer, part: Part, { type, shape }: NpyHead, input: InputColumn): DecodedRows {
  const inner = fitShape(shape, input.shape);
  if (!inner)
    throw new AppError(
      'invalid',
      `input "${input.name}" takes [${(input.shape ?? []).join(', ')}] a row, the array has [${shape.join(', ')}]`,
    );
  const tensor = tensorOf(bytes, type, input, [part.rows, ...inner]);
  return {
    rows: part.rows,
    runs: part.rows === 0 ? [] : [{ first: 0, rows: part.rows, tensors: [tensor] }],
    bad: [],
    lineOf: (row) => part.line + row,
  };
}

function tensorOf(bytes: Buffer, type: ElementType, input: InputColumn, shape: readonly number[]): Tensor {
  if (type.kind === 'plain' && type.datatype === input.datatype)
    return tensorFromBytes(input.name, type.datatype, shape, bytes);
  const elements = createElements(input.datatype);
  try {
    for (const value of valuesOf(bytes, type)) elements.append(value);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    throw new AppError('invalid', `input "${input.name}": element ${elements.length}: ${error.message}`);
  }
  return elements.tensor(input.name, shape, 0, elements.length);
}

function* valuesOf(bytes: Buffer, type: ElementType): Iterable<unknown> {
  if (type.kind === 'plain') {
    const { data } = tensorFromBytes('', type.datatype, [bytes.length / type.bytes], bytes);
    for (const value of data) yield type.datatype === 'FP16' ? fromHalf(Number(value)) : value;
    return;
  }
  for (let at = 0; at < bytes.length; at += type.bytes) {
    const element = bytes.subarray(at, at + type.bytes);
    yield type.kind === 'S' ? withoutPadding(element) : utf32(element);
  }
}

function withoutPadding(element: Buffer): Buffer {
  let end = element.length;
  while (end > 0 && element[end - 1] === 0) end--;
  return element.subarray(0, end);
}

function utf32(element: Buffer): string {
  let text = '';
  for (let at = 0; at < element.length; at += 4) {
    const code = element.readUInt32LE(at);
    if (code > 0) text += String.fromCodePoint(code);
  }
  return text;
}

/** The header of a file that holds so many rows of an output (format version 1). */
export function npyHeader({ datatype, shape }: OutputColumn, rows: number): Buffer {
  const descr = [...DESCR].find(([, known]) => known === datatype)?.[0];
  if (descr === undefined) throw new AppError('invalid', `npy has no ${datatype}; choose another format`);
  const sizes = [rows, ...shape];
  const tuple = sizes.length === 1 ? `${sizes[0]},` : sizes.join(', ');
  const text = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${tuple}), }`;
  // elements begin at a multiple of 64 bytes; the header ends with a line break
  const padding = (64 - ((10 + text.length + 1) % 64)) % 64;
  const head = Buffer.alloc(10);
  MAGIC.copy(head);
  head[6] = 1;
  head.writeUInt16LE(text.length + padding + 1, 8);
  return Buffer.concat([head, Buffer.from(`${text}${' '.repeat(padding)}\n`, 'latin1')]);
}

/** Elements as they lie in a file. */
export function npyElements(tensor: Tensor): Buffer {
  return tensorToBytes(tensor);
}
