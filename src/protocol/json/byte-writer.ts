/** Writes JSON as bytes: what is printed is mostly numbers, and making text of them first would cost twice. */

const ZERO = 0x30;
const MINUS = 0x2d;
const POINT = 0x2e;
const LOWER_E = 0x65;

/** Powers of ten as doubles; those up to 10^22 are exact. */
const POWERS = Float64Array.from({ length: 309 }, (_, exponent) => Number(`1e${exponent}`));
/** Room that the longest number takes. */
const NUMBER_BYTES = 32;
/** It has no positive counterpart in 32 bits. */
const LEAST_32 = -(2 ** 31);
const FIRST_BYTES = 16 * 1024;
/** Memory beyond this is not kept for the next text. */
const KEPT_BYTES = 1024 * 1024;

export class ByteWriter {
  private bytes = Buffer.allocUnsafeSlow(FIRST_BYTES);
  private at = 0;

  /** Text of ASCII characters alone. */
  ascii(text: string): void {
    this.room(text.length);
    const { bytes } = this;
    let at = this.at;
    for (let i = 0; i < text.length; i++) bytes[at++] = text.charCodeAt(i);
    this.at = at;
  }

  /** Text of any characters, as it is. */
  text(text: string): void {
    this.room(text.length * 3);
    this.at += this.bytes.write(text, this.at, 'utf8');
  }

  byte(value: number): void {
    this.room(1);
    this.bytes[this.at++] = value;
  }

  /** A finite number as JavaScript prints it; -0 keeps its sign, which JSON knows. */
  double(value: number): void {
    if (value === (value | 0) && (value !== 0 || 1 / value > 0) && value !== LEAST_32) this.integer(value);
    else this.ascii(Object.is(value, -0) ? '-0' : `${value}`);
  }

  /** An integer of at most 32 bits, but for the least one. */
  integer(value: number): void {
    this.room(NUMBER_BYTES);
    let rest = value;
    if (rest < 0) {
      this.bytes[this.at++] = MINUS;
      rest = -rest;
    }
    this.digits(rest, digitsOf(rest));
  }

  /**
   * A finite single-precision number, with as few digits as are cheaply found that read back as the same: 0.1 rather than
   * 0.10000000149011612. Seven to nine always do; the first count that does is taken, without the zeros at its end.
   */
  single(value: number): void {
    const size = value < 0 ? -value : value;
    if (size < 1e-30 || size > 1e30 || (size < 1e9 && value === (value | 0))) {
      this.double(value);
      return;
    }
    const exponent = exponentOf(size);
    for (let count = 7; count <= 9; count++) {
      const shift = count - 1 - exponent;
      const whole = Math.round(scale(size, shift));
      if (Math.fround(scale(whole, -shift)) !== size) continue;
      this.room(NUMBER_BYTES);
      if (value < 0) this.bytes[this.at++] = MINUS;
      this.decimal(whole, shift);
      return;
    }
    this.double(value);
  }

  /** All that was written, as bytes of their own; the writer begins anew. */
  finish(): Buffer {
    const out = Buffer.allocUnsafe(this.at);
    this.bytes.copy(out, 0, 0, this.at);
    this.at = 0;
    if (this.bytes.length > KEPT_BYTES) this.bytes = Buffer.allocUnsafeSlow(FIRST_BYTES);
    return out;
  }

  /** Forgets what was written. */
  reset(): void {
    this.at = 0;
  }

  /** whole × 10^-shift; whole has nine digits at most. */
  private decimal(whole: number, shift: number): void {
    let digits = whole | 0;
    let places = shift;
    for (let next = (digits / 10) | 0; next * 10 === digits; next = (digits / 10) | 0) {
      digits = next;
      places--;
    }
    const count = digitsOf(digits);
    // the power of ten of the first digit
    const leading = count - 1 - places;
    if (leading >= -6 && leading <= 20) {
      if (places <= 0) {
        this.digits(digits, count);
        for (let i = 0; i < -places; i++) this.bytes[this.at++] = ZERO;
      } else if (leading >= 0) this.pointed(digits, count, places);
      else {
        this.bytes[this.at++] = ZERO;
        this.bytes[this.at++] = POINT;
        for (let i = -1; i > leading; i--) this.bytes[this.at++] = ZERO;
        this.digits(digits, count);
      }
      return;
    }
    if (count === 1) this.digits(digits, 1);
    else this.pointed(digits, count, count - 1);
    this.bytes[this.at++] = LOWER_E;
    if (leading < 0) this.bytes[this.at++] = MINUS;
    const size = Math.abs(leading);
    this.digits(size, digitsOf(size));
  }

  /** A whole number of 31 bits at most: the engine divides those by ten without a division. */
  private digits(value: number, count: number): void {
    const { bytes } = this;
    let rest = value | 0;
    for (let at = this.at + count - 1; at >= this.at; at--) {
      const next = (rest / 10) | 0;
      bytes[at] = ZERO + rest - next * 10;
      rest = next;
    }
    this.at += count;
  }

  /** Digits with a point before the last `places` of them. */
  private pointed(value: number, count: number, places: number): void {
    const { bytes } = this;
    let rest = value | 0;
    let at = this.at + count;
    for (let i = 0; i < count; i++) {
      if (i === places) bytes[at--] = POINT;
      const next = (rest / 10) | 0;
      bytes[at--] = ZERO + rest - next * 10;
      rest = next;
    }
    this.at += count + 1;
  }

  private room(more: number): void {
    if (this.at + more <= this.bytes.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(this.bytes.length * 2, this.at + more));
    this.bytes.copy(grown, 0, 0, this.at);
    this.bytes = grown;
  }
}

function digitsOf(value: number): number {
  let count = 1;
  while (count < 16 && value >= (POWERS[count] as number)) count++;
  return count;
}

const single = new Float32Array(1);
const bits = new Uint32Array(single.buffer);
/** Decimal exponents of powers of two: of 2^(index - 127). */
const DECIMAL = Int32Array.from({ length: 256 }, (_, exponent) => Math.floor((exponent - 127) * Math.log10(2)));
/** Negative powers of ten: of 10^-index. */
const FRACTIONS = Float64Array.from({ length: 309 }, (_, exponent) => Number(`1e-${exponent}`));

/** The power of ten of a positive single-precision number's first digit. */
function exponentOf(size: number): number {
  single[0] = size;
  const least = DECIMAL[(bits[0] as number) >>> 23] as number;
  const next = least + 1;
  // within one power of two there is one power of ten at most
  return size >= ((next >= 0 ? POWERS[next] : FRACTIONS[-next]) as number) ? next : least;
}

/** value × 10^by, as exactly as one step allows. */
function scale(value: number, by: number): number {
  return by >= 0 ? value * (POWERS[by] as number) : value / (POWERS[-by] as number);
}
