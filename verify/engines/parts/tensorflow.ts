/** SavedModels, exported by TensorFlow and Keras, against TensorFlow's own answers to the same inputs. */
import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { childEnv, loadConfig } from '../../../src/config.js';
import { AppError, messageOf } from '../../../src/errors.js';
import { createEnvironments } from '../../../src/platform/training/environments.js';
import { tensorflow as engineKind } from '../../../src/runtimes/tensorflow/engine.js';
import { type GatewayProcess, startGatewayProcess } from '../../../tests/support/gateway-process.js';
import { ask } from '../answers.js';
import { readCases } from '../cases.js';
import { compare, newTally, type Tally } from '../compare.js';
import { uploadFolder } from '../gateway.js';
import type { Part } from '../part.js';

const exec = promisify(execFile);

const VERSION = '2.21.0';
const MODELS = ['keras', 'types', 'texts', 'table'] as const;
const BUILD_MS = 900_000;
const AT_ONCE = 4;
const SHOWN = 5;

export const tensorflow: Part = {
  name: 'tensorflow',
  async run(context) {
    const python = await environment();
    if ('missing' in python) return { ok: true, figures: {}, notRun: [`all of it: ${python.missing}`] };
    const figures: Record<string, string | number> = {};
    const notRun: string[] = [];
    const servingApi = await installServingApi(python.python, context.folder).catch((error) => {
      notRun.push(`warm-up requests: tensorflow-serving-api cannot be had: ${messageOf(error).split('\n', 1)[0]}`);
      return '';
    });
    const models = join(context.folder, 'models');
    await mkdir(models);
    figures.made = await makeModels(python.python, models, servingApi, context.cases);
    const cache = join(context.folder, 'cache');
    const library = await installEngine(cache);
    figures['engine installed by'] = 'sluice engines install tensorflow';
    const gateway = await startGatewayProcess({ env: { SLUICE_CACHE_DIR: cache, SLUICE_TENSORFLOW_DIR: '' } });
    const wrong: string[] = [];
    try {
      for (const model of MODELS) {
        const tally = await askServed(gateway, model, models);
        figures[`${model}, over HTTP as JSON and binary`] = told(tally);
        wrong.push(...tally.wrong);
      }
      if (servingApi !== '') wrong.push(...(await checkWarmUp(gateway, models, figures)));
    } finally {
      await gateway.stop();
    }
    const others = await askEngine(library, models);
    figures['texts, a second signature, by the engine itself'] = told(others);
    wrong.push(...others.wrong);
    for (const problem of wrong.slice(0, SHOWN)) console.error(`tensorflow: ${problem}`);
    figures['answers that differ'] = wrong.length;
    return { ok: wrong.length === 0, figures, notRun };
  },
};

function told({ tensors, exact, largest }: Tally): string {
  return `${tensors} tensors, ${exact} the same, largest difference ${largest.toExponential(1)}`;
}

/** An interpreter with TensorFlow, kept for the next time. */
async function environment(): Promise<{ python: string } | { missing: string }> {
  const { cacheDir, training } = loadConfig();
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

async function makeModels(python: string, folder: string, servingApi: string, cases: number): Promise<string> {
  const program = resolve('verify', 'engines', 'programs', 'tensorflow_models.py');
  const { stdout } = await exec(python, [program, folder, servingApi, String(cases)], { maxBuffer: 2 ** 26 });
  const made = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as { tensorflow: string; keras: string };
  return `by TensorFlow ${made.tensorflow} and Keras ${made.keras}`;
}

/** Installs the engine with the command that users have; the folder that it says. */
async function installEngine(cache: string): Promise<string> {
  const args = [resolve('dist', 'sluice.js'), 'engines', 'install', 'tensorflow', '--quiet', '--version', VERSION];
  const { stdout } = await exec(process.execPath, args, { env: childEnv({ SLUICE_CACHE_DIR: cache }) });
  return stdout.trim();
}

async function serve(gateway: GatewayProcess, model: string, models: string): Promise<void> {
  const version = await uploadFolder(gateway, model, join(models, model));
  await gateway.serve(model, model, version);
}

/** Serves a model and asks it every case of its default signature, both ways. */
async function askServed(gateway: GatewayProcess, model: string, models: string): Promise<Tally> {
  await serve(gateway, model, models);
  const served = { url: gateway.url, key: gateway.key, endpoint: model };
  const cases = (await readCases(join(models, `${model}.cases.jsonl`))).entries();
  const tally = newTally();
  const work = async () => {
    for (const [at, { signature, inputs, outputs }] of cases) {
      if (signature !== 'serving_default') continue;
      for (const kind of ['json', 'binary'] as const) {
        const where = `${model}, case ${at}, ${kind}`;
        try {
          compare(tally, where, outputs, await ask(served, inputs, kind));
        } catch (error) {
          tally.wrong.push(`${where}: ${messageOf(error)}`);
        }
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
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
  const answers = await ask({ url: gateway.url, key: gateway.key, endpoint: 'counter' }, [by], 'json');
  const count = answers.find((one) => one.kind === 'json' && one.name === 'count');
  // 1 + 2 + 4 by the warm-up requests, and 10 by this one
  const counted = count?.kind === 'json' ? count.values[0] : undefined;
  figures['warm-up requests sent before the first one'] = counted === 17 ? '3 of 3' : `no: counted ${counted}, not 17`;
  if (counted !== 17) wrong.push(`the counting model answered ${counted} first, expected 17`);
  const refusal = await uploadFolder(gateway, 'broken', join(models, 'broken')).then(
    () => 'it was taken',
    (error) => messageOf(error),
  );
  const refused = /record 2: the model failed: .*division by zero/is.test(refusal);
  figures['a model whose second warm-up request fails'] = refused ? 'refused, naming the record' : 'NOT REFUSED';
  if (!refused) wrong.push(`the model whose warm-up fails: ${refusal}`);
  return wrong;
}

/** The cases of signatures that are not the default one, in this process. */
async function askEngine(libraryPath: string, models: string): Promise<Tally> {
  const engine = engineKind.create({ libraryPath, intraOpNumThreads: 1 });
  await engine.load({ path: join(models, 'texts') }, {});
  const tally = newTally();
  for (const [at, { signature, inputs, outputs }] of (await readCases(join(models, 'texts.cases.jsonl'))).entries()) {
    const answered = await engine.infer({ inputs, outputs: undefined, signature });
    compare(
      tally,
      `texts by the engine, case ${at}`,
      outputs,
      answered.map((tensor) => ({ kind: 'binary' as const, tensor })),
    );
  }
  await engine.unload();
  return tally;
}
