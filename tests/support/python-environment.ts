/** Virtual environments with packages of the Python index, made once and kept beside node_modules. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadConfig } from '../../src/config.js';
import { AppError } from '../../src/errors.js';
import { createEnvironments } from '../../src/platform/python/environments.js';

/** The cache folder of tests; a gateway that is given it finds the environments of `pythonWith`. */
export const TEST_CACHE = join(
  fileURLToPath(new URL('../../', import.meta.url)),
  'node_modules',
  '.cache',
  'sluice-tests',
);

/** An interpreter with these packages, or why there cannot be one on this machine now: no index, no Python. */
export async function pythonWith(requirements: readonly string[]): Promise<{ python: string } | { missing: string }> {
  const { baseEnv } = loadConfig().training;
  try {
    const environments = createEnvironments({ cacheFolder: join(TEST_CACHE, 'environments'), baseEnv });
    return await environments.ensure(requirements, async () => {}, AbortSignal.timeout(240_000));
  } catch (error) {
    if (!(error instanceof AppError) || !['upstream_failed', 'unsupported', 'cancelled'].includes(error.code))
      throw error;
    return {
      missing: `the Python packages ${requirements.join(', ')} cannot be had here: ${error.message.split('\n', 1)[0]}`,
    };
  }
}
