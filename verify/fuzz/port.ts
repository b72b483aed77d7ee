/** What the parts of the fuzzer have in common. */
import type { Dice } from './dice.js';

/** One input, made and not yet sent. */
export interface Attempt {
  /** What is sent, as far as one can tell in one line of words. */
  readonly about: string;
  /** What is sent, for a failure's report. */
  readonly bytes: Buffer;
  /** Sends it; says what is wrong with the answer, or undefined. */
  run(): Promise<string | undefined>;
}

/** A door of the platform and the inputs that it is given. */
export interface Port {
  readonly name: string;
  /** Its part of all inputs. */
  readonly share: number;
  /** Inputs under way at once. */
  readonly atOnce: number;
  make(dice: Dice): Attempt;
  /** Lets go of its connections. */
  close?(): Promise<void>;
}
