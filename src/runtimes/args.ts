import { type ParseArgsConfig, parseArgs } from 'node:util';
import { AppError, messageOf } from '../errors.js';
import type { LogLevel } from '../log.js';
import type { EngineOptions } from './engine.js';
import { FRAMEWORKS, type Framework } from './engines.js';

/** What a model server is started with. */
export interface RuntimeArgs {
  /** Path of the Unix socket for frames; undefined for none. */
  readonly socket: string | undefined;
  /** Where to answer HTTP; port 0 is a free one. */
  readonly http: { readonly host: string; readonly port: number } | undefined;
  /** What the models are that it will load; its library is what a spare warms up. */
  readonly engine: Framework;
  readonly name: string;
  readonly version: string | undefined;
  /** Undefined: a spare, which waits to be told. */
  readonly model: string | undefined;
  /** Whether clients may load and unload although a model was given. */
  readonly allowLoad: boolean;
  readonly threads: number;
  /** Threads of libuv's pool, as UV_THREADPOOL_SIZE set them when the process was started. */
  readonly poolThreads: number;
  /** Folder with ONNX Runtime's library; undefined: that of the package onnxruntime-node. */
  readonly onnxLibrary: string | undefined;
  /** Folder with TensorFlow's library; undefined: its models cannot be loaded. */
  readonly tensorflowLibrary: string | undefined;
  /** Other options, for every load that does not say otherwise. */
  readonly options: EngineOptions;
  /** How long requests in flight may take after SIGTERM. */
  readonly drainMs: number;
  readonly maxBodyBytes: number;
  readonly logLevel: LogLevel;
}

/** How it is called. */
export const USAGE = `usage: runtime [--socket PATH] [--http HOST:PORT] [--model PATH] [--name NAME] [--version VERSION] …
  --socket PATH        answer frames on this Unix socket
  --http HOST:PORT     answer HTTP; port 0 takes a free one
  --engine NAME        framework of its models: ${FRAMEWORKS.join(', ')} (default onnx)
  --model PATH         the model's file or folder; without it, a spare that waits for a load
  --name NAME          what the model is called in paths (default: model)
  --version VERSION    what its version is called
  --allow-load         let clients load and unload although --model was given
  --threads N          threads inside one operator (default 1)
  --pool-threads N     inferences that can compute at once off the main thread: UV_THREADPOOL_SIZE (default 4)
  --onnx-library PATH  folder with ONNX Runtime's library, as \`sluice engines install onnx\` makes it
  --tensorflow-library PATH  folder with TensorFlow's library, as \`sluice engines install tensorflow\` makes it
  --option NAME=VALUE  an option of the engine, in JSON or as text, such as python=/path/of/python or workers=2
  --drain-ms MS        how long requests in flight may take after SIGTERM (default 30000)
  --max-body-bytes N   largest request body (default 67108864)
  --log-level LEVEL    debug, info, warn, error or silent (default info)
`;

/** Of a flag with a value. */
export const TEXT = { type: 'string' } as const;

const FLAGS = {
  socket: TEXT,
  http: TEXT,
  engine: TEXT,
  name: TEXT,
  version: TEXT,
  model: TEXT,
  'allow-load': { type: 'boolean' },
  threads: TEXT,
  'pool-threads': TEXT,
  'onnx-library': TEXT,
  'tensorflow-library': TEXT,
  option: { type: 'string', multiple: true },
  'drain-ms': TEXT,
  'max-body-bytes': TEXT,
  'log-level': TEXT,
} as const;

/** Reads argv without node and script; throws `invalid` naming the argument. */
export function readArgs(argv: readonly string[]): RuntimeArgs {
  const values = readFlags(argv, FLAGS);
  const { socket, http } = values;
  if (socket === undefined && http === undefined) throw new AppError('invalid', 'neither --socket nor --http is given');
  return {
    socket,
    http: http === undefined ? undefined : readAddress(http),
    engine: readWord('--engine', values.engine ?? 'onnx', FRAMEWORKS),
    name: values.name ?? 'model',
    version: values.version,
    model: values.model,
    allowLoad: values['allow-load'] ?? values.model === undefined,
    threads: readInteger('--threads', values.threads ?? '1', 1, 1024),
    poolThreads: readInteger('--pool-threads', values['pool-threads'] ?? '4', 1, 1024),
    onnxLibrary: values['onnx-library'],
    tensorflowLibrary: values['tensorflow-library'],
    options: readOptions(values.option ?? []),
    drainMs: readInteger('--drain-ms', values['drain-ms'] ?? '30000', 0, 3_600_000),
    maxBodyBytes: readInteger('--max-body-bytes', values['max-body-bytes'] ?? '67108864', 1024, 4_000_000_000),
    logLevel: readWord('--log-level', values['log-level'] ?? 'info', LEVELS),
  };
}

/** The flags of an argument list; throws `invalid` for one that is not among `options`. */
export function readFlags<T extends ParseArgsOptions>(argv: readonly string[], options: T) {
  try {
    return parseArgs({ args: [...argv], options }).values;
  } catch (error) {
    throw new AppError('invalid', messageOf(error), { cause: error });
  }
}

type ParseArgsOptions = NonNullable<ParseArgsConfig['options']>;

/** Each `NAME=VALUE`, in JSON or as text. */
export function readOptions(given: readonly string[]): EngineOptions {
  return Object.fromEntries(
    given.map((text) => {
      const at = text.indexOf('=');
      if (at < 1) throw new AppError('invalid', `--option is "${text}", expected NAME=VALUE`);
      return [text.slice(0, at), readValue(text.slice(at + 1))];
    }),
  );
}

function readValue(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** Of --http: `HOST:PORT`. */
export function readAddress(text: string): { host: string; port: number } {
  const found = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(text);
  const host = found?.[1] ?? found?.[2];
  if (host === undefined) throw new AppError('invalid', `--http is "${text}", expected HOST:PORT`);
  return { host, port: readInteger('--http port', found?.[3] ?? '', 0, 65535) };
}

/** An integer within its bounds, or `invalid` naming the argument. */
export function readInteger(name: string, text: string, low: number, high: number): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (value >= low && value <= high) return value;
  throw new AppError('invalid', `${name} is "${text}", expected an integer from ${low} to ${high}`);
}

export const LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error', 'silent'];

/** One of the words, or `invalid` naming the argument. */
export function readWord<W extends string>(name: string, text: string, words: readonly W[]): W {
  const word = words.find((known) => known === text);
  if (word) return word;
  throw new AppError('invalid', `${name} is "${text}", expected one of ${words.join(', ')}`);
}
