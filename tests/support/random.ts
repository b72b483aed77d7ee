import { DATATYPES, type Datatype } from '../../src/protocol/datatypes.js';
import { elementCount, makeTensor, type Tensor, tensorFromBytes } from '../../src/protocol/tensor.js';

/** Repeatable random numbers in [0, 1): mulberry32. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

const WIDTH: Record<string, number> = { '8': 1, '16': 2, '32': 4, '64': 8 };

/**
 * A tensor of random type, shape and bits: so every exponent, denormals and the ends of integer ranges come up. With
 * `finite`, no NaN and no infinities, which JSON cannot carry.
 */
export function randomTensor(random: () => number, name: string, finite: boolean): Tensor {
  const datatype = DATATYPES[Math.floor(random() * DATATYPES.length)] as Datatype;
  const shape = Array.from({ length: Math.floor(random() * 4) }, () => Math.floor(random() * 5));
  const count = elementCount(shape);
  if (datatype === 'BYTES') {
    const binary = !finite && random() < 0.5;
    const element = () => (binary ? randomBytes(random, 6) : Buffer.from(randomText(random), 'utf8'));
    const data = Array.from({ length: count }, element);
    return makeTensor(name, datatype, shape, data);
  }
  const width = datatype === 'BOOL' ? 1 : (WIDTH[datatype.replace(/\D/g, '')] ?? 1);
  const bytes = Uint8Array.from({ length: count * width }, () => Math.floor(random() * 256));
  if (datatype === 'BOOL') for (let i = 0; i < bytes.length; i++) bytes[i] = (bytes[i] ?? 0) & 1;
  // small integers are as common in life as large ones
  if (random() < 0.5 && /INT/.test(datatype)) bytes.fill(random() < 0.5 ? 0 : 255);
  if (finite && /^B?F/.test(datatype)) {
    for (let at = width - 1; at < bytes.length; at += width) bytes[at] = (bytes[at] ?? 0) & 0xbf;
  }
  return tensorFromBytes(name, datatype, shape, bytes);
}

const LETTERS = [
  'a',
  'Z',
  '0',
  ' ',
  '"',
  '\\',
  '\n',
  '\u0000',
  'é',
  '日',
  '😀',
  '9007199254740993',
  'NaN',
  '</script>',
];

function randomText(random: () => number): string {
  return Array.from({ length: Math.floor(random() * 6) }, () => LETTERS[Math.floor(random() * LETTERS.length)]).join(
    '',
  );
}

/** Up to so many bytes of any value. */
export function randomBytes(random: () => number, most: number): Buffer {
  return Buffer.from(Array.from({ length: Math.floor(random() * (most + 1)) }, () => Math.floor(random() * 256)));
}

/** The same bytes in pieces of random lengths, mostly short ones, some of them empty. */
export function cutAnywhere(random: () => number, bytes: Buffer, most: number): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + Math.floor(random() ** 3 * (most + 1));
    pieces.push(bytes.subarray(at, end));
    at = end;
  }
  return pieces;
}
