import { DIGEST_PATTERN, type Digest } from '../../core/blobs.js';
import { AppError } from '../../errors.js';

/** The 64 hex digits of a digest; `invalid` for anything else, so that no path is ever made of what a caller sent. */
export function hexOf(digest: Digest): string {
  if (!DIGEST_PATTERN.test(digest)) {
    throw new AppError('invalid', `not a blob digest: ${JSON.stringify(digest.slice(0, 100))}`, {
      details: { pattern: DIGEST_PATTERN.source },
    });
  }
  return digest.slice('sha256:'.length);
}

/** The error for a blob that is not there. */
export function noSuchBlob(digest: Digest): AppError {
  return new AppError('not_found', `there is no blob ${digest}`, { details: { digest } });
}
