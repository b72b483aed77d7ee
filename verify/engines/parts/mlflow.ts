/** MLflow, scikit-learn and XGBoost models: what the gateway answers against what Python answers. */
import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { loadConfig } from '../../../src/config.js';
import { AppError } from '../../../src/errors.js';
import { createEnvironments } from '../../../src/platform/python/environments.js';
import { type Tensor, tensorToBytes } from '../../../src/protocol/tensor.js';
import { HEADER_LENGTH, parseHeaderLength, parseInferResponse } from '../../../src/protocol/v2-json.js';
import { printInferRequest } from '../../../src/protocol/v2-print.js';
import type { GatewayProcess } from '../../../tests/support/gateway-process.js';
import { uploadFolder } from '../../../tests/support/upload-folder.js';
import type { Part } from '../part.js';

/** What trains the models; MLflow writes its own version into what it saves. */
const TRAINING = ['mlflow>=3,<4', 'scikit-learn', 'skops', 'xgboost-cpu', 'pandas'];
const BUILD_MS = 20 * 60_000;

/** Tensors are JSON text: reading and printing it again would lose what JavaScript's JSON does, such as -0. */
interface Case {
  readonly inputs: string;
  readonly asked: readonly string[] | null;
  readonly outputs: string;
}

/**
 * Every case goes through the gateway twice, as JSON and as bytes, and must give the outputs that Python gave: names,
 * datatypes, shapes and every bit. Then each model must refuse what it does not take with a 400.
 */
export const mlflow: Part = async ({ gateway, folder, cacheDir }) => {
  const trained = await train(cacheDir, folder);
  if (trained !== undefined) return { ok: true, figures: {}, notRun: [`mlflow: ${trained}`] };
  const figures: Record<string, string | number> = {};
  let ok = true;
  for (const name of (await readdir(folder)).sort()) {
    const result = await compare(gateway, name, join(folder, name));
    figures[name] = result.words;
    ok &&= result.agrees;
  }
  return { ok, figures, notRun: [] };
};

/** Makes the models; why not, where the packages cannot be had. */
async function train(cacheDir: string, folder: string): Promise<string | undefined> {
  const { baseEnv, python } = loadConfig().training;
  const environments = createEnvironments({ cacheFolder: join(cacheDir, 'environments'), baseEnv, python });
  const built = await environments
    .ensure(TRAINING, async () => {}, AbortSignal.timeout(BUILD_MS))
    .catch((error: unknown) => {
      if (error instanceof AppError && error.code !== 'invalid') return error.message.split('\n', 1)[0] ?? '';
      throw error;
    });
  if (typeof built === 'string') return built;
  const program = fileURLToPath(new URL('../verify/engines/programs/python_models.py', import.meta.url));
  const env = { ...baseEnv, MLFLOW_DISABLE_TELEMETRY: 'true' };
  await promisify(execFile)(built.python, [program, folder], { env, maxBuffer: 1 << 26 });
  return undefined;
}

async function compare(gateway: GatewayProcess, name: string, folder: string) {
  const cases = JSON.parse(await readFile(join(folder, 'cases.json'), 'utf8')) as readonly Case[];
  const began = performance.now();
  const version = await uploadFolder(gateway.client, name, join(folder, 'model'));
  const registeredMs = performance.now() - began;
  await gateway.serve(name, name, version, { scaling: { minReplicas: 0, maxReplicas: 1 } });
  const wrong: string[] = [];
  let [answers, rows, coldMs] = [0, 0, 0];
  for (const binary of [false, true]) {
    for (const one of cases) {
      const asked = performance.now();
      const difference = await ask(gateway, name, one, binary);
      if (answers++ === 0) coldMs = performance.now() - asked;
      rows += toTensors(one.inputs)[0]?.shape[0] ?? 0;
      if (difference !== undefined) wrong.push(difference);
    }
  }
  const refused = await ask(gateway, name, { inputs: ODD, asked: null, outputs: '[]' }, false);
  // of a model that says nothing of its inputs only its own code can find out
  const { body } = await gateway.client.get<{ inputs: unknown[] }>(`/v2/models/${name}`);
  const code = refused?.slice(0, 4);
  if (code !== '400 ' && !(code === '500 ' && body.inputs.length === 0))
    wrong.push(`what it does not take was answered ${refused ?? '200'}`);
  const seconds = (ms: number) => (ms / 1000).toFixed(1);
  return {
    agrees: wrong.length === 0,
    words:
      `${answers} answers, ${rows} rows, ${wrong.length} differ${wrong[0] === undefined ? '' : ` (${wrong[0]})`}; ` +
      `registered in ${seconds(registeredMs)} s, first answer in ${seconds(coldMs)} s`,
  };
}

/** Three dimensions of no rows that anybody was trained with. */
const ODD = '[{"name": "odd", "datatype": "FP32", "shape": [1, 1, 7], "data": [0, 0, 0, 0, 0, 0, 0]}]';

/** Undefined when the answer is what Python gave; otherwise the status with the error, or the first difference. */
async function ask(
  gateway: GatewayProcess,
  model: string,
  { inputs, asked, outputs }: Case,
  binary: boolean,
): Promise<string | undefined> {
  const request = {
    id: undefined,
    parameters: binary ? { binary_data_output: true } : {},
    inputs: toTensors(inputs),
    outputs: asked?.map((name) => ({ name, parameters: {} })),
  };
  const { body, headerLength } = printInferRequest(request, () => binary);
  const headers: Record<string, string> = {
    authorization: `Bearer ${gateway.key}`,
    'content-type': 'application/json',
    ...(headerLength === undefined ? {} : { [HEADER_LENGTH]: String(headerLength) }),
  };
  const answer = await fetch(`${gateway.url}/v2/models/${model}/infer`, { method: 'POST', headers, body });
  const bytes = Buffer.from(await answer.arrayBuffer());
  if (answer.status !== 200) return `${answer.status} ${bytes.toString('utf8')}`;
  const length = parseHeaderLength(answer.headers.get(HEADER_LENGTH) ?? undefined);
  if (binary !== (length !== undefined)) return 'the answer is not in the form that was asked for';
  const given = parseInferResponse(bytes, { headerLength: length }).outputs;
  const expected = toTensors(outputs);
  const names = (tensors: readonly Tensor[]) => tensors.map(({ name }) => name).join(', ');
  if (names(given) !== names(expected)) return `outputs ${names(given)}, expected ${names(expected)}`;
  const at = expected.findIndex((tensor, i) => !same(tensor, given[i]));
  return at === -1 ? undefined : `${show(given[at])}, expected ${show(expected[at])}`;
}

function same(a: Tensor, b: Tensor | undefined): boolean {
  return (
    a.datatype === b?.datatype &&
    a.shape.join() === b.shape.join() &&
    Buffer.compare(tensorToBytes(a), tensorToBytes(b)) === 0
  );
}

function show(tensor: Tensor | undefined): string {
  return tensor ? `${tensor.name} ${tensor.datatype} [${tensor.shape}] ${String(tensor.data[0])} …` : 'nothing';
}

function toTensors(text: string): readonly Tensor[] {
  return parseInferResponse(Buffer.from(`{"outputs":${text}}`)).outputs;
}
