/** Process settings. The only reader of the environment. All problems are reported at once. */
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import type { z } from 'zod';
import { settingsSchema } from './config-schema.js';
import { AppError } from './errors.js';

const HANDED_ON =
  /^(PATH|HOME|LANG|LC_.*|TMPDIR|TZ|PIP_.*|UV_.*|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|NODE_EXTRA_CA_CERTS|(HTTP|HTTPS|NO|ALL)_PROXY|(http|https|no|all)_proxy|LD_LIBRARY_PATH|CUDA_HOME)$/;

/** The cluster that runs model servers and jobs, as far as settings name it. */
export interface ClusterConfig {
  readonly kubeconfig: string | undefined;
  /** The API server as pods are told of it; undefined outside of one. */
  readonly service: { readonly host: string; readonly port: string } | undefined;
  readonly namespace: string | undefined;
  /** Undefined: revisions are reached by the cluster's own names. */
  readonly ingressUrl: string | undefined;
  readonly keepRevisions: number;
  readonly runtimeImage: string | undefined;
  readonly jobImage: string | undefined;
  readonly podsUrl: string | undefined;
  readonly kueueQueue: string | undefined;
  /** `[KIND/]NAME`; undefined: jobs are no TrainJobs. */
  readonly trainJobRuntime: string | undefined;
}

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
  /** Asked by rollouts whose metrics name no other. */
  readonly prometheusUrl: string | undefined;
  /** Memory for recorded requests and answers that are not written yet. */
  readonly payloadLogBufferBytes: number;
  readonly spares: number;
  /** What runs model servers. */
  readonly fleet: 'processes' | 'knative';
  /** What runs training jobs. */
  readonly jobs: 'processes' | 'kubernetes';
  readonly cluster: ClusterConfig;
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
  checkCluster(set);
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
    prometheusUrl: set.SLUICE_PROMETHEUS_URL,
    payloadLogBufferBytes: mib(set.SLUICE_PAYLOAD_LOG_BUFFER_MB),
    spares: set.SLUICE_FLEET === 'knative' ? 0 : set.SLUICE_SPARES,
    fleet: set.SLUICE_FLEET,
    jobs: set.SLUICE_JOBS ?? (set.SLUICE_FLEET === 'knative' ? 'kubernetes' : 'processes'),
    cluster: {
      kubeconfig: set.KUBECONFIG === undefined ? undefined : folder(set.KUBECONFIG),
      service:
        set.KUBERNETES_SERVICE_HOST === undefined
          ? undefined
          : { host: set.KUBERNETES_SERVICE_HOST, port: set.KUBERNETES_SERVICE_PORT },
      namespace: set.SLUICE_KUBERNETES_NAMESPACE,
      ingressUrl: set.SLUICE_KNATIVE_INGRESS_URL,
      keepRevisions: set.SLUICE_KNATIVE_KEEP_REVISIONS,
      runtimeImage: set.SLUICE_RUNTIME_IMAGE,
      jobImage: set.SLUICE_JOB_IMAGE,
      podsUrl: set.SLUICE_PODS_URL?.replace(/\/$/, ''),
      kueueQueue: set.SLUICE_KUEUE_QUEUE,
      trainJobRuntime: set.SLUICE_TRAINJOB_RUNTIME,
    },
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

/** What a cluster needs to be told; each setting of it is of no use without the others. */
function checkCluster(set: z.infer<typeof settingsSchema>): void {
  const knative = set.SLUICE_FLEET === 'knative';
  const jobs = set.SLUICE_JOBS === undefined ? knative : set.SLUICE_JOBS === 'kubernetes';
  const needed: (keyof typeof set)[] = [
    ...(knative ? (['SLUICE_RUNTIME_IMAGE'] as const) : []),
    ...(jobs ? (['SLUICE_JOB_IMAGE'] as const) : []),
    ...(knative || jobs ? (['SLUICE_PODS_URL'] as const) : []),
  ];
  const missing = needed.filter((key) => set[key] === undefined);
  if (missing.length === 0) return;
  const why = knative ? 'SLUICE_FLEET=knative' : 'SLUICE_JOBS=kubernetes';
  throw new AppError('invalid', `these settings are missing, which ${why} needs: ${missing.join(', ')}`);
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
