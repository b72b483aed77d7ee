import type { RevisionRoute } from './route.js';

/** What a model server is told of a revision's settings, wherever it runs. */
export function loadOptions({ scaling, runtime }: RevisionRoute): Readonly<Record<string, unknown>> {
  const { options, ...settings } = runtime;
  return { ...options, ...settings, intraOpNumThreads: scaling.threads };
}
