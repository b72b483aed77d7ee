/** magika's model behind a real gateway: the labels of this repository's files against magika's own. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { messageOf } from '../../src/errors.js';
import { startGatewayProcess } from '../../tests/support/gateway-process.js';
import { pythonWith } from '../../tests/support/python-environment.js';
import type { Verification } from '../verification.js';

const MAGIKA_VERSION = '1.0.3';
/** Fewer would not say much. */
const LEAST_FILES = 200;
const SHOWN = 10;
const ENDPOINT = 'magika';
const RUN_MS = 10 * 60_000;

const exec = promisify(execFile);
const root = fileURLToPath(new URL('../', import.meta.url));
const program = fileURLToPath(new URL('../verify/magika/programs/labels.py', import.meta.url));

interface Labels {
  readonly files: number;
  /** How many different ones there are. */
  readonly labels: number;
  readonly requests: number;
  readonly wrong: readonly string[];
  /** Difference of two scores. */
  readonly largest: number;
}

export const magika: Verification = {
  name: 'magika',
  summary: "file types of this repository's files, by magika with its ONNX model behind a real gateway and by itself",
  async run() {
    const { version } = createRequire(import.meta.url)('onnxruntime-node/package.json') as { readonly version: string };
    const found = await pythonWith([`magika==${MAGIKA_VERSION}`, `onnxruntime==${version}`]);
    if ('missing' in found) return { ok: true, figures: {}, notRun: [found.missing] };
    const files = await trackedFiles().catch(messageOf);
    if (typeof files === 'string') return { ok: true, figures: {}, notRun: [`this is no git checkout: ${files}`] };
    const gateway = await startGatewayProcess();
    try {
      const { stdout: model } = await exec(found.python, [program, '--model']);
      await gateway.serve(ENDPOINT, ENDPOINT, await gateway.upload(ENDPOINT, await readFile(model.trim())));
      const { stdout } = await exec(found.python, [program, gateway.url, gateway.key, ENDPOINT, ...files], {
        cwd: root,
        timeout: RUN_MS,
        maxBuffer: 2 ** 26,
      });
      const labels = JSON.parse(stdout) as Labels;
      for (const problem of labels.wrong.slice(0, SHOWN)) console.error(problem);
      return {
        ok: labels.wrong.length === 0 && labels.files >= LEAST_FILES,
        figures: {
          'magika, ONNX Runtime': `${MAGIKA_VERSION}, ${version}`,
          files: labels.files,
          'different labels': labels.labels,
          'requests, as JSON and as bytes': labels.requests,
          'labels that differ': labels.wrong.length,
          'largest difference of a score': labels.largest.toExponential(1),
        },
        notRun: [],
      };
    } finally {
      await gateway.stop();
    }
  },
};

/** Paths below the checkout's folder. */
async function trackedFiles(): Promise<string[]> {
  const { stdout } = await exec('git', ['ls-files', '-z'], { cwd: root, maxBuffer: 2 ** 24 });
  return stdout.split('\0').filter((path) => path !== '');
}
