/** What the program's exit codes mean, and the error that carries one. */
export const EXIT = {
  ok: 0,
  failed: 1,
  usage: 2,
  unreachable: 3,
  unauthorised: 4,
  notFound: 5,
  notSucceeded: 6,
  interrupted: 130,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** One line per exit code, for `--help` and the documentation. */
export const EXIT_MEANINGS: readonly (readonly [ExitCode, string])[] = [
  [EXIT.ok, 'done'],
  [EXIT.failed, 'the request was refused, or it failed'],
  [EXIT.usage, 'the command line, or a file that it names, cannot be used'],
  [EXIT.unreachable, 'the gateway cannot be reached'],
  [EXIT.unauthorised, 'not authorised: no key, a wrong one, or one without the right'],
  [EXIT.notFound, 'what was named does not exist'],
  [EXIT.notSucceeded, 'the job, batch, promotion or rollout that was waited for did not succeed'],
  [EXIT.interrupted, 'interrupted'],
];

/** An error that ends the program: what happened, what to do next, and the exit code. */
export class CliError extends Error {
  override readonly name = 'CliError';

  constructor(
    message: string,
    readonly exitCode: ExitCode = EXIT.failed,
    readonly hint?: string,
  ) {
    super(message);
  }
}

/** A mistake on the command line or in a file that it names. */
export function usageError(message: string, hint?: string): CliError {
  return new CliError(message, EXIT.usage, hint);
}
