/** The syntax of patterns: that part of RE2's that needs no looking around and no looking back. */

/** Characters from the first to the second, both included. */
export type Ranges = readonly (readonly [number, number])[];

export type PatternNode =
  | { readonly kind: 'set'; readonly ranges: Ranges }
  | { readonly kind: 'sequence'; readonly parts: readonly PatternNode[] }
  | { readonly kind: 'either'; readonly options: readonly PatternNode[] }
  /** `max` may be infinite. */
  | { readonly kind: 'repeat'; readonly part: PatternNode; readonly min: number; readonly max: number };

/** What is wrong with a pattern, in words. */
export class PatternError extends Error {}

export const MAX_PATTERN = 256;
const MAX_COUNT = 1000;
const LAST = 0xffff;

const DIGIT: Ranges = [[48, 57]];
const WORD: Ranges = [
  [48, 57],
  [65, 90],
  [95, 95],
  [97, 122],
];
const SPACE: Ranges = [
  [9, 13],
  [32, 32],
  [0xa0, 0xa0],
];
const CLASSES: Readonly<Record<string, Ranges>> = {
  d: DIGIT,
  w: WORD,
  s: SPACE,
  D: inverse(DIGIT),
  W: inverse(WORD),
  S: inverse(SPACE),
};
const CONTROLS: Readonly<Record<string, number>> = { t: 9, n: 10, r: 13, f: 12, v: 11 };

export function parsePattern(source: string): PatternNode {
  if (source.length > MAX_PATTERN)
    throw new PatternError(`it has ${source.length} characters, expected at most ${MAX_PATTERN}`);
  const ignoresCase = source.startsWith('(?i)');
  let text = source.slice(ignoresCase ? 4 : 0);
  // it is the whole text that is matched, whether these are written or not
  if (text.startsWith('^')) text = text.slice(1);
  if (/(?<!\\)(\\\\)*\$$/.test(text)) text = text.slice(0, -1);
  const parser = new Parser(text, ignoresCase);
  return parser.whole();
}

class Parser {
  private at = 0;

  constructor(
    private readonly text: string,
    private readonly ignoresCase: boolean,
  ) {}

  whole(): PatternNode {
    const node = this.either();
    if (this.at < this.text.length) throw new PatternError('a ")" closes nothing');
    return node;
  }

  private either(): PatternNode {
    const options = [this.sequence()];
    while (this.takes('|')) options.push(this.sequence());
    const [only] = options;
    return options.length === 1 && only ? only : { kind: 'either', options };
  }

  private sequence(): PatternNode {
    const parts: PatternNode[] = [];
    while (this.at < this.text.length && !'|)'.includes(this.peek())) parts.push(this.repeated(this.atom()));
    return { kind: 'sequence', parts };
  }

  private repeated(part: PatternNode): PatternNode {
    const range = this.quantifier();
    if (!range) return part;
    // a lazy one matches the same texts
    this.takes('?');
    if ('*+?'.includes(this.peek() || ' ') || this.counts())
      throw new PatternError(`"${this.text.slice(0, this.at + 1)}" repeats a repetition: put it into ( )`);
    return { kind: 'repeat', part, ...range };
  }

  private quantifier(): { readonly min: number; readonly max: number } | undefined {
    if (this.takes('*')) return { min: 0, max: Number.POSITIVE_INFINITY };
    if (this.takes('+')) return { min: 1, max: Number.POSITIVE_INFINITY };
    if (this.takes('?')) return { min: 0, max: 1 };
    const counts = this.counts();
    if (!counts) return undefined;
    this.at += counts[0].length;
    const min = Number(counts[1]);
    const max = counts[2] === undefined ? min : counts[3] === '' ? Number.POSITIVE_INFINITY : Number(counts[3]);
    if (min > max) throw new PatternError(`${counts[0]}: the first number must be at most the second`);
    if (min > MAX_COUNT || (Number.isFinite(max) && max > MAX_COUNT))
      throw new PatternError(`${counts[0]}: counts must be at most ${MAX_COUNT}`);
    return { min, max };
  }

  private counts(): RegExpExecArray | null {
    return /^\{(\d{1,6})(,(\d{0,6}))?\}/.exec(this.text.slice(this.at));
  }

  private atom(): PatternNode {
    const start = this.at;
    const character = this.next();
    switch (character) {
      case '(':
        return this.group();
      case '[':
        return this.set(this.bracket(start));
      case '.':
        return { kind: 'set', ranges: inverse([[10, 10]]) };
      case '\\': {
        const escaped = this.escape();
        return this.set(typeof escaped === 'number' ? [[escaped, escaped]] : escaped);
      }
      case '*':
      case '+':
      case '?':
        throw new PatternError(`"${character}" repeats nothing`);
      case '^':
      case '$':
        throw new PatternError(`"${character}" may stand only at the end that it names: the whole value is matched`);
      default: {
        const code = character.charCodeAt(0);
        return this.set([[code, code]]);
      }
    }
  }

  private group(): PatternNode {
    if (this.takes('?') && !this.takes(':'))
      throw new PatternError(
        `"(?${this.peek()}" is not supported: of groups there are ( ) and (?: ), and (?i) at the start`,
      );
    const node = this.either();
    if (!this.takes(')')) throw new PatternError('a "(" is not closed');
    return node;
  }

  private bracket(start: number): Ranges {
    const negated = this.takes('^');
    const ranges: (readonly [number, number])[] = [];
    for (let first = true; first || this.peek() !== ']'; first = false) {
      if (this.at >= this.text.length) throw new PatternError(`"${this.text.slice(start)}" has no "]"`);
      const low = this.member();
      if (typeof low !== 'number') {
        ranges.push(...low);
        continue;
      }
      const isRange = this.peek() === '-' && !['', ']'].includes(this.text[this.at + 1] ?? '');
      if (isRange) this.at++;
      const high = isRange ? this.member() : low;
      if (typeof high !== 'number' || high < low)
        throw new PatternError(`"${this.text.slice(start, this.at)}" has a range that does not run upwards`);
      ranges.push([low, high]);
    }
    this.at++;
    return negated ? inverse(this.folded(ranges)) : ranges;
  }

  private member(): number | Ranges {
    const character = this.next();
    return character === '\\' ? this.escape() : character.charCodeAt(0);
  }

  private escape(): number | Ranges {
    const character = this.next();
    if (character === '') throw new PatternError('it ends with a backslash');
    const known = CLASSES[character] ?? CONTROLS[character];
    if (known !== undefined) return known;
    // what is a letter or digit elsewhere means something that is not here: \b, \1, \k, \p, \A
    if (/[A-Za-z0-9]/.test(character)) throw new PatternError(`"\\${character}" is not supported`);
    return character.charCodeAt(0);
  }

  private set(ranges: Ranges): PatternNode {
    return { kind: 'set', ranges: this.folded(ranges) };
  }

  private folded(ranges: Ranges): Ranges {
    if (!this.ignoresCase) return ranges;
    return ranges.flatMap(([low, high]) => [
      [low, high] as const,
      ...shifted(low, high, 65, 90, 32),
      ...shifted(low, high, 97, 122, -32),
    ]);
  }

  private peek(): string {
    return this.text[this.at] ?? '';
  }

  private next(): string {
    return this.text[this.at++] ?? '';
  }

  private takes(character: string): boolean {
    if (this.peek() !== character) return false;
    this.at++;
    return true;
  }
}

/** The part of a range that lies between two letters, in the other case. */
function shifted(low: number, high: number, first: number, last: number, by: number): [number, number][] {
  const [from, to] = [Math.max(low, first), Math.min(high, last)];
  return from <= to ? [[from + by, to + by]] : [];
}

function inverse(ranges: Ranges): Ranges {
  const left: [number, number][] = [];
  let next = 0;
  for (const [low, high] of [...ranges].sort((a, b) => a[0] - b[0])) {
    if (low > next) left.push([next, low - 1]);
    next = Math.max(next, high + 1);
  }
  if (next <= LAST) left.push([next, LAST]);
  return left;
}
