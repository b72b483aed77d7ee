import { mkdtemp, rm } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { startGatewayProcess } from '../../tests/support/gateway-process.js';
import type { Verification } from '../verification.js';
import type { Part } from './part.js';
import { mlflow } from './parts/mlflow.js';
import { tensorflow } from './parts/tensorflow.js';

const PARTS: Readonly<Record<string, Part>> = { tensorflow, mlflow };

/** Kept between runs, beside the platform's own: environments are hundreds of megabytes. */
const CACHE = join(homedir(), '.cache', 'sluice-verify');

/** Answers of real gateways compared with those of the libraries themselves. */
export const engines: Verification = {
  name: 'engines',
  summary: 'models of other libraries behind a real gateway, against the answers of those libraries',
  async run({ args }) {
    const names = args.length > 0 ? args : Object.keys(PARTS);
    const figures: Record<string, string | number> = {};
    const notRun: string[] = [];
    let ok = true;
    for (const name of names) {
      const part = PARTS[name];
      if (!part) throw new Error(`there is no part "${name}"; there are: ${Object.keys(PARTS).join(', ')}`);
      const folder = await mkdtemp(join(tmpdir(), 'sluice-verify-'));
      const gateway = await startGatewayProcess({ env: { SLUICE_CACHE_DIR: CACHE } });
      try {
        const result = await part({ gateway, folder, cacheDir: CACHE });
        ok &&= result.ok;
        Object.assign(figures, result.figures);
        notRun.push(...result.notRun);
      } finally {
        await gateway.stop();
        await rm(folder, { recursive: true, force: true });
      }
    }
    return { ok, figures, notRun };
  },
};
