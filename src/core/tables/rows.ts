/** Rows of a table as tensors: consecutive rows of the same shape lie one behind the other, ready to be sent together. */
import { AppError, messageOf } from '../../errors.js';
import { elementCount, type Tensor, tensorFromBytes, tensorToBytes } from '../../protocol/tensor.js';
import { createElements, type ElementBuffer, shown } from './elements.js';
import type { InputColumn, Layout } from './layout.js';

/** Consecutive rows whose values have the same shapes. */
export interface Run {
  /** Of its first row within the part, from 0. */
  readonly first: number;
  readonly rows: number;
  /** One for each input; the first dimension is the rows. */
  readonly tensors: readonly Tensor[];
}

export interface BadRow {
  /** Within the part, from 0. */
  readonly row: number;
  readonly message: string;
}

/** The rows of one part. Every row is in one run, or is a bad one. */
export interface DecodedRows {
  readonly rows: number;
  readonly runs: readonly Run[];
  readonly bad: readonly BadRow[];
  /** The line at which a row begins, or its number from 1 where there are no lines. */
  lineOf(row: number): number;
}

interface OpenRun {
  readonly first: number;
  rows: number;
  readonly shapes: readonly (readonly number[])[];
  /** Where its elements begin in each buffer. */
  readonly from: readonly number[];
}

/** Gathers rows one by one. */
export class RowsBuilder {
  private readonly buffers: readonly ElementBuffer[];
  private readonly runs: OpenRun[] = [];
  private readonly bad: BadRow[] = [];
  private readonly lines: number[] = [];

  constructor(private readonly inputs: Layout['inputs']) {
    this.buffers = inputs.map((input) => createElements(input.datatype));
  }

  /** Adds a row whose value for each input `read` gives: a scalar or nested arrays. What is wrong with it makes it a bad one. */
  add(line: number, read: (input: InputColumn) => unknown): void {
    const from = this.buffers.map((buffer) => buffer.length);
    try {
      const shapes = this.inputs.map((input, at) => appendValue(this.buffers[at] as ElementBuffer, read(input), input));
      this.extend(shapes, from);
      this.lines.push(line);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      this.buffers.forEach((buffer, at) => {
        buffer.truncate(from[at] as number);
      });
      this.addBad(line, error.message);
    }
  }

  /** Adds a row that cannot be read at all. */
  addBad(line: number, message: string): void {
    this.bad.push({ row: this.lines.length, message });
    this.lines.push(line);
  }

  private extend(shapes: readonly (readonly number[])[], from: readonly number[]): void {
    const row = this.lines.length;
    const last = this.runs.at(-1);
    if (last && last.first + last.rows === row && sameShapes(last.shapes, shapes)) last.rows++;
    else this.runs.push({ first: row, rows: 1, shapes, from });
  }

  finish(): DecodedRows {
    const { lines } = this;
    return {
      rows: lines.length,
      bad: this.bad,
      lineOf: (row) => lines[row] ?? 0,
      runs: this.runs.map(({ first, rows, shapes, from }) => ({
        first,
        rows,
        tensors: this.inputs.map((input, at) => {
          const shape = [rows, ...(shapes[at] as readonly number[])];
          const start = from[at] as number;
          const buffer = this.buffers[at] as ElementBuffer;
          return buffer.tensor(input.name, shape, start, start + elementCount(shape));
        }),
      })),
    };
  }
}

function sameShapes(a: readonly (readonly number[])[], b: readonly (readonly number[])[]): boolean {
  for (let i = 0; i < a.length; i++) {
    const [one, other] = [a[i] as readonly number[], b[i] as readonly number[]];
    if (one.length !== other.length || !one.every((size, axis) => size === other[axis])) return false;
  }
  return true;
}

/** Appends a row's value for an input and answers its shape, which fits what the input takes. */
function appendValue(buffer: ElementBuffer, value: unknown, input: InputColumn): readonly number[] {
  const from = buffer.length;
  const nesting: Nesting = { shape: [], rank: undefined };
  try {
    appendNested(buffer, value, nesting, 0);
  } catch (error) {
    const where = nesting.shape.length === 0 ? '' : `at element ${buffer.length - from} `;
    throw new AppError('invalid', `input "${input.name}": ${where}${messageOf(error)}`);
  }
  const fitted = fitShape(nesting.shape, input.shape);
  if (fitted) return fitted;
  const wanted = `[${(input.shape ?? []).join(', ')}]`;
  const got = nesting.shape.length === 0 ? 'a single value' : `[${nesting.shape.join(', ')}]`;
  throw new AppError('invalid', `input "${input.name}" takes ${wanted} a row, it is ${got}`, {
    details: { input: input.name },
  });
}

/** How nested arrays are nested, as found so far. */
interface Nesting {
  readonly shape: number[];
  /** How deep the elements lie; undefined as long as there was none. */
  rank: number | undefined;
}

const MAX_DEPTH = 16;

function appendNested(buffer: ElementBuffer, value: unknown, nesting: Nesting, depth: number): void {
  const { shape, rank } = nesting;
  if (!Array.isArray(value)) {
    if (rank === undefined) nesting.rank = depth;
    else if (rank !== depth) throw ragged(`${shown(value)} beside arrays`);
    buffer.append(value);
    return;
  }
  if (depth >= MAX_DEPTH) throw new AppError('invalid', `it is nested more than ${MAX_DEPTH} deep`);
  if (rank !== undefined && depth >= rank) throw ragged(`an array beside ${rank === 0 ? 'a value' : 'elements'}`);
  if (depth === shape.length) shape.push(value.length);
  else if (shape[depth] !== value.length) throw ragged(`${value.length} elements beside ${shape[depth]}`);
  for (const inner of value) appendNested(buffer, inner, nesting, depth + 1);
}

function ragged(what: string): AppError {
  return new AppError('invalid', `it is ragged: ${what}`);
}

/**
 * The shape in which a row's values are sent, if they fit. As they are nested, where that agrees; a flat row fills the
 * dimensions in order, and a single value those that are all 1.
 */
export function fitShape(
  found: readonly number[],
  wanted: readonly number[] | undefined,
): readonly number[] | undefined {
  if (wanted === undefined) return found;
  const agrees = found.length === wanted.length && wanted.every((size, axis) => size === -1 || size === found[axis]);
  if (agrees) return found;
  if (found.length > 1 || wanted.length === 0) return undefined;
  const count = elementCount(found);
  const known = elementCount(wanted.filter((size) => size !== -1));
  const variable = wanted.filter((size) => size === -1).length;
  if (variable === 0) return known === count ? wanted : undefined;
  // several variable dimensions could be filled in more than one way
  if (found.length === 1 && variable > 1) return undefined;
  const rest = known === 0 ? 0 : count / known;
  if (!Number.isInteger(rest) || (variable > 1 && rest !== 1)) return undefined;
  return wanted.map((size) => (size === -1 ? rest : size));
}

/** Rows of a run from one to before another, without copying. */
export function sliceRows(tensors: readonly Tensor[], from: number, to: number): Tensor[] {
  return tensors.map((tensor) => {
    const [rows = 1, ...inner] = tensor.shape;
    const each = rows === 0 ? 0 : tensor.data.length / rows;
    const data =
      tensor.datatype === 'BYTES'
        ? tensor.data.slice(from * each, to * each)
        : tensor.data.subarray(from * each, to * each);
    return { ...tensor, shape: [to - from, ...inner], data } as Tensor;
  });
}

/** So many rows: the last one stands in for those that are missing. */
export function padRows(tensors: readonly Tensor[], rows: number): readonly Tensor[] {
  return tensors.map((tensor) => {
    const [given = 0, ...inner] = tensor.shape;
    const [last] = sliceRows([tensor], given - 1, given);
    if (given >= rows || !last) return tensor;
    const more = new Array<Buffer>(rows - given).fill(tensorToBytes(last));
    return tensorFromBytes(
      tensor.name,
      tensor.datatype,
      [rows, ...inner],
      Buffer.concat([tensorToBytes(tensor), ...more]),
    );
  });
}
