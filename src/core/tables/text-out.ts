/** Answers as text: JSON Lines and CSV. */
import type { Datatype } from '../../protocol/datatypes.js';
import { ByteWriter } from '../../protocol/json/byte-writer.js';
import { elementCount, type Tensor } from '../../protocol/tensor.js';
import { ERROR_COLUMN, elementsOf, type OutputColumn, type Segment } from './outputs.js';

/** Prints what stands at an index: an element, or a row. */
type Print = (index: number) => void;

/** Printing ends before anybody else prints, so one writer's memory serves all. */
const writer = new ByteWriter();

/**
 * Objects, one a line: an output's values by its name, nested as its shape says. JSON has no NaN and no infinities: they
 * are the words "NaN", "Infinity" and "-Infinity" (as in ProtoJSON). 64-bit integers have all their digits.
 */
export function encodeJsonl(columns: readonly OutputColumn[], segments: readonly Segment[]): Buffer {
  writer.reset();
  const names = columns.map((column, at) => `${at > 0 ? ',' : ''}${JSON.stringify(column.name)}:`);
  const nothing = columns.map((column) => `${JSON.stringify(column.name)}:null,`).join('');
  for (const segment of segments) {
    if (segment.kind === 'bad') {
      writer.text(`{${nothing}"${ERROR_COLUMN}":${JSON.stringify(segment.message)}}\n`);
      continue;
    }
    const printers = segment.outputs.map((tensor) => nestedPrinter(tensor, jsonPrinter(tensor)));
    for (let row = 0; row < segment.rows; row++) {
      writer.ascii('{');
      for (let at = 0; at < printers.length; at++) {
        writer.text(names[at] as string);
        (printers[at] as Print)(row);
      }
      writer.ascii('}\n');
    }
  }
  return writer.finish();
}

/** Prints rows of a tensor, nested as its shape is. */
function nestedPrinter({ shape }: Tensor, print: Print): Print {
  const inner = shape.slice(1);
  const size = elementCount(inner);
  const nested = (depth: number, from: number, count: number): void => {
    if (depth === inner.length) {
      print(from);
      return;
    }
    const length = inner[depth] as number;
    const each = length === 0 ? 0 : count / length;
    writer.ascii('[');
    for (let index = 0; index < length; index++) {
      if (index > 0) writer.ascii(',');
      nested(depth + 1, from + index * each, each);
    }
    writer.ascii(']');
  };
  return (row) => nested(0, row * size, size);
}

function jsonPrinter(tensor: Tensor): Print {
  const elements = elementsOf(tensor);
  if (tensor.datatype === 'BYTES') return (index) => writer.text(JSON.stringify(elements[index]));
  return plainPrinter(tensor, elements, (special) => writer.ascii(`"${special}"`));
}

const FLOATS: ReadonlySet<Datatype> = new Set(['FP16', 'BF16', 'FP32', 'FP64']);

/** Prints elements as they are in JSON and CSV alike; `special` prints NaN and infinities. */
function plainPrinter(
  { datatype }: Tensor,
  elements: ReturnType<typeof elementsOf>,
  special: (value: number) => void,
): Print {
  if (!FLOATS.has(datatype)) return (index) => writer.ascii(String(elements[index]));
  const finite = (value: number) => (datatype === 'FP64' ? writer.double(value) : writer.single(value));
  return (index) => {
    const value = elements[index] as number;
    if (value - value === 0) finite(value);
    else special(value);
  };
}

/** The line of names: an output of one element a row is a column of its name, of others each element is one. */
export function csvHeader(columns: readonly OutputColumn[], withErrors: boolean): Buffer {
  const names = columns.flatMap(({ name, shape }) => {
    const size = elementCount(shape);
    return size === 1 ? [name] : Array.from({ length: size }, (_, at) => `${name}_${at}`);
  });
  return Buffer.from(`${[...names, ...(withErrors ? [ERROR_COLUMN] : [])].map(quoted).join(',')}\n`, 'utf8');
}

/** The lines of rows. NaN and infinities stand as such. */
export function encodeCsv(columns: readonly OutputColumn[], segments: readonly Segment[], withErrors: boolean): Buffer {
  writer.reset();
  const width = columns.reduce((sum, { shape }) => sum + elementCount(shape), 0);
  const ending = withErrors ? ',\n' : '\n';
  for (const segment of segments) {
    if (segment.kind === 'bad') {
      writer.text(`${','.repeat(width)}${quoted(segment.message)}\n`);
      continue;
    }
    const printers = segment.outputs.map(csvPrinter);
    for (let row = 0; row < segment.rows; row++) {
      for (let at = 0; at < printers.length; at++) {
        if (at > 0) writer.ascii(',');
        (printers[at] as Print)(row);
      }
      writer.ascii(ending);
    }
  }
  return writer.finish();
}

/** Prints a row's elements with commas between. */
function csvPrinter(tensor: Tensor): Print {
  const size = elementCount(tensor.shape.slice(1));
  const elements = elementsOf(tensor);
  const print: Print =
    tensor.datatype === 'BYTES'
      ? (index) => writer.text(quoted(String(elements[index])))
      : plainPrinter(tensor, elements, (special) => writer.ascii(`${special}`));
  if (size === 1) return print;
  return (row) => {
    for (let index = 0; index < size; index++) {
      if (index > 0) writer.ascii(',');
      print(row * size + index);
    }
  };
}

/** A field with quotes where it needs them; an empty one too, for alone on its line it would be no row. */
function quoted(field: string): string {
  return field === '' || /[",\r\n]/.test(field) || field.trim() !== field ? `"${field.replaceAll('"', '""')}"` : field;
}
