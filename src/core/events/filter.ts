/** Which events somebody wants: kinds by patterns such as `rollout.*`, or one resource's. */
import { z } from 'zod';

const PATTERN = /^[a-z_*]+(\.[a-z_*]+)*$/;

/** One pattern: `*` stands for any text. */
export const kindPattern = z
  .string()
  .min(1)
  .max(100)
  .regex(PATTERN, 'must be a kind of event such as rollout.promoted, or a pattern such as rollout.*');

export interface EventFilter {
  readonly kinds?: readonly string[] | undefined;
  /** Exactly this resource, such as `endpoint/digits`. */
  readonly subject?: string | undefined;
}

/** The pattern in the words of SQL's `like`. */
export function likePattern(glob: string): string {
  return glob.replace(/[\\%_]/g, '\\$&').replaceAll('*', '%');
}
