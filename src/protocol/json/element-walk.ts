import { AppError } from '../../errors.js';
import type { JsonScanner } from './scanner.js';

const OPEN = 0x5b;
const CLOSE = 0x5d;
const COMMA = 0x2c;
/** Deeper than any tensor. */
const MAX_DEPTH = 64;

/**
 * Walks over the elements of a JSON array, from its opening bracket to behind its closing one. With a shape, the array is
 * flat, or nested exactly as the shape says: a ragged nesting is refused, because its numbers would silently move to
 * other places. Without one the walk finds the shape out.
 */
export class ElementWalk {
  /** Elements per dimension as found, whole once `next` has said false. */
  readonly found: number[] = [];
  private readonly counts: number[] = [];
  private depth = 0;
  /** How deep the elements lie; 0 as long as there was none. */
  private rank = 0;
  private nested = false;
  private valueNext = true;

  /** `name`: of the input, for messages. `shape`: undefined when it is to be found out. */
  constructor(
    private readonly scanner: JsonScanner,
    private readonly name: string,
    private readonly shape?: readonly number[],
  ) {}

  /** Moves to the next element, which the caller must then read; false behind the last one. */
  next(): boolean {
    const { scanner, counts } = this;
    for (;;) {
      const byte = scanner.peek();
      if (!this.valueNext) {
        if (byte === COMMA) {
          scanner.at++;
          this.valueNext = true;
        } else if (byte !== CLOSE) throw scanner.unexpected('"," or "]"');
        else if (this.close()) return false;
        continue;
      }
      if (byte === OPEN) this.open();
      else if (byte === CLOSE && counts[this.depth - 1] === 0) {
        if (this.close()) return false;
      } else {
        this.element();
        return true;
      }
    }
  }

  /** Told that the caller read so many more elements beside the last one, and is behind them. */
  passed(more: number): void {
    const level = this.depth - 1;
    this.counts[level] = (this.counts[level] as number) + more;
  }

  private open(): void {
    if (this.depth > 0) {
      this.nested = true;
      this.passed(1);
    }
    if (this.depth === MAX_DEPTH) throw this.scanner.problem(`an array is nested more than ${MAX_DEPTH} deep`);
    this.scanner.at++;
    this.counts[this.depth++] = 0;
    if (this.rank > 0 && this.depth > this.rank) throw this.ragged(`an array among elements ${this.rank} deep`);
  }

  private element(): void {
    if (this.depth === 0) throw this.scanner.unexpected('an array');
    this.passed(1);
    this.valueNext = false;
    if (this.rank === 0) this.rank = this.depth;
    else if (this.rank !== this.depth) throw this.ragged(`an element ${this.depth} deep beside one ${this.rank} deep`);
  }

  /** Closes the innermost array; true when that was the outermost. */
  private close(): boolean {
    this.scanner.at++;
    this.valueNext = false;
    const level = --this.depth;
    const count = this.counts[level] as number;
    const { shape } = this;
    // a flat array's count is the whole tensor's, which its reader compares
    const wanted = shape && (level > 0 || this.nested) ? (shape[level] ?? -1) : this.found[level];
    if (wanted !== undefined && wanted !== count) throw this.otherwise(level, count, wanted);
    this.found[level] = count;
    return level === 0;
  }

  private otherwise(dimension: number, count: number, wanted: number): AppError {
    if (!this.shape) return this.ragged(`${count} elements along dimension ${dimension} beside ${wanted}`);
    return new AppError(
      'invalid',
      `input "${this.name}": data is nested otherwise than shape [${this.shape.join(',')}] says: ` +
        `${count} elements along dimension ${dimension}, not ${wanted === -1 ? 'any' : wanted}`,
      { details: { input: this.name, shape: this.shape, dimension, actual: count } },
    );
  }

  private ragged(problem: string): AppError {
    return new AppError('invalid', `input "${this.name}": data is ragged: ${problem}`, {
      details: { input: this.name },
    });
  }
}
