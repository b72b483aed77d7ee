/** The fields of a container: of one that runs a model of a known format, and of somebody's own model server. */
import { defined } from '../../values.js';
import type { Fields } from './fields.js';
import type { Format } from './formats.js';
import type { Settings } from './scaling.js';

const OWN_PODS = 'Sluice makes the pods of its model servers as it sees fit';
const READY = 'a replica is ready when its model has answered its warm-up';

/** Fields that change nothing of what is answered. */
const NOT_HONOURED: Readonly<Record<string, string>> = {
  livenessProbe: 'a replica that dies is replaced',
  startupProbe: READY,
  securityContext: OWN_PODS,
  imagePullPolicy: OWN_PODS,
  lifecycle: OWN_PODS,
  workingDir: OWN_PODS,
  terminationMessagePath: OWN_PODS,
  terminationMessagePolicy: OWN_PODS,
  resizePolicy: OWN_PODS,
  restartPolicy: OWN_PODS,
  stdin: OWN_PODS,
  stdinOnce: OWN_PODS,
  tty: OWN_PODS,
};

const REFUSED: Readonly<Record<string, string>> = {
  volumeMounts: 'cannot be mounted; bring the files with the model',
  volumeDevices: 'cannot be attached',
};

/** Names by which KServe's and others' servers are told how many threads to compute with. */
const THREADS_ARG = /^(nthread|max_threads|tensorflow_intra_op_parallelism)$/;
const THREADS_ENV = /^(OMP_NUM_THREADS|OPENBLAS_NUM_THREADS|MKL_NUM_THREADS)$/;

export interface EngineSettings {
  readonly threads: number | undefined;
  /** Processes of a Python model in each replica. */
  readonly workers: number | undefined;
}

/** The container of a model that one of Sluice's engines runs. Its resources are read elsewhere. */
export function readEngineContainer(model: Fields, format: Format, name: string): EngineSettings {
  model.skip('name');
  const own = "the engine of the format is Sluice's own; a server of yours goes to predictor.containers";
  model.refuseOf({ image: own, command: own, ...REFUSED });
  model.warnOf({
    runtimeVersion: "the version of the engine is Sluice's own",
    ports: "clients reach the model at the gateway's port",
    readinessProbe: READY,
    envFrom: 'engines are given no environment',
    ...NOT_HONOURED,
  });
  const fromArgs = engineArgs(model, format, name);
  let threads = fromArgs.threads;
  for (const entry of model.children('env')) {
    const variable = entry.text('name') ?? '';
    const value = entry.scalar('value');
    if (THREADS_ENV.test(variable) && /^[1-9]\d*$/.test(value ?? '')) threads ??= Number(value);
    else if (entry.has('valueFrom')) entry.warn('valueFrom', `engines are given no environment, so no ${variable}`);
    else entry.warn('value', `engines are given no environment, so no ${variable}`);
    entry.skip('name', 'value', 'valueFrom');
    entry.end();
  }
  return { threads, workers: fromArgs.workers };
}

function engineArgs(model: Fields, format: Format, name: string): EngineSettings {
  const given = flagsOf(model.texts('args'));
  let threads: number | undefined;
  let workers: number | undefined;
  const lost: string[] = [];
  for (const [flag, value] of given) {
    if (THREADS_ARG.test(flag) && /^[1-9]\d*$/.test(value)) threads = Number(value);
    else if (flag === 'workers' && /^[1-9]\d*$/.test(value) && isPython(format)) workers = Number(value);
    else if (flag === 'model_name') {
      if (value !== name) lost.push(`clients call it by the endpoint's name, ${name}, not by --model_name ${value}`);
    } else lost.push(`--${flag} is not passed to Sluice's own engine`);
  }
  if (lost.length > 0) model.warn('args', lost.join('; '));
  return { threads, workers };
}

function isPython(format: Format): boolean {
  return format !== 'onnx' && format !== 'tensorflow';
}

/** `--name=value` and `--name value`. */
function flagsOf(args: readonly string[]): [name: string, value: string][] {
  const flags: [string, string][] = [];
  for (let at = 0; at < args.length; at++) {
    const arg = args[at] ?? '';
    const match = /^--?([^=]+)(?:=(.*))?$/s.exec(arg);
    const next = args[at + 1];
    if (!match) flags.push([arg, '']);
    else if (match[2] !== undefined) flags.push([match[1] ?? '', match[2]]);
    else if (next !== undefined && !next.startsWith('-')) {
      flags.push([match[1] ?? '', next]);
      at++;
    } else flags.push([match[1] ?? '', '']);
  }
  return flags;
}

/** A container that is a model server of somebody's own, as a version of a model has it. */
export function readServerContainer(container: Fields): Settings {
  container.skip('name');
  const image = container.text('image');
  if (image === undefined) container.refuse('image', 'is missing');
  const entry = 'an image runs with its own entry point; build one that has it';
  container.refuseOf({ command: entry, args: entry, envFrom: 'give each variable in env', ...REFUSED });
  container.warnOf(NOT_HONOURED);
  const env: Record<string, string> = {};
  for (const one of container.children('env')) {
    const name = one.text('name');
    if (one.has('valueFrom'))
      one.refuse('valueFrom', 'secrets and fields of the cluster cannot be read; give its value');
    const value = one.scalar('value') ?? '';
    if (name === 'STORAGE_URI')
      one.refuse('value', 'nothing is fetched into a server of your own; put it into the image');
    one.end();
    if (name !== undefined) env[name] = value;
  }
  const protocol = container.oneOf('protocolVersion', ['v1', 'v2']) ?? protocolOf(env);
  return defined({
    image,
    port: readPort(container) ?? 8080,
    env: Object.keys(env).length > 0 ? env : undefined,
    readyPath: readyPath(container) ?? (protocol === 'v1' ? '/' : undefined),
    protocols: protocol === undefined ? ['v1', 'v2'] : [protocol],
  });
}

function protocolOf(env: Readonly<Record<string, string>>): 'v1' | 'v2' | undefined {
  const said = env.PROTOCOL_VERSION ?? env.PROTOCOL;
  return said === 'v1' || said === 'v2' ? said : undefined;
}

function readPort(container: Fields): number | undefined {
  const ports = container.children('ports').map((one) => {
    const port = one.whole('containerPort', 1, 65_535);
    one.skip('name', 'protocol');
    one.warnOf({ hostPort: 'is not opened' });
    one.end();
    return port;
  });
  if (ports.length > 1) container.warn('ports', `the first one, ${ports[0]}, is called`);
  return ports[0];
}

function readyPath(container: Fields): string | undefined {
  const probe = container.child('readinessProbe');
  if (!probe) return undefined;
  const get = probe.child('httpGet');
  const path = get?.text('path');
  get?.skip('port', 'scheme', 'host', 'httpHeaders');
  get?.end();
  if (!get) container.warn('readinessProbe', 'a replica is ready when GET /v2/health/ready is answered 200');
  probe.skip(...probe.left());
  return path;
}
