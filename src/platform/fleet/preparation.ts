/** What must be on this machine before a model can be loaded, besides its files. */
import { readdir } from 'node:fs/promises';
import type { Log } from '../../log.js';
import type { Environments } from '../python/environments.js';
import { readModelRequirements } from '../python/model-requirements.js';

/** The engine's options that follow from the model at this path; an AppError says why it cannot be run here. */
export type Prepare = (framework: string, path: string) => Promise<Readonly<Record<string, unknown>>>;

export interface Preparation {
  readonly prepare: Prepare;
  /** Ends what is under way: nobody waits for it any more. */
  close(): void;
}

/** Makes the environments of Python models; other frameworks need nothing. What was made once is found again. */
export function createPreparation(environments: Environments, log: Log): Preparation {
  const closed = new AbortController();
  return {
    async prepare(framework, path) {
      if (framework !== 'python') return {};
      const requirements = await readModelRequirements(path, await readdir(path));
      const onLine = async (line: string) => log.debug('python environment', { line });
      const { python } = await environments.ensure(requirements, onLine, closed.signal);
      return { python };
    },
    close: () => closed.abort(),
  };
}
