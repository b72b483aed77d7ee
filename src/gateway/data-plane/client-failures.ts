import type { ErrorCode } from '../../errors.js';

/** Failures that say nothing of the revision that was asked. */
export const CLIENTS_OWN: ReadonlySet<ErrorCode> = new Set(['cancelled', 'too_large', 'invalid']);
