import type { VerificationResult } from '../verification.js';

/** What a part works with; all of it is gone when the verification ends. */
export interface PartContext {
  /** An empty folder of its own. */
  readonly folder: string;
  /** How many random inputs each model is asked. */
  readonly cases: number;
}

/** The models of one framework, compared with that framework's own answers. */
export interface Part {
  /** As given on the command line, to run it alone. */
  readonly name: string;
  run(context: PartContext): Promise<VerificationResult>;
}
