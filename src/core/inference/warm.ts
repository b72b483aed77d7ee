import { AppError } from '../../errors.js';
import type { Fleet } from '../fleet.js';
import type { Lease } from './pool.js';
import type { RevisionRoute } from './route.js';

/** Resolves once a replica of the revision takes requests, which starts one where there is none. */
export function warm(fleet: Fleet, revision: RevisionRoute, timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const granted = (lease: Lease) => {
      clearTimeout(timer);
      lease.release();
      resolve();
    };
    const refused = (error: AppError) => {
      clearTimeout(timer);
      reject(error);
    };
    const late = () => {
      if (got && 'cancel' in got) got.cancel();
      reject(new AppError('timeout', `revision ${revision.number} is not ready within ${timeoutMs} ms`));
    };
    const timer = setTimeout(late, timeoutMs);
    let got: ReturnType<Fleet['lease']> | undefined;
    try {
      got = fleet.lease(revision, { granted, refused });
      if ('replica' in got) granted(got);
    } catch (error) {
      clearTimeout(timer);
      reject(error);
    }
  });
}
