/** SavedModels, exported by TensorFlow and Keras, against TensorFlow's own answers to the same inputs. */
import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { childEnv, loadConfig } from '../../../src/config.js';
import { AppError, messageOf } from '../../../src/errors.js';
import { createEnvironments } from '../../../src/platform/python/environments.js';
import { type GatewayProcess, startGatewayProcess } from '../../../tests/support/gateway-process.js';
import { uploadFolder } from '../../../tests/support/upload-folder.js';
import { ask } from '../answers.js';
import { readCases } from '../cases.js';
import { compare, newTally, type Tally } from '../compare.js';
import type { Part } from '../part.js';

const exec = promisify(execFile);

const VERSION = '2.21.0';
const MODELS = ['keras', 'types', 'texts', 'table'] as const;
const BUILD_MS = 900_000;
const CASES = 100;
const SHOWN = 5;

/**
 * Every number within 1e-6, texts, types and shapes exactly, asked one after the other so that nothing is joined into
 * batches: what is compared is the model, not the order of its sums. The gateway is one of its own, with an empty cache,
 * into which the engine is installed by the command that users have.
 */
export const tensorflow: Part = async ({ folder, cacheDir }) => {
  const python = await environment(cacheDir);
  if ('missing' in python) return { ok: true, figures: {}, notRun: [`tensorflow: ${python.missing}`] };
  const figures: Record<string, string | number> = {};
  const notRun: string[] = [];
  const servingApi = await installServingApi(python.python, folder).catch((error) => {
    notRun.push(`tensorflow: warm-up: no tensorflow-serving-api: ${messageOf(error).split('\n', 1)[0]}`);
    return '';
  });
  const models = join(folder, 'models');
  await mkdir(models);
  figures['SavedModels made by'] = await makeModels(python.python, models, servingApi);
  const cache = join(folder, 'cache');
  await installEngine(cache);
  const gateway = await startGatewayProcess({ env: { SLUICE_CACHE_DIR: cache, SLUICE_TENSORFLOW_DIR: '' } });
  const wrong: string[] = [];
  try {
    for (const model of MODELS) {
      const tally = await askServed(gateway, model, models);
      figures[`SavedModel ${model}`] = told(tally);
      wrong.push(...tally.wrong);
    }
    if (servingApi !== '') wrong.push(...(await checkWarmUp(gateway, models, figures)));
  } finally {
    await gateway.stop();
  }
  for (const problem of wrong.slice(0, SHOWN)) console.error(`tensorflow: ${problem}`);
  figures['SavedModels: answers that differ'] = wrong.length;
  return { ok: wrong.length === 0, figures, notRun };
};

function told({ tensors, exact, largest }: Tally): string {
  return `${tensors} tensors, ${exact} the same, largest difference ${largest.toExponential(1)}`;
}

/** An interpreter with TensorFlow, kept for the next time. */
async function environment(cacheDir: string): Promise<{ python: string } | { missing: string }> {
  const { training } = loadConfig();
  const environments = createEnvironments({
    cacheFolder: join(cacheDir, 'environments'),
    baseEnv: training.baseEnv,
    python: training.python,
  });
  const onLine = async () => {};
  try {
    return await environments.ensure([`tensorflow-cpu==${VERSION}`], onLine, AbortSignal.timeout(BUILD_MS));
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    return { missing: `tensorflow-cpu ${VERSION} cannot be had: ${error.message.split('\n', 1)[0]}` };
  }
}

/** TensorFlow Serving's own messages, without what they say they depend on: that is here already. */
async function installServingApi(python: string, folder: string): Promise<string> {
  const target = join(folder, 'serving-api');
  const args = ['-m', 'pip', '--python', python, 'install', '--no-deps', '--quiet', '--disable-pip-version-check'];
  await exec(loadConfig().training.python, [...args, '--target', target, `tensorflow-serving-api==${VERSION}`]);
  return target;
}

async function makeModels(python: string, folder: string, servingApi: string): Promise<string> {
  const program = resolve('verify', 'engines', 'programs', 'tensorflow_models.py');
  const { stdout } = await exec(python, [program, folder, servingApi, String(CASES)], { maxBuffer: 2 ** 26 });
  const made = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as { tensorflow: string; keras: string };
  return `TensorFlow ${made.tensorflow} and Keras ${made.keras}`;
}

async function installEngine(cache: string): Promise<void> {
  const args = [resolve('dist', 'sluice.js'), 'engines', 'install', 'tensorflow', '--quiet', '--version', VERSION];
  await exec(process.execPath, args, { env: childEnv({ SLUICE_CACHE_DIR: cache }) });
}

async function serve(gateway: GatewayProcess, model: string, models: string): Promise<void> {
  const version = await uploadFolder(gateway.client, model, join(models, model));
  await gateway.serve(model, model, version);
}

/** Serves a model and asks it every case, as JSON and as binary tensors. */
async function askServed(gateway: GatewayProcess, model: string, models: string): Promise<Tally> {
  await serve(gateway, model, models);
  const served = { url: gateway.url, key: gateway.key, endpoint: model };
  const tally = newTally();
  for (const [at, { outputs, ...question }] of (await readCases(join(models, `${model}.cases.jsonl`))).entries()) {
    for (const kind of ['json', 'binary'] as const) {
      const where = `${model}, case ${at}, ${kind}`;
      try {
        compare(tally, where, outputs, await ask(served, question, kind));
      } catch (error) {
        tally.wrong.push(`${where}: ${messageOf(error)}`);
      }
    }
  }
  return tally;
}

/** The first answer of a model that counts says whether its warm-up requests were sent; one that fails is refused. */
async function checkWarmUp(
  gateway: GatewayProcess,
  models: string,
  figures: Record<string, string | number>,
): Promise<string[]> {
  const wrong: string[] = [];
  await serve(gateway, 'counter', models);
  const by = { name: 'by', datatype: 'INT32', shape: [], data: new Int32Array([10]) } as const;
  const answers = await ask({ url: gateway.url, key: gateway.key, endpoint: 'counter' }, { inputs: [by] }, 'json');
  const count = answers.find((one) => one.kind === 'json' && one.name === 'count');
  // 1 + 2 + 4 by the warm-up requests, and 10 by this one
  const counted = count?.kind === 'json' ? count.values[0] : undefined;
  figures['SavedModel with warm-up requests: sent'] = counted === 17 ? '3 of 3' : `no: counted ${counted}, not 17`;
  if (counted !== 17) wrong.push(`the counting model answered ${counted} first, expected 17`);
  const refusal = await uploadFolder(gateway.client, 'broken', join(models, 'broken')).then(
    () => 'it was taken',
    (error) => messageOf(error),
  );
  const refused = /record 2: the model failed: .*division by zero/is.test(refusal);
  figures['SavedModel whose warm-up fails'] = refused ? 'refused, naming the record' : 'NOT REFUSED';
  if (!refused) wrong.push(`the model whose warm-up fails: ${refusal}`);
  return wrong;
}
