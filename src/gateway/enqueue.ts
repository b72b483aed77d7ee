import type { JobMap, JobName } from '../core/jobs.js';
import type { Services } from './services.js';

/**
 * Tells the workers of what was written. The row is the truth: when the queue is away the call still succeeded, and the
 * reconcile pass finds the row.
 */
export async function enqueueOrLog<N extends JobName>(
  { enqueue, log }: Services,
  name: N,
  data: JobMap[N],
  id: string,
): Promise<void> {
  try {
    await enqueue(name, data, { id });
  } catch (error) {
    log.warn('the queue did not take a job; the reconcile pass will', { job: name, id, error });
  }
}
