/**
 * Process settings. The only reader of the environment: every key has a default that works on a bare machine and a
 * sentence, from which `.env.example` and `docs/config.md` are generated. All problems are reported at once.
 */
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { AppError } from './errors.js';

const port = z.coerce.number().int().min(0).max(65535);
const positive = z.coerce.number().positive();
const count = z.coerce.number().int().min(0);
/** Up to what timers can count: beyond 2^31 ms they would fire at once. */
const seconds = positive.max(2_000_000);

/** One schema entry per environment variable; `describe` is its line in the documentation. */
export const settingsSchema = z.object({
  SLUICE_HOST: z.string().default('127.0.0.1').describe('Address to listen on. Loopback unless told otherwise.'),
  SLUICE_PORT: port.default(8080).describe('HTTP port of the gateway; 0 takes a free one.'),
  SLUICE_GATEWAY_PROCESSES: count
    .min(1)
    .max(256)
    .default(1)
    .describe('Processes that answer clients. With more than one, another one holds the replicas and shares them out.'),
  SLUICE_GRPC_PORT: port
    .optional()
    .describe('A port for gRPC alone; 0 takes a free one. Without it gRPC is on the HTTP port, as it is with it.'),
  SLUICE_DATA_DIR: z
    .string()
    .default('~/.sluice')
    .describe('Folder for the embedded Postgres, blobs, work folders and the admin key.'),
  SLUICE_CACHE_DIR: z
    .string()
    .default('~/.cache/sluice')
    .describe('Folder for what can be made again: Python environments, fetched models.'),
  SLUICE_ADMIN_KEY: z
    .string()
    .min(16)
    .optional()
    .describe(
      'Admin API key (at least 16 characters). Without it one is made at first start and kept in the data folder.',
    ),
  DATABASE_URL: z.string().optional().describe('Postgres to use instead of the embedded one.'),
  REDIS_URL: z.string().optional().describe('Redis for the queue. Without it the queue lives in Postgres.'),
  SLUICE_BLOBS_URL: z
    .string()
    .optional()
    .describe(
      'Where artifacts are kept: a folder, or s3://bucket/prefix?endpoint=URL&region=NAME. Default: blobs in the data folder.',
    ),
  AWS_ACCESS_KEY_ID: z.string().optional().describe('Credentials for an s3:// blob store.'),
  AWS_SECRET_ACCESS_KEY: z.string().optional().describe('Credentials for an s3:// blob store.'),
  AWS_SESSION_TOKEN: z.string().optional().describe('Credentials for an s3:// blob store.'),
  SLUICE_LOG_LEVEL: z
    .enum(['debug', 'info', 'warn', 'error', 'silent'])
    .default('info')
    .describe('Least severe level that is written.'),
  SLUICE_LOG_FORMAT: z
    .enum(['json', 'text'])
    .optional()
    .describe('json, or text for people. Default: text on a terminal, json otherwise.'),
  SLUICE_BODY_LIMIT_MB: z.coerce
    .number()
    .min(1 / 1024)
    .max(3800)
    .default(64)
    .describe('Largest body of a prediction or an API call, in MiB.'),
  SLUICE_UPLOAD_LIMIT_MB: positive.default(20480).describe('Largest uploaded blob, in MiB.'),
  SLUICE_PREDICT_TIMEOUT_SEC: seconds
    .default(60)
    .describe('Longest that a prediction may take, its wait for a replica included.'),
  SLUICE_API_TIMEOUT_SEC: seconds
    .default(30)
    .describe('Longest that a control API call may take (uploads and streams aside).'),
  SLUICE_QUEUE_LIMIT: count
    .min(1)
    .default(1000)
    .describe('Most predictions that wait for a replica of one revision; more are answered 429.'),
  SLUICE_MAX_CONNECTIONS: count.default(4096).describe('Most open client connections of one gateway.'),
  SLUICE_PAYLOAD_LOG_BUFFER_MB: positive
    .max(16_384)
    .default(32)
    .describe(
      'Most memory that recorded requests and answers take until they are written, of all gateway processes together, in MiB.',
    ),
  SLUICE_SPARES: count.default(1).describe('Warm model servers kept ready to take a model over.'),
  SLUICE_ADVERTISE_URL: z
    .url({ protocol: /^https?$/ })
    .optional()
    .describe('Where workers reach this gateway. Default: its address and port, 127.0.0.1 when it listens everywhere.'),
  SLUICE_ASYNC_DEADLINE_SEC: seconds
    .default(86_400)
    .describe('Longest that an asynchronous prediction may take from its acceptance, retries included.'),
  SLUICE_ASYNC_KEEP_SEC: positive
    .default(604_800)
    .describe('How long the result of an asynchronous prediction is kept.'),
  SLUICE_ASYNC_QUEUE_LIMIT: count
    .min(1)
    .default(100_000)
    .describe('Most asynchronous predictions of a project that wait; more are answered 429.'),
  SLUICE_WEBHOOK_PRIVATE: z
    .enum(['true', 'false'])
    .default('false')
    .describe('Whether webhooks may go to loopback, link-local and private addresses.'),
  SLUICE_DRAIN_SEC: seconds.max(3600).default(30).describe('Longest that a stop waits for requests in flight.'),
  SLUICE_PYTHON: z
    .string()
    .default('python3')
    .describe(
      'Python interpreter (3.10 or later) that the environments of training jobs and Python models are made from.',
    ),
  SLUICE_TENSORFLOW_DIR: z
    .string()
    .optional()
    .describe(
      "Folder with TensorFlow's library, as its Python package or its archive for C has it. Default: what " +
        '`sluice engines install tensorflow` installed, else the TensorFlow of the Python interpreter.',
    ),
  SLUICE_WORKER_CPUS: positive.optional().describe('CPU slots for training jobs. Default: the cores of the machine.'),
  SLUICE_WORKER_MEMORY_MB: positive
    .optional()
    .describe('Memory for training jobs, in MiB. Default: that of the machine or container.'),
  SLUICE_WORKER_GPUS: count.optional().describe('GPUs for training jobs. Default: those of the machine.'),
  SLUICE_STOP_GRACE_SEC: seconds
    .default(120)
    .describe('Time between SIGTERM and SIGKILL for a training script that is stopped.'),
  SLUICE_LOG_LIMIT_MB: positive.default(16).describe('Most log text kept of one attempt, in MiB.'),
  // what a training script inherits of the platform's own environment: enough to find programs, files and package indexes
  PATH: z.string().default('/usr/local/bin:/usr/bin:/bin').describe('Inherited; handed on to training scripts.'),
  HOME: z.string().optional().describe('Inherited; handed on to training scripts.'),
});

const HANDED_ON =
  /^(PATH|HOME|LANG|LC_.*|TMPDIR|TZ|PIP_.*|UV_.*|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|NODE_EXTRA_CA_CERTS|(HTTP|HTTPS|NO|ALL)_PROXY|(http|https|no|all)_proxy|LD_LIBRARY_PATH|CUDA_HOME)$/;

export interface Config {
  readonly host: string;
  readonly port: number;
  /** Processes that answer clients. */
  readonly gatewayProcesses: number;
  /** Of gRPC alone; undefined: none. */
  readonly grpcPort: number | undefined;
  readonly dataDir: string;
  readonly cacheDir: string;
  readonly adminKey: string | undefined;
  readonly databaseUrl: string | undefined;
  readonly redisUrl: string | undefined;
  readonly blobsUrl: string;
  /** Of an s3:// blob store; undefined: wherever AWS programs look. */
  readonly s3Credentials:
    | { readonly accessKeyId: string; readonly secretAccessKey: string; readonly sessionToken?: string }
    | undefined;
  readonly log: { readonly level: 'debug' | 'info' | 'warn' | 'error' | 'silent'; readonly format: 'json' | 'text' };
  readonly limits: {
    readonly bodyBytes: number;
    readonly uploadBytes: number;
    readonly predictTimeoutMs: number;
    readonly apiTimeoutMs: number;
    readonly queueLimit: number;
    readonly maxConnections: number;
    readonly drainMs: number;
  };
  /** Where workers reach the gateway; undefined: where it listens. */
  readonly advertiseUrl: string | undefined;
  readonly asynchronous: {
    readonly deadlineMs: number;
    readonly keepMs: number;
    readonly queueLimit: number;
    readonly webhooksToPrivate: boolean;
  };
  /** Memory for recorded requests and answers that are not written yet. */
  readonly payloadLogBufferBytes: number;
  readonly spares: number;
  /** Folder with TensorFlow's library; undefined: wherever one is found. */
  readonly tensorflowDir: string | undefined;
  readonly training: {
    readonly python: string;
    /** What jobs may use of the machine; undefined: all there is. */
    readonly cpus: number | undefined;
    readonly memoryMb: number | undefined;
    readonly gpus: number | undefined;
    readonly stopGraceMs: number;
    readonly logBytes: number;
    /** What scripts inherit of this process's environment. */
    readonly baseEnv: Readonly<Record<string, string>>;
  };
}

export function loadConfig(env: NodeJS.ProcessEnv = process.env): Config {
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value?.trim() !== ''));
  const parsed = settingsSchema.safeParse(given);
  if (!parsed.success) {
    const lines = parsed.error.issues.map((issue) => {
      const key = String(issue.path[0]);
      const shown = /KEY|SECRET|TOKEN|URL/.test(key) ? '(hidden)' : JSON.stringify(given[key]);
      return `  ${key}=${shown}: ${issue.message}`;
    });
    throw new AppError('invalid', `these settings cannot be used:\n${lines.join('\n')}`);
  }
  const set = parsed.data;
  const home = set.HOME ?? homedir();
  const folder = (path: string) => resolve(path.replace(/^~(?=\/|$)/, home));
  const dataDir = folder(set.SLUICE_DATA_DIR);
  return {
    host: set.SLUICE_HOST,
    port: set.SLUICE_PORT,
    gatewayProcesses: set.SLUICE_GATEWAY_PROCESSES,
    grpcPort: set.SLUICE_GRPC_PORT,
    dataDir,
    cacheDir: folder(set.SLUICE_CACHE_DIR),
    adminKey: set.SLUICE_ADMIN_KEY,
    databaseUrl: set.DATABASE_URL,
    redisUrl: set.REDIS_URL,
    blobsUrl: set.SLUICE_BLOBS_URL ?? join(dataDir, 'blobs'),
    s3Credentials:
      set.AWS_ACCESS_KEY_ID && set.AWS_SECRET_ACCESS_KEY
        ? {
            accessKeyId: set.AWS_ACCESS_KEY_ID,
            secretAccessKey: set.AWS_SECRET_ACCESS_KEY,
            ...(set.AWS_SESSION_TOKEN ? { sessionToken: set.AWS_SESSION_TOKEN } : {}),
          }
        : undefined,
    log: { level: set.SLUICE_LOG_LEVEL, format: set.SLUICE_LOG_FORMAT ?? (process.stderr.isTTY ? 'text' : 'json') },
    limits: {
      bodyBytes: mib(set.SLUICE_BODY_LIMIT_MB),
      uploadBytes: mib(set.SLUICE_UPLOAD_LIMIT_MB),
      predictTimeoutMs: ms(set.SLUICE_PREDICT_TIMEOUT_SEC),
      apiTimeoutMs: ms(set.SLUICE_API_TIMEOUT_SEC),
      queueLimit: set.SLUICE_QUEUE_LIMIT,
      maxConnections: set.SLUICE_MAX_CONNECTIONS,
      drainMs: ms(set.SLUICE_DRAIN_SEC),
    },
    advertiseUrl: set.SLUICE_ADVERTISE_URL,
    asynchronous: {
      deadlineMs: ms(set.SLUICE_ASYNC_DEADLINE_SEC),
      keepMs: ms(set.SLUICE_ASYNC_KEEP_SEC),
      queueLimit: set.SLUICE_ASYNC_QUEUE_LIMIT,
      webhooksToPrivate: set.SLUICE_WEBHOOK_PRIVATE === 'true',
    },
    payloadLogBufferBytes: mib(set.SLUICE_PAYLOAD_LOG_BUFFER_MB),
    spares: set.SLUICE_SPARES,
    tensorflowDir: set.SLUICE_TENSORFLOW_DIR === undefined ? undefined : folder(set.SLUICE_TENSORFLOW_DIR),
    training: {
      python: set.SLUICE_PYTHON,
      cpus: set.SLUICE_WORKER_CPUS,
      memoryMb: set.SLUICE_WORKER_MEMORY_MB,
      gpus: set.SLUICE_WORKER_GPUS,
      stopGraceMs: ms(set.SLUICE_STOP_GRACE_SEC),
      logBytes: mib(set.SLUICE_LOG_LIMIT_MB),
      baseEnv: Object.fromEntries(
        Object.entries(env).flatMap(([key, value]) =>
          value !== undefined && HANDED_ON.test(key) ? [[key, value]] : [],
        ),
      ),
    },
  };
}

/** The environment for a child process of the platform itself, with `changes` on top. */
export function childEnv(changes: Readonly<Record<string, string | undefined>>): NodeJS.ProcessEnv {
  return { ...process.env, ...changes };
}

function ms(seconds: number): number {
  return Math.ceil(seconds * 1000);
}

function mib(megabytes: number): number {
  return Math.round(megabytes * 2 ** 20);
}
