/** Which fields a YAML document may have, by kind. A test holds them against the schemas of the API. */

/** Nested fields; `any` is a value or a list, whose insides the gateway checks. */
export type Fields = { readonly [name: string]: 'any' | Fields };

const any = 'any';

const STEP: Fields = { percent: any, holdSec: any };
const ANALYSIS: Fields = { minRequests: any, maxErrorIncrease: any, maxSlowIncrease: any, slowFactor: any, alpha: any };
const ROLLOUT: Fields = {
  steps: STEP,
  analysis: ANALYSIS,
  maxStepSec: any,
  onInconclusive: any,
  readyTimeoutSec: any,
  bakeSec: any,
};
const GATE: Fields = {
  kind: any,
  name: any,
  min: any,
  max: any,
  dataset: any,
  metric: any,
  maxRegression: any,
  minImprovement: any,
  tolerance: any,
};
const SCALING: Fields = {
  minReplicas: any,
  maxReplicas: any,
  concurrency: any,
  targetUtilization: any,
  stableWindowSec: any,
  scaleDownDelaySec: any,
  scaleToZeroGraceSec: any,
  queueTimeoutSec: any,
  threads: any,
};

export const KINDS = ['Dataset', 'Model', 'Endpoint', 'Key', 'Job'] as const;
export type Kind = (typeof KINDS)[number];

/** The fields of `spec`. A list's fields are those of its entries. */
export const SPEC_FIELDS: Readonly<Record<Kind, Fields>> = {
  Dataset: { path: any, digest: any },
  Model: { description: any, path: any, files: { path: any, digest: any }, metrics: any, aliases: any },
  Endpoint: {
    model: any,
    access: any,
    scaling: SCALING,
    routing: { stickyHeader: any },
    policy: { auto: any, gates: GATE, rollout: ROLLOUT },
    version: any,
  },
  Key: { role: any, expiresAt: any },
  Job: {
    model: any,
    code: any,
    entrypoint: any,
    args: any,
    requirements: any,
    params: any,
    env: any,
    resources: { cpus: any, memoryMb: any, gpus: any },
    timeLimitSec: any,
    retries: any,
    endpoint: any,
  },
};

/** The fields of a whole document. */
export const DOCUMENT_FIELDS: Fields = { apiVersion: any, kind: any, metadata: { name: any }, spec: any };

export const API_VERSION = 'sluice/v1';
