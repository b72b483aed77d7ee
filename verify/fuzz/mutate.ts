/** Damage to bytes and to JSON: what is cut, doubled, swapped, nested, or replaced by the ends of what it can be. */
import type { Dice } from './dice.js';

/** Numbers as text at the ends of what readers take them for. */
const NUMBERS = [
  ...['0', '-0', '-1', '1.5', '1e999', '-1e999', '1e-999', 'NaN', '0x10', '01', '+1', '.5', '2147483648', '4294967295'],
  ...['9007199254740993', '9223372036854775807', '9223372036854775808', '-9223372036854775809', '18446744073709551616'],
  ...['99999999999999999999999999', `1${'0'.repeat(400)}`],
];
const WIDE = [0, 1, 0x7f, 0x80, 0xff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff, 0x04000000];

/** The same bytes, damaged once or a few times. */
export function damaged(dice: Dice, bytes: Buffer): Buffer {
  let result = Buffer.from(bytes);
  for (let times = 1 + dice.below(dice.chance(0.8) ? 2 : 8); times > 0; times--) {
    result = Buffer.from(dice.pick(DAMAGES)(dice, result));
  }
  return result;
}

type Damage = (dice: Dice, bytes: Buffer) => Buffer;

const place = (dice: Dice, bytes: Buffer) => dice.below(bytes.length + 1);

function spliced(bytes: Buffer, at: number, removed: number, added: Buffer): Buffer {
  return Buffer.concat([bytes.subarray(0, at), added, bytes.subarray(at + removed)]);
}

const flipBit: Damage = (dice, bytes) => {
  if (bytes.length > 0) {
    const at = dice.below(bytes.length);
    bytes[at] = (bytes[at] ?? 0) ^ (1 << dice.below(8));
  }
  return bytes;
};

const DAMAGES: readonly Damage[] = [
  flipBit,
  flipBit,
  (dice, bytes) => spliced(bytes, place(dice, bytes), 1, dice.bytes(1)),
  (dice, bytes) => bytes.subarray(0, place(dice, bytes)),
  (dice, bytes) => spliced(bytes, place(dice, bytes), dice.below(20), Buffer.alloc(0)),
  (dice, bytes) => spliced(bytes, place(dice, bytes), 0, dice.bytes(1 + dice.below(12))),
  (dice, bytes) => {
    const at = place(dice, bytes);
    return spliced(bytes, at, 0, bytes.subarray(at, at + dice.below(60)));
  },
  (_dice, bytes) => (bytes.length > 100_000 ? bytes : Buffer.concat([bytes, bytes])),
  (dice, bytes) => {
    const word = Buffer.alloc(4);
    if (dice.chance(0.5)) word.writeUInt32LE(dice.pick(WIDE));
    else word.writeUInt32BE(dice.pick(WIDE));
    return spliced(bytes, place(dice, bytes), 4, word);
  },
  extremeNumber,
  extremeNumber,
  (dice, bytes) => spliced(bytes, place(dice, bytes), 0, Buffer.from(dice.pick(['[', '{"a":', '"']).repeat(3000))),
];

/** One of the numbers that stand in a text, replaced. */
function extremeNumber(dice: Dice, bytes: Buffer): Buffer {
  const text = bytes.toString('latin1');
  const found = [...text.matchAll(/-?\d+(?:\.\d+)?/g)];
  if (found.length === 0) return bytes;
  const { 0: number, index } = dice.pick(found);
  return Buffer.from(text.slice(0, index) + dice.pick(NUMBERS) + text.slice(index + number.length), 'latin1');
}

/** A mark in a JSON text that a piece of text takes the place of, which is none of JSON's. */
const MARK = '@raw@';

const ODD: readonly ((dice: Dice) => unknown)[] = [
  () => null,
  () => true,
  () => 0,
  () => -1,
  () => 2 ** 53,
  () => '',
  () => 'BYTES',
  () => 'FP64',
  () => 'x'.repeat(20_000),
  () => '\u0000',
  () => '\ud800',
  () => '__proto__',
  () => [],
  () => ({}),
  () => [[[]]],
  () => ({ toString: 1, __proto__x: null, constructor: [] }),
  (dice) => Array.from({ length: dice.below(2000) }, () => 1),
  (dice) => `${MARK}${dice.pick(NUMBERS)}`,
  (dice) => `${MARK}${'['.repeat(1 + dice.below(100_000))}`,
  () => `${MARK}${'[ '.repeat(500)}${']'.repeat(500)}`,
];

/** A JSON text of the value with some of its members replaced, renamed, doubled, left out or nested. */
export function damagedJson(dice: Dice, value: unknown): Buffer {
  let root = structuredClone(value);
  for (let times = 1 + dice.below(3); times > 0; times--) root = damageNode(dice, root);
  const text = JSON.stringify(root, (_key, member: unknown) => (typeof member === 'bigint' ? Number(member) : member));
  const raw = (text ?? 'null').replace(/"@raw@([^"]*)"/g, '$1');
  return dice.chance(0.1) ? damaged(dice, Buffer.from(raw)) : Buffer.from(raw);
}

function damageNode(dice: Dice, node: unknown): unknown {
  if (typeof node !== 'object' || node === null || dice.chance(0.15)) {
    if (dice.chance(0.2)) return dice.chance(0.5) ? [node] : { inner: node };
    return dice.pick(ODD)(dice);
  }
  if (Array.isArray(node)) return damageArray(dice, node);
  const entries = Object.entries(node);
  if (entries.length === 0) return dice.pick(ODD)(dice);
  const [name, member] = dice.pick(entries);
  const what = dice.random();
  if (what < 0.1) return Object.fromEntries(entries.filter(([key]) => key !== name));
  if (what < 0.2) return Object.fromEntries(entries.map(([key, of]) => [key === name ? `${key}x` : key, of]));
  if (what < 0.3) return { ...node, [dice.pick(['id', 'parameters', 'outputs', 'extra'])]: dice.pick(ODD)(dice) };
  return { ...node, [name]: damageNode(dice, member) };
}

function damageArray(dice: Dice, array: readonly unknown[]): unknown {
  const at = dice.below(array.length);
  const what = dice.random();
  if (what < 0.15) return array.filter((_member, index) => index !== at);
  if (what < 0.3) return [...array, ...array];
  return array.map((member, index) => (index === at ? damageNode(dice, member) : member));
}
