/** Which fields a YAML document may have, by kind. A test holds them against the schemas of the API. */

/** Nested fields; `leaf` is a value or a list, whose insides the gateway checks. */
export type Fields = { readonly [name: string]: 'leaf' | Fields };

const leaf = 'leaf';

const STEP: Fields = {
  percent: leaf,
  shadowPercent: leaf,
  holdSec: leaf,
  analyse: leaf,
  pause: { durationSec: leaf },
  scale: { replicas: leaf },
  analysis: { minRequests: leaf },
};
const METRIC: Fields = {
  kind: leaf,
  name: leaf,
  weight: leaf,
  maxIncrease: leaf,
  quantile: leaf,
  slowFactor: leaf,
  output: leaf,
  maxDistance: leaf,
  maxDisagreement: leaf,
  maxDecrease: leaf,
  query: leaf,
  url: leaf,
  min: leaf,
  max: leaf,
  intervalSec: leaf,
  failureLimit: leaf,
};
const ANALYSIS: Fields = {
  metrics: METRIC,
  minRequests: leaf,
  minStableRequests: leaf,
  warmupRequests: leaf,
  warmupSec: leaf,
  alpha: leaf,
};
const ROLLOUT: Fields = {
  strategy: leaf,
  steps: STEP,
  blueGreen: { replicas: leaf, shadowPercent: leaf, previewSec: leaf, autoSwitch: leaf, holdSec: leaf },
  surge: leaf,
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
  output: leaf,
  confidence: leaf,
  slices: {
    name: leaf,
    column: leaf,
    input: leaf,
    at: leaf,
    where: { equals: leaf, min: leaf, max: leaf },
    min: leaf,
    max: leaf,
    maxRegression: leaf,
  },
  quantile: leaf,
  maxMs: leaf,
  maxRatio: leaf,
  requests: leaf,
  warmup: leaf,
  rows: leaf,
  maxMb: leaf,
  url: leaf,
  timeoutSec: leaf,
  retries: leaf,
};
const POLICY: Fields = {
  auto: leaf,
  triggers: { on: leaf, job: leaf, alias: leaf, cron: leaf, timezone: leaf, version: leaf },
  gates: GATE,
  approval: { kind: leaf, expirySec: leaf, by: leaf },
  newestWins: leaf,
  rollout: ROLLOUT,
};
const MATCH: Fields = { exact: leaf, prefix: leaf, regex: leaf };
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

const BANDIT: Fields = {
  enabled: leaf,
  reward: leaf,
  arms: leaf,
  intervalSec: leaf,
  minPercent: leaf,
  minChangePercent: leaf,
  minHoldSec: leaf,
  windowSec: leaf,
  prior: { good: leaf, bad: leaf },
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

const ROUTING: Fields = {
  stickyHeader: leaf,
  sticky: { by: leaf, name: leaf },
  rules: {
    name: leaf,
    when: { headers: leaf, cookies: leaf, claims: leaf, key: MATCH, project: MATCH },
    to: { revision: leaf, tag: leaf, targets: { revision: leaf, percent: leaf } },
  },
  claimsHeader: leaf,
  outputs: leaf,
  shadow: SHADOW,
  feedback: { enabled: leaf, maxAgeSec: leaf },
  resilience: {
    retry: { budgetPercent: leaf, minConcurrent: leaf, maxAttempts: leaf },
    outliers: { consecutiveFailures: leaf, ejectionSec: leaf, maxEjectionSec: leaf, maxEjectionPercent: leaf },
    hedge: { afterMs: leaf, afterQuantile: leaf, maxPercent: leaf },
    fallback: { revision: leaf, tag: leaf },
  },
  bandit: BANDIT,
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
    routing: ROUTING,
    policy: POLICY,
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
