/** Writes JSON as bytes: what is printed is mostly numbers, and making text of them first would cost twice. */

const ZERO = 0x30;
const MINUS = 0x2d;
const POINT = 0x2e;
const LOWER_E = 0x65;

/** Powers of ten as doubles; those up to 10^22 are exact. */
const POWERS = Float64Array.from({ length: 309 }, (_, exponent) => Number(`1e${exponent}`));
/** Room that the longest number takes. */
const NUMBER_BYTES = 32;
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
    if (value === (value | 0) && (value !== 0 || 1 / value > 0)) this.integer(value);
    else this.ascii(Object.is(value, -0) ? '-0' : `${value}`);
  }

  /** An integer of at most 32 bits. */
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
    let exponent = Math.floor(Math.log10(size));
    // the logarithm may be off by a little at a power of ten
    if (size >= power(exponent + 1)) exponent++;
    else if (size < power(exponent)) exponent--;
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

  /** whole × 10^-shift. */
  private decimal(whole: number, shift: number): void {
    let digits = whole;
    let places = shift;
    while (digits % 10 === 0) {
      digits /= 10;
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

  private digits(value: number, count: number): void {
    const { bytes } = this;
    let rest = value;
    for (let at = this.at + count - 1; at >= this.at; at--) {
      const next = Math.floor(rest / 10);
      bytes[at] = ZERO + rest - next * 10;
      rest = next;
    }
    this.at += count;
  }

  /** Digits with a point before the last `places` of them. */
  private pointed(value: number, count: number, places: number): void {
    const { bytes } = this;
    let rest = value;
    let at = this.at + count;
    for (let i = 0; i < count; i++) {
      if (i === places) bytes[at--] = POINT;
      const next = Math.floor(rest / 10);
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

function power(exponent: number): number {
  return exponent >= 0 ? (POWERS[exponent] as number) : 1 / (POWERS[-exponent] as number);
}

/** value × 10^by, as exactly as one step allows. */
function scale(value: number, by: number): number {
  return by >= 0 ? value * (POWERS[by] as number) : value / (POWERS[-by] as number);
}
