/** A fleet of real model servers over fixture models. */
import { type Clock, systemClock } from '../../src/clock.js';
import { scalingSchema } from '../../src/core/endpoints/endpoint.js';
import { DEFAULT_PLACEMENT } from '../../src/core/endpoints/placement.js';
import { DEFAULT_RUNTIME } from '../../src/core/endpoints/runtime.js';
import type { EndpointRoute, RevisionRoute } from '../../src/core/inference/route.js';
import { ProcessFleet } from '../../src/platform/fleet/process-fleet.js';
import { Spares } from '../../src/platform/fleet/spares.js';
import { artifactsAt, launcherOf } from './launcher.js';
import { quietLog } from './quiet-log.js';
import { inferBody, modelPath, RUNTIME_SCRIPT } from './runtime.js';

export interface FleetBench {
  readonly fleet: ProcessFleet;
  readonly spares: Spares;
  /** Milliseconds of each cold start. */
  readonly coldStarts: number[];
}

export function makeSpares(count: number, clock: Clock = systemClock, script = RUNTIME_SCRIPT): Spares {
  return new Spares({
    script,
    maxBodyBytes: 1 << 20,
    drainMs: 5000,
    startTimeoutMs: 30_000,
    env: { PATH: '/usr/bin:/bin' },
    log: quietLog,
    clock,
    count,
  });
}

interface FleetOptions {
  readonly spares?: number;
  /** Of the fleet's decisions; the spares keep the machine's time. */
  readonly clock?: Clock;
  /** Where a bundled program finds what lies beside this file. */
  readonly script?: string;
  readonly model?: string;
}

/** The model of a revision is the fixture that its artifact's first file names. */
export function makeFleet(options: FleetOptions = {}): FleetBench {
  const clock = options.clock ?? systemClock;
  const coldStarts: number[] = [];
  const spares = makeSpares(options.spares ?? 0, systemClock, options.script);
  spares.start();
  const fleet = new ProcessFleet({
    launcher: launcherOf(
      spares,
      artifactsAt((file) => options.model ?? modelPath(file)),
    ),
    clock,
    log: quietLog,
    queueLimit: 1000,
    onStatus: () => {},
    onColdStart: (_route, waitMs) => void coldStarts.push(waitMs),
  });
  return { fleet, spares, coldStarts };
}

export function revisionOf(file: string, scaling: object = {}, number = 1): RevisionRoute {
  return {
    key: `ep/${number}`,
    endpointId: 'ep',
    endpoint: 'model',
    number,
    modelVersion: number,
    artifact: { digest: 'sha256:0', bytes: 0, files: [{ path: file, digest: 'sha256:0', bytes: 0 }] },
    framework: 'onnx',
    signature: { inputs: [], outputs: [] },
    scaling: scalingSchema.parse(scaling),
    runtime: DEFAULT_RUNTIME,
    server: undefined,
    placement: DEFAULT_PLACEMENT,
    warmUntilMs: 0,
  };
}

/** An endpoint whose first revision has all the traffic. */
export function endpointOf(...revisions: readonly RevisionRoute[]): EndpointRoute {
  return {
    id: 'ep',
    project: 'default',
    name: 'model',
    access: 'key',
    suspended: false,
    generation: 1,
    targets: revisions.slice(0, 1).map((revision) => ({ revision, percent: 100, tag: undefined })),
    revisions: new Map(revisions.map((revision) => [revision.number, revision])),
  };
}

function infer(body: string) {
  const headers = { 'content-type': 'application/json' };
  return { method: 'POST', path: '/v2/models/model/infer', headers, body: Buffer.from(body) };
}

/** For add.onnx. */
export const addCall = infer(
  JSON.stringify({
    inputs: [
      { name: 'a', datatype: 'FP32', shape: [1, 2], data: [1, 2] },
      { name: 'b', datatype: 'FP32', shape: [1, 2], data: [3, 4] },
    ],
  }),
);
/** For slow.onnx. */
export const slowCall = (steps: number) => infer(inferBody('steps', 'INT64', [], [steps]));
