/** 16-bit floating-point numbers as their bits, IEEE 754 half precision and bfloat16. Node 20 has no Float16Array. */
const scratch = new Float32Array(1);
const scratchBits = new Uint32Array(scratch.buffer);

/** The number that 16 bits of IEEE 754 half precision stand for; every half is exact as a double. */
export function fromHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** The nearest half to a number, ties to even; beyond 65504 (from 65520 on) it is an infinity. */
export function toHalf(value: number): number {
  if (Number.isNaN(value)) return 0x7e00;
  scratch[0] = value;
  const sign = ((scratchBits[0] as number) >>> 16) & 0x8000;
  const size = Math.abs(value);
  if (size >= 65520) return sign | 0x7c00;
  // in units of the last place at this size, so that one rounding is all that happens
  const exponent = size < 2 ** -14 ? -14 : Math.floor(Math.log2(size));
  const step = 2 ** (exponent - 10);
  const units = roundToEven(size / step);
  // units is 0..2048; a carry into the next exponent comes out right by plain addition
  return size < 2 ** -14 ? sign | units : sign | (((exponent + 15) << 10) + (units - 1024));
}

function roundToEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}

/** The number that 16 bits of bfloat16 stand for: the upper half of a single-precision number. */
export function fromBfloat(bits: number): number {
  scratchBits[0] = bits << 16;
  return scratch[0] as number;
}

/** The nearest bfloat16 to a number, ties to even; beyond the largest finite one it is an infinity. */
export function toBfloat(value: number): number {
  if (Number.isNaN(value)) return 0x7fc0;
  scratch[0] = value;
  const single = scratchBits[0] as number;
  let bits = single >>> 16;
  const rest = single & 0xffff;
  // the number was rounded once to get here: on what looks like a tie, the side it came from decides
  const beyond = rest === 0x8000 ? Math.abs(value) - Math.abs(scratch[0] as number) : rest - 0x8000;
  if (beyond > 0 || (beyond === 0 && (bits & 1) === 1)) bits++;
  return bits;
}
