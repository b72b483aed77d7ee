/** Which fields a YAML document may have, by kind. A test holds them against the schemas of the API. */

/** Nested fields; `leaf` is a value or a list, whose insides the gateway checks. */
export type Fields = { readonly [name: string]: 'leaf' | Fields };

const leaf = 'leaf';

const STEP: Fields = { percent: leaf, holdSec: leaf };
const ANALYSIS: Fields = {
  minRequests: leaf,
  maxErrorIncrease: leaf,
  maxSlowIncrease: leaf,
  slowFactor: leaf,
  alpha: leaf,
};
const ROLLOUT: Fields = {
  steps: STEP,
  analysis: ANALYSIS,
  maxStepSec: leaf,
  onInconclusive: leaf,
  readyTimeoutSec: leaf,
  bakeSec: leaf,
};
const GATE: Fields = {
  kind: leaf,
  name: leaf,
  min: leaf,
  max: leaf,
  dataset: leaf,
  metric: leaf,
  maxRegression: leaf,
  minImprovement: leaf,
  tolerance: leaf,
};
const SCALING: Fields = {
  minReplicas: leaf,
  maxReplicas: leaf,
  concurrency: leaf,
  targetUtilization: leaf,
  stableWindowSec: leaf,
  scaleDownDelaySec: leaf,
  scaleToZeroGraceSec: leaf,
  queueTimeoutSec: leaf,
  maxQueueDelayMs: leaf,
  threads: leaf,
};

const RUNTIME: Fields = {
  batching: { maxRows: leaf, delayMs: leaf, preferredRows: leaf },
  instances: leaf,
  device: leaf,
  warmup: leaf,
  options: leaf,
};

const PLACEMENT: Fields = {
  cpus: leaf,
  memoryMb: leaf,
  gpus: leaf,
  nodeSelector: leaf,
  tolerations: { key: leaf, operator: leaf, value: leaf, effect: leaf, tolerationSeconds: leaf },
  image: leaf,
};

const PAYLOAD_LOG: Fields = {
  rate: leaf,
  mode: leaf,
  metadataHeaders: leaf,
  maxBodyBytes: leaf,
  sink: {
    kind: leaf,
    url: leaf,
    batch: { maxEvents: leaf, maxDelayMs: leaf },
    prefix: leaf,
    format: leaf,
    intervalSec: leaf,
    maxFileBytes: leaf,
  },
};

const SHADOW: Fields = {
  absoluteTolerance: leaf,
  relativeTolerance: leaf,
  // by the names of a model's outputs
  outputs: leaf,
  maxInFlight: leaf,
  maxBodyBytes: leaf,
  timeoutMs: leaf,
};

const RESPONSE_CACHE: Fields = { enabled: leaf, ttlSec: leaf, maxBytes: leaf, maxEntryBytes: leaf };

export const KINDS = ['Dataset', 'Model', 'Endpoint', 'Key', 'Job'] as const;
export type Kind = (typeof KINDS)[number];

/** The fields of `spec`. A list's fields are those of its entries. */
export const SPEC_FIELDS: Readonly<Record<Kind, Fields>> = {
  Dataset: { path: leaf, digest: leaf },
  Model: { description: leaf, path: leaf, files: { path: leaf, digest: leaf }, metrics: leaf, aliases: leaf },
  Endpoint: {
    model: leaf,
    access: leaf,
    scaling: SCALING,
    routing: { stickyHeader: leaf, shadow: SHADOW },
    policy: { auto: leaf, gates: GATE, rollout: ROLLOUT },
    runtime: RUNTIME,
    placement: PLACEMENT,
    payloadLog: PAYLOAD_LOG,
    responseCache: RESPONSE_CACHE,
    version: leaf,
  },
  Key: { role: leaf, expiresAt: leaf },
  Job: {
    model: leaf,
    code: leaf,
    entrypoint: leaf,
    args: leaf,
    requirements: leaf,
    params: leaf,
    env: leaf,
    resources: { cpus: leaf, memoryMb: leaf, gpus: leaf },
    image: leaf,
    replicas: leaf,
    distributed: { framework: leaf, processesPerReplica: leaf },
    timeLimitSec: leaf,
    retries: leaf,
    endpoint: leaf,
  },
};

/** The fields of a whole document. */
export const DOCUMENT_FIELDS: Fields = { apiVersion: leaf, kind: leaf, metadata: { name: leaf }, spec: leaf };

export const API_VERSION = 'sluice/v1';
