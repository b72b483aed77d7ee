/** Work that outlasts an outage of the database or of a model server, for as long as an outage may reasonably take. */
import { AppError, WIRE } from '../errors.js';

/** Time for what is away to come back before the work is given up. */
const PATIENCE_MS = 60_000;

/**
 * Does the work again, with growing waits, while it fails for reasons that pass; so it must be harmless to repeat. What is
 * the fault of the data rejects at once, and everything does once `signal` is aborted.
 */
export async function patiently<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  const until = Date.now() + PATIENCE_MS;
  for (let waitMs = 100; ; waitMs = Math.min(2000, waitMs * 2)) {
    try {
      return await work();
    } catch (error) {
      const passes = !(error instanceof AppError) || WIRE[error.code].retry;
      if (!passes || signal?.aborted || Date.now() + waitMs > until) throw error;
      await new Promise((resolve) => setTimeout(resolve, waitMs));
    }
  }
}
