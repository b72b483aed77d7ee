/**
 * The keys of the environment that are read: every key has a default that works on a bare machine and a sentence, from
 * which `.env.example` and `docs/config.md` are generated.
 */
import { z } from 'zod';

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
  SLUICE_PROMETHEUS_URL: z
    .url({ protocol: /^https?$/ })
    .optional()
    .describe(
      'Prometheus server that the analysis of rollouts asks where a metric names none; may be a private address.',
    ),
  SLUICE_DRAIN_SEC: seconds.max(3600).default(30).describe('Longest that a stop waits for requests in flight.'),
  SLUICE_FLEET: z
    .enum(['processes', 'knative'])
    .default('processes')
    .describe('What runs model servers: processes of this machine, or Knative Serving.'),
  SLUICE_JOBS: z
    .enum(['processes', 'kubernetes'])
    .optional()
    .describe(
      'What runs training jobs: processes of this machine, or Kubernetes. Default: kubernetes with SLUICE_FLEET=knative.',
    ),
  KUBECONFIG: z
    .string()
    .optional()
    .describe(
      "File that says where the cluster is and as whom to speak to it. Default: the pod's own service account.",
    ),
  KUBERNETES_SERVICE_HOST: z.string().optional().describe('Set by Kubernetes in every pod.'),
  KUBERNETES_SERVICE_PORT: z.string().default('443').describe('Set by Kubernetes in every pod.'),
  SLUICE_KUBERNETES_NAMESPACE: z
    .string()
    .optional()
    .describe("Namespace of model servers and jobs. Default: that of KUBECONFIG's context, or the pod's own."),
  SLUICE_KNATIVE_INGRESS_URL: z
    .url({ protocol: /^https?$/ })
    .optional()
    .describe("Knative's ingress, for gateways outside the cluster. Default: by the cluster's own names."),
  SLUICE_KNATIVE_KEEP_REVISIONS: count
    .min(1)
    .default(10)
    .describe('How many of the newest revisions of an endpoint stay on the cluster, besides those with traffic.'),
  SLUICE_RUNTIME_IMAGE: z.string().optional().describe('Image of the model servers; needed with SLUICE_FLEET=knative.'),
  SLUICE_JOB_IMAGE: z
    .string()
    .optional()
    .describe('Image with Python for training jobs that name none; needed where jobs run on Kubernetes.'),
  SLUICE_PODS_URL: z
    .url({ protocol: /^https?$/ })
    .optional()
    .describe('Where model servers and jobs of the cluster reach the gateways; needed with them.'),
  SLUICE_KUEUE_QUEUE: z
    .string()
    .optional()
    .describe('Local queue of Kueue that training jobs are put into. Default: none.'),
  SLUICE_TRAINJOB_RUNTIME: z
    .string()
    .regex(/^((Cluster)?TrainingRuntime\/)?[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/, {
      error: 'must be the name of a ClusterTrainingRuntime, or TrainingRuntime/NAME',
    })
    .optional()
    .describe(
      'Where the Kubeflow Trainer is installed, training jobs are TrainJobs of this ClusterTrainingRuntime, or of TrainingRuntime/NAME. Default: none; they are Jobs.',
    ),
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
