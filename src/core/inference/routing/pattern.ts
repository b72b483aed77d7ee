/**
 * Regular expressions whose cost is bounded: matched by following all possible states at once (K. Thompson, "Regular
 * expression search algorithm", 1968), so that time is at most instructions times characters. JavaScript's own engine
 * tries one way after the other, which a setting of one user must not be able to turn against the gateway of all.
 */
import { PatternError, type PatternNode, parsePattern, type Ranges } from './pattern-syntax.js';

export { PatternError };

export interface Pattern {
  /** Whether the pattern describes the whole text, of which at most MAX_TEXT characters are looked at. */
  test(text: string): boolean;
}

/** Characters of a text that are looked at. */
export const MAX_TEXT = 1024;
const MAX_INSTRUCTIONS = 1000;

/** A set of characters and where one of them leads, or a fork without a character. */
interface Instruction {
  readonly ranges: Ranges | undefined;
  next: number;
  other: number;
}

const MATCH = 0;

/** Throws a PatternError for what is not a pattern, or too much of one. */
export function compilePattern(source: string): Pattern {
  const program: Instruction[] = [{ ranges: [], next: MATCH, other: MATCH }];
  const start = emit(program, parsePattern(source), MATCH);
  return new Machine(program, start);
}

function add(program: Instruction[], instruction: Instruction): number {
  if (program.length >= MAX_INSTRUCTIONS)
    throw new PatternError(`it takes more than ${MAX_INSTRUCTIONS} states: lower its counts`);
  return program.push(instruction) - 1;
}

/** Writes what matches the node and goes on at `next`; answers where that begins. */
function emit(program: Instruction[], node: PatternNode, next: number): number {
  switch (node.kind) {
    case 'set':
      return add(program, { ranges: node.ranges, next, other: next });
    case 'sequence':
      return node.parts.reduceRight((after, part) => emit(program, part, after), next);
    case 'either':
      return node.options
        .map((option) => emit(program, option, next))
        .reduceRight((other, option) => add(program, { ranges: undefined, next: option, other }));
    case 'repeat': {
      let start = next;
      if (node.max === Number.POSITIVE_INFINITY) {
        start = add(program, { ranges: undefined, next, other: next });
        const loop = program[start];
        if (loop) loop.next = emit(program, node.part, start);
      } else {
        for (let count = node.min; count < node.max; count++) {
          const body = emit(program, node.part, start);
          // of nothing there is no more
          if (body === start) break;
          start = add(program, { ranges: undefined, next: body, other: next });
        }
      }
      for (let count = 0; count < node.min; count++) {
        const body = emit(program, node.part, start);
        if (body === start) break;
        start = body;
      }
      return start;
    }
  }
}

class Machine implements Pattern {
  private readonly marks: Uint32Array;
  private mark = 0;

  constructor(
    private readonly program: readonly Instruction[],
    private readonly start: number,
  ) {
    this.marks = new Uint32Array(program.length);
  }

  test(text: string): boolean {
    const end = Math.min(text.length, MAX_TEXT);
    let now: number[] = [];
    let then: number[] = [];
    this.begin();
    this.reach(this.start, now);
    for (let at = 0; at < end && now.length > 0; at++) {
      const code = text.charCodeAt(at);
      this.begin();
      for (const state of now) {
        const instruction = this.program[state];
        if (instruction?.ranges && holds(instruction.ranges, code)) this.reach(instruction.next, then);
      }
      [now, then] = [then, now];
      then.length = 0;
    }
    return now.includes(MATCH);
  }

  private begin(): void {
    if (this.mark === 0xffffffff) {
      this.marks.fill(0);
      this.mark = 0;
    }
    this.mark++;
  }

  /** Adds the states that are reached from one without a character, each once. */
  private reach(from: number, states: number[]): void {
    const open = [from];
    for (let state = open.pop(); state !== undefined; state = open.pop()) {
      if (this.marks[state] === this.mark) continue;
      this.marks[state] = this.mark;
      const instruction = this.program[state];
      if (!instruction) continue;
      if (instruction.ranges) states.push(state);
      else open.push(instruction.other, instruction.next);
    }
  }
}

function holds(ranges: Ranges, code: number): boolean {
  for (const [low, high] of ranges) if (code >= low && code <= high) return true;
  return false;
}
