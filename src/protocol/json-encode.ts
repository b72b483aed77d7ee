import { isUtf8 } from 'node:buffer';
import { AppError } from '../errors.js';
import { fromBfloat, fromHalf } from './float16.js';
import type { Tensor } from './tensor.js';

/** A tensor's elements as the inside of a JSON array. */
export interface JsonElements {
  /** Comma-separated, without the brackets. */
  readonly text: string;
  /** How many NaN and infinities were written as null. */
  readonly nonFinite: number;
}

/**
 * Prints elements flat. JSON has no NaN and no infinities: they become `null` (which numpy reads back as NaN) and are
 * counted, so that the answer can say so; the binary extension carries them exactly. 64-bit integers are printed with
 * all their digits. BYTES that are not UTF-8 cannot be JSON at all and are refused.
 */
export function elementsToJson(tensor: Tensor): JsonElements {
  switch (tensor.datatype) {
    case 'FP32':
      return floats(tensor.data, float32Text);
    case 'FP64':
      return floats(tensor.data, float64Text);
    case 'FP16':
      return floats(Float64Array.from(tensor.data, fromHalf), float32Text);
    case 'BF16':
      return floats(Float64Array.from(tensor.data, fromBfloat), float32Text);
    case 'INT64':
      return { text: wide(tensor.data, true), nonFinite: 0 };
    case 'UINT64':
      return { text: wide(tensor.data, false), nonFinite: 0 };
    case 'BOOL':
      return { text: booleans(tensor.data), nonFinite: 0 };
    case 'BYTES':
      return { text: strings(tensor.name, tensor.data), nonFinite: 0 };
    default:
      return { text: tensor.data.join(','), nonFinite: 0 };
  }
}

/** Exactly representable powers of ten: dividing an integer by one of them rounds once, so the text comes out short. */
const POWERS = Array.from({ length: 23 }, (_, i) => Number(`1e${i}`));

/**
 * The text of a single-precision number, as few digits as cheaply found that read back as the same float32: 0.1 rather
 * than 0.10000000149011612. Less to print, to send and to parse. Outside 1e-6..1e9 it is the plain double.
 */
export function float32Text(value: number): string {
  const size = value < 0 ? -value : value;
  if (size < 1e-6 || size >= 1e9 || value === (value | 0)) return float64Text(value);
  let digitsBefore = 0;
  if (size >= 1) {
    digitsBefore = 1;
    while (size >= (POWERS[digitsBefore] as number)) digitsBefore++;
  } else {
    let scaled = size * 10;
    while (scaled < 1) {
      scaled *= 10;
      digitsBefore--;
    }
  }
  for (let digits = 7; digits <= 9; digits++) {
    const scale = POWERS[digits - digitsBefore] as number;
    const short = Math.round(value * scale) / scale;
    if (Math.fround(short) === value) return `${short}`;
  }
  return `${value}`;
}

/** A double-precision number as text. -0 keeps its sign: `String(-0)` is "0", and JSON knows -0. */
export function float64Text(value: number): string {
  return value === 0 && 1 / value < 0 ? '-0' : `${value}`;
}

function floats(data: Float32Array | Float64Array, print: (value: number) => string): JsonElements {
  let text = '';
  let nonFinite = 0;
  for (let i = 0; i < data.length; i++) {
    const value = data[i] as number;
    if (i > 0) text += ',';
    if (value - value === 0) {
      text += print(value);
    } else {
      text += 'null';
      nonFinite++;
    }
  }
  return { text, nonFinite };
}

function wide(data: BigInt64Array | BigUint64Array, signed: boolean): string {
  const words = new Uint32Array(data.buffer, data.byteOffset, data.length * 2);
  let text = '';
  for (let i = 0; i < data.length; i++) {
    const high = words[2 * i + 1] as number;
    const number = (signed ? high | 0 : high) * 4294967296 + (words[2 * i] as number);
    if (i > 0) text += ',';
    text += Number.isSafeInteger(number) ? `${number}` : `${data[i]}`;
  }
  return text;
}

function booleans(data: Uint8Array): string {
  let text = '';
  for (let i = 0; i < data.length; i++) {
    if (i > 0) text += ',';
    text += data[i] ? 'true' : 'false';
  }
  return text;
}

function strings(name: string, data: readonly Buffer[]): string {
  return data
    .map((element, i) => {
      if (isUtf8(element)) return JSON.stringify(element.toString('utf8'));
      throw new AppError(
        'unsupported',
        `tensor "${name}": element ${i} is not UTF-8 and so cannot be JSON; ask for it with binary_data`,
        { details: { tensor: name, element: i } },
      );
    })
    .join(',');
}
