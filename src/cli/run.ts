import { CommanderError } from 'commander';
import { ApiError, UnreachableError } from './client-errors.js';
import { CliError, EXIT, type ExitCode } from './exit.js';
import type { Io } from './io.js';
import { styles } from './print/style.js';
import { oneLine } from './print/text.js';
import { createProgram, GROUPS } from './program.js';
import { readSettings } from './settings.js';

/** Runs one command line (without the program's own name) to its exit code. Never throws. */
export async function runCli(argv: readonly string[], io: Io): Promise<ExitCode> {
  try {
    // `help train`, `--url x train`: the group is any of the words, and one loaded too many harms nothing
    const named = GROUPS.map(({ name }) => name).filter((name) => argv.includes(name));
    const program = await createProgram(io, named);
    await program.parseAsync([...argv], { from: 'user' });
    return EXIT.ok;
  } catch (error) {
    return report(error, io);
  }
}

/** Says what went wrong and what to do next, and what that means as an exit code. */
function report(error: unknown, io: Io): ExitCode {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  if (io.signal.aborted) return EXIT.interrupted;
  const { message, hint, code } = explain(error, io);
  const style = styles(io.errColour);
  io.err(`${style.red('sluice:')} ${message}\n${hint ? `${style.dim(hint)}\n` : ''}`);
  return code;
}

function explain(error: unknown, io: Io): { message: string; hint?: string | undefined; code: ExitCode } {
  if (error instanceof CliError) return { message: error.message, hint: error.hint, code: error.exitCode };
  if (error instanceof UnreachableError) {
    return {
      message: error.message,
      hint: 'is Sluice running? start it with `sluice up`, or say where it is with SLUICE_URL or --url',
      code: EXIT.unreachable,
    };
  }
  if (error instanceof ApiError) return explainApi(error, io);
  return { message: error instanceof Error ? error.message : String(error), code: EXIT.failed };
}

function explainApi(error: ApiError, io: Io): { message: string; hint?: string | undefined; code: ExitCode } {
  const lines = error.message.split('\n').map(oneLine).join('\n');
  const message = error.status >= 500 && error.requestId ? `${lines} (request ${error.requestId})` : lines;
  if (error.status === 401) {
    return { message, hint: `what was sent: ${keyFrom(io)}`, code: EXIT.unauthorised };
  }
  if (error.status === 403)
    return { message, hint: 'use an admin key: `sluice keys create NAME --role admin`', code: EXIT.unauthorised };
  if (error.status === 404) return { message, code: EXIT.notFound };
  const hint = error.retryAfterSec === undefined ? undefined : `try again in ${error.retryAfterSec} s`;
  return { message, hint, code: EXIT.failed };
}

function keyFrom(io: Io): string {
  return readSettings({}, io.env).keyFrom;
}
