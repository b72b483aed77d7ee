import type { Digest } from '../../core/blobs.js';
import type { Runner } from '../../core/training/runner.js';
import type { LocalRunner } from './local-runner.js';

export interface Folders {
  /** A folder on this machine that holds a job's code. */
  unpackCode(digest: Digest): Promise<string>;
  /** A folder that is kept between the attempts of a job. */
  checkpointPath(jobId: string): string;
}

/** The local runner for attempts as the platform hands them out: brings their folders along. */
export function withFolders(runner: LocalRunner, folders: Folders): Runner {
  return {
    run: async (attempt, sink, signal) => {
      const codePath = await folders.unpackCode(attempt.code);
      const checkpointPath = folders.checkpointPath(attempt.jobId);
      return runner.run({ ...attempt, codePath, checkpointPath }, sink, signal);
    },
    clean: runner.clean,
    leftovers: runner.leftovers,
    sweep: runner.sweep,
  };
}
