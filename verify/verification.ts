/** What a verification is told and what it found out. */
export interface VerificationResult {
  /** True only when everything that ran agreed. */
  readonly ok: boolean;
  /** What was counted or measured, in the order in which it should be printed; units in the names. */
  readonly figures: Record<string, string | number>;
  /** Each part that did not run, with the reason; never empty by omission. */
  readonly notRun: string[];
}

/** One comparison of this program with somebody else's: the reference program's own output, a recorded trace, a paper. */
export interface Verification {
  /** As given on the command line. */
  readonly name: string;
  /** One line: what is compared with what. */
  readonly summary: string;
  /** `args` are those of the command line after the name. */
  run(options: { args: string[] }): Promise<VerificationResult>;
}
