import { AppError } from '../errors.js';

/** What Postgres' own classes of errors mean to a caller, where it is not our fault; undefined for anything else. */
export function databaseError(error: unknown): AppError | undefined {
  if (!(error instanceof Error)) return undefined;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  if (/^22...$/.test(code))
    return new AppError('invalid', `a value cannot be stored: ${error.message}`, { cause: error });
  if (code === '40001' || code === '40P01') {
    return new AppError('conflict', 'somebody else changed the same thing; try again', { cause: error });
  }
  const away =
    /^(08...|57P0.|53300|ECONNREFUSED|ECONNRESET)$/.test(code) ||
    /connection (terminated|timeout)|timeout exceeded when trying to connect/i.test(error.message);
  if (away) return new AppError('not_ready', 'the database is away', { retryAfterSec: 1, cause: error });
  return undefined;
}
