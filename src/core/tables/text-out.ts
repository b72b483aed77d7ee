/** Answers as text: JSON Lines and CSV. */
import type { Datatype } from '../../protocol/datatypes.js';
import { float32Text, float64Text } from '../../protocol/json-encode.js';
import { elementCount, type Tensor } from '../../protocol/tensor.js';
import { ERROR_COLUMN, elementsOf, type OutputColumn, type Segment } from './outputs.js';

/** One element's text for each index. */
type Print = (index: number) => string;

/**
 * Objects, one a line: an output's values by its name, nested as its shape says. JSON has no NaN and no infinities: they
 * are the words "NaN", "Infinity" and "-Infinity" (as in ProtoJSON). 64-bit integers have all their digits.
 */
export function encodeJsonl(columns: readonly OutputColumn[], segments: readonly Segment[]): Buffer {
  const names = columns.map((column) => JSON.stringify(column.name));
  const nothing = names.map((name) => `${name}:null,`).join('');
  let text = '';
  for (const segment of segments) {
    if (segment.kind === 'bad') {
      text += `{${nothing}"${ERROR_COLUMN}":${JSON.stringify(segment.message)}}\n`;
      continue;
    }
    const printers = segment.outputs.map((tensor) => rowPrinter(tensor, jsonPrinter(tensor)));
    for (let row = 0; row < segment.rows; row++) {
      text += '{';
      for (let at = 0; at < printers.length; at++)
        text += `${at > 0 ? ',' : ''}${names[at]}:${(printers[at] as Print)(row)}`;
      text += '}\n';
    }
  }
  return Buffer.from(text, 'utf8');
}

/** A row's value of a tensor, nested as its shape is. */
function rowPrinter({ shape }: Tensor, print: Print): Print {
  const inner = shape.slice(1);
  const size = elementCount(inner);
  const nested = (depth: number, from: number, count: number): string => {
    if (depth === inner.length) return print(from);
    const length = inner[depth] as number;
    const each = length === 0 ? 0 : count / length;
    let text = '[';
    for (let index = 0; index < length; index++)
      text += `${index > 0 ? ',' : ''}${nested(depth + 1, from + index * each, each)}`;
    return `${text}]`;
  };
  return (row) => nested(0, row * size, size);
}

function jsonPrinter(tensor: Tensor): Print {
  const elements = elementsOf(tensor);
  if (tensor.datatype === 'BYTES') return (index) => JSON.stringify(elements[index]);
  const print = plainPrinter(tensor, elements);
  if (!FLOATS.has(tensor.datatype)) return print;
  return (index) => {
    const value = elements[index] as number;
    return value - value === 0 ? print(index) : `"${value}"`;
  };
}

const FLOATS: ReadonlySet<Datatype> = new Set(['FP16', 'BF16', 'FP32', 'FP64']);

/** An element's text as it is in JSON and CSV alike. */
function plainPrinter({ datatype }: Tensor, elements: ReturnType<typeof elementsOf>): Print {
  if (datatype === 'FP64') return (index) => float64Text(elements[index] as number);
  if (FLOATS.has(datatype)) return (index) => float32Text(elements[index] as number);
  return (index) => String(elements[index]);
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
  const width = columns.reduce((sum, { shape }) => sum + elementCount(shape), 0);
  const ending = withErrors ? ',\n' : '\n';
  let text = '';
  for (const segment of segments) {
    if (segment.kind === 'bad') {
      text += `${','.repeat(width)}${quoted(segment.message)}\n`;
      continue;
    }
    const printers = segment.outputs.map(csvPrinter);
    for (let row = 0; row < segment.rows; row++) {
      for (let at = 0; at < printers.length; at++) text += `${at > 0 ? ',' : ''}${(printers[at] as Print)(row)}`;
      text += ending;
    }
  }
  return Buffer.from(text, 'utf8');
}

/** A row's elements with commas between. */
function csvPrinter(tensor: Tensor): Print {
  const size = elementCount(tensor.shape.slice(1));
  const elements = elementsOf(tensor);
  const print: Print =
    tensor.datatype === 'BYTES' ? (index) => quoted(String(elements[index])) : plainPrinter(tensor, elements);
  if (size === 1) return print;
  return (row) => {
    let text = '';
    for (let index = 0; index < size; index++) text += `${index > 0 ? ',' : ''}${print(row * size + index)}`;
    return text;
  };
}

/** A field with quotes where it needs them; an empty one too, for alone on its line it would be no row. */
function quoted(field: string): string {
  return field === '' || /[",\r\n]/.test(field) || field.trim() !== field ? `"${field.replaceAll('"', '""')}"` : field;
}
