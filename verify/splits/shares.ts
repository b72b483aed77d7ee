import { DEFAULT_PLACEMENT } from '../../src/core/endpoints/placement.js';
import { DEFAULT_RUNTIME } from '../../src/core/endpoints/runtime.js';
import type { EndpointRoute, RevisionRoute } from '../../src/core/inference/route.js';

/** An endpoint whose revisions 1, 2, … get these percents. */
export function endpointWith(percents: readonly number[]): EndpointRoute {
  const revisions = new Map(percents.map((_, at) => [at + 1, revision(at + 1)]));
  return {
    id: 'ep_splits',
    project: 'default',
    name: 'splits',
    access: 'public',
    suspended: false,
    generation: 1,
    targets: [...revisions.values()].map((route, at) => ({
      revision: route,
      percent: percents[at] ?? 0,
      tag: undefined,
    })),
    revisions,
  };
}

/** The count that is furthest from its share, in standard deviations of the binomial distribution. */
export function worstZ(percents: readonly number[], counts: readonly number[]): number {
  const n = counts.reduce((sum, value) => sum + value, 0);
  return Math.max(
    ...percents.map((percent, at) => {
      const p = percent / 100;
      return Math.abs((counts[at] ?? 0) - n * p) / Math.sqrt(n * p * (1 - p));
    }),
  );
}

function revision(number: number): RevisionRoute {
  return {
    key: `ep_splits/${number}`,
    endpointId: 'ep_splits',
    endpoint: 'splits',
    number,
    modelVersion: number,
    artifact: { digest: 'sha256:', bytes: 0, files: [] },
    framework: 'onnx',
    signature: { inputs: [], outputs: [] },
    scaling: {
      minReplicas: 0,
      maxReplicas: 1,
      concurrency: 1,
      targetUtilization: 0.7,
      stableWindowSec: 60,
      scaleDownDelaySec: 0,
      scaleToZeroGraceSec: 30,
      queueTimeoutSec: 30,
      maxQueueDelayMs: 1000,
      threads: 1,
    },
    runtime: DEFAULT_RUNTIME,
    server: undefined,
    placement: DEFAULT_PLACEMENT,
    warmUntilMs: 0,
  };
}
