/** What a model server is told of a revision's settings, wherever it runs. */
import type { RevisionRoute } from './route.js';

export function loadOptions({
  scaling,
  runtime,
}: Pick<RevisionRoute, 'scaling' | 'runtime'>): Readonly<Record<string, unknown>> {
  const { options, ...settings } = runtime;
  return { ...options, ...settings, intraOpNumThreads: scaling.threads };
}
