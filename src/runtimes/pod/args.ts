import { AppError } from '../../errors.js';
import type { LogLevel } from '../../log.js';
import { LEVELS, readAddress, readFlags, readInteger, readOptions, readWord, TEXT } from '../args.js';
import type { EngineOptions } from '../engine.js';

/** What the program of a model server's pod is started with. */
export interface PodArgs {
  /** Where gateways answer pods, without a slash at its end. */
  readonly podsUrl: string;
  /** The file that the kubelet keeps a good token in. */
  readonly tokenFile: string;
  /** Folder for the model's files; other pods may share it. */
  readonly models: string;
  /** How much of it may stay after use; undefined: all. */
  readonly cacheBytes: number | undefined;
  readonly http: { readonly host: string; readonly port: number };
  /** Interpreter of Python models. */
  readonly python: string;
  /** Where Kubernetes reads why a container ended; written where it is there. */
  readonly terminationLog: string;
  readonly onnxLibrary: string | undefined;
  readonly tensorflowLibrary: string | undefined;
  readonly poolThreads: number;
  /** Other options, for what the revision says nothing of. */
  readonly options: EngineOptions;
  readonly drainMs: number;
  readonly maxBodyBytes: number;
  readonly logLevel: LogLevel;
}

/** How it is called. */
export const USAGE = `usage: pod --pods-url URL [--http HOST:PORT] [--models DIR] …
  --pods-url URL       where a gateway answers pods, such as http://sluice.sluice.svc:8080 (default: SLUICE_PODS_URL)
  --token-file PATH    the pod's projected token (default /var/run/sluice/token)
  --models DIR         where the model's files go; pods may share it (default /models)
  --cache-bytes N      how much may stay in that folder; what was used longest ago goes first (default: no bound)
  --http HOST:PORT     answer HTTP (default 0.0.0.0:8080, or the port that PORT names)
  --python PATH        interpreter of Python models (default python3)
  --termination-log PATH  where to write why it cannot serve, if it exists (default /dev/termination-log)
  --onnx-library PATH, --tensorflow-library PATH  folders with other builds of the engines' libraries
  --pool-threads N     inferences that can compute at once off the main thread: UV_THREADPOOL_SIZE (default 4)
  --option NAME=VALUE  an option of the engine, where the revision does not set it
  --drain-ms MS        how long requests in flight may take after SIGTERM (default 30000)
  --max-body-bytes N   largest request body (default 67108864)
  --log-level LEVEL    debug, info, warn, error or silent (default info)
`;

/** What a container's environment says, which needs no arguments then. */
export interface PodEnv {
  readonly SLUICE_PODS_URL?: string | undefined;
  /** Knative's word for where to listen. */
  readonly PORT?: string | undefined;
  /** Node's own. */
  readonly UV_THREADPOOL_SIZE?: string | undefined;
}

const FLAGS = {
  'pods-url': TEXT,
  'token-file': TEXT,
  models: TEXT,
  'cache-bytes': TEXT,
  http: TEXT,
  python: TEXT,
  'termination-log': TEXT,
  'onnx-library': TEXT,
  'tensorflow-library': TEXT,
  'pool-threads': TEXT,
  option: { type: 'string', multiple: true },
  'drain-ms': TEXT,
  'max-body-bytes': TEXT,
  'log-level': TEXT,
} as const;

/** Reads argv without node and script; throws `invalid` naming the argument. */
export function readPodArgs(argv: readonly string[], env: PodEnv = process.env): PodArgs {
  const values = readFlags(argv, FLAGS);
  return {
    podsUrl: readPodsUrl(values['pods-url'] ?? env.SLUICE_PODS_URL),
    tokenFile: values['token-file'] ?? '/var/run/sluice/token',
    models: values.models ?? '/models',
    cacheBytes:
      values['cache-bytes'] === undefined
        ? undefined
        : readInteger('--cache-bytes', values['cache-bytes'], 0, Number.MAX_SAFE_INTEGER),
    http: readAddress(values.http ?? `0.0.0.0:${env.PORT ?? 8080}`),
    python: values.python ?? 'python3',
    terminationLog: values['termination-log'] ?? '/dev/termination-log',
    onnxLibrary: values['onnx-library'],
    tensorflowLibrary: values['tensorflow-library'],
    poolThreads: readInteger('--pool-threads', values['pool-threads'] ?? env.UV_THREADPOOL_SIZE ?? '4', 1, 1024),
    options: readOptions(values.option ?? []),
    drainMs: readInteger('--drain-ms', values['drain-ms'] ?? '30000', 0, 3_600_000),
    maxBodyBytes: readInteger('--max-body-bytes', values['max-body-bytes'] ?? '67108864', 1024, 4_000_000_000),
    logLevel: readWord('--log-level', values['log-level'] ?? 'info', LEVELS),
  };
}

/** The URL below which gateways answer pods, without a slash at its end. */
export function readPodsUrl(text: string | undefined): string {
  if (text === undefined) throw new AppError('invalid', '--pods-url is missing, and SLUICE_PODS_URL is not set');
  if (!/^https?:\/\//.test(text) || !URL.canParse(text))
    throw new AppError('invalid', `--pods-url is "${text}", expected an http or https URL`);
  return text.replace(/\/+$/, '');
}
