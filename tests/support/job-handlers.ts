import type { JobHandlers } from '../../src/core/jobs.js';
import { JOB_NAMES } from '../../src/platform/queue/options.js';

/** Handlers of every job, of which all but these do nothing. */
export function jobHandlers(some: Partial<JobHandlers>): JobHandlers {
  const idle = Object.fromEntries(JOB_NAMES.map((name) => [name, async () => {}]));
  return { ...idle, ...some } as JobHandlers;
}

/** Workers for this one job alone. */
export function onlyFor(name: keyof JobHandlers, concurrency: number): Record<string, number> {
  return { ...Object.fromEntries(JOB_NAMES.map((other) => [other, 0])), [name]: concurrency };
}
