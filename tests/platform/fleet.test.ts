import { afterEach, expect, test } from 'vitest';
import { systemClock } from '../../src/clock.js';
import { scalingSchema } from '../../src/core/endpoints/endpoint.js';
import { DEFAULT_PLACEMENT } from '../../src/core/endpoints/placement.js';
import { DEFAULT_RUNTIME } from '../../src/core/endpoints/runtime.js';
import type { EndpointRoute, RevisionRoute } from '../../src/core/inference/route.js';
import { ProcessFleet } from '../../src/platform/fleet/process-fleet.js';
import { createSandbox } from '../../src/platform/fleet/sandbox.js';
import { Spares } from '../../src/platform/fleet/spares.js';
import { eventually } from '../support/children.js';
import { artifactsAt, launcherOf } from '../support/launcher.js';
import { predictionOf } from '../support/predictions.js';
import { quietLog } from '../support/quiet-log.js';
import { inferBody, modelPath, RUNTIME_SCRIPT } from '../support/runtime.js';

const fleets: ProcessFleet[] = [];
afterEach(async () => {
  for (const fleet of fleets.splice(0)) await fleet.close();
});

function makeSpares(count: number): Spares {
  return new Spares({
    script: RUNTIME_SCRIPT,
    maxBodyBytes: 1 << 20,
    drainMs: 500,
    startTimeoutMs: 30_000,
    env: { PATH: '/usr/bin:/bin' },
    log: quietLog,
    clock: systemClock,
    count,
  });
}

const digits = artifactsAt(() => modelPath('digits.onnx'));

function startFleet(): ProcessFleet {
  const spares = makeSpares(1);
  spares.start();
  const fleet = new ProcessFleet({
    launcher: launcherOf(spares, digits),
    clock: systemClock,
    log: quietLog,
    queueLimit: 1000,
    onStatus: () => {},
    onColdStart: () => {},
  });
  fleets.push(fleet);
  return fleet;
}

const revision: RevisionRoute = {
  key: 'ep/1',
  endpointId: 'ep',
  endpoint: 'digits',
  number: 1,
  modelVersion: 1,
  artifact: { digest: 'sha256:0', bytes: 0, files: [] },
  framework: 'onnx',
  signature: { inputs: [], outputs: [] },
  scaling: scalingSchema.parse({ minReplicas: 1, maxReplicas: 1 }),
  runtime: DEFAULT_RUNTIME,
  server: undefined,
  placement: DEFAULT_PLACEMENT,
  warmUntilMs: 0,
};
const endpoint: EndpointRoute = {
  id: 'ep',
  project: 'default',
  name: 'digits',
  access: 'key',
  suspended: false,
  generation: 1,
  targets: [{ revision, percent: 100, tag: undefined }],
  revisions: new Map([[1, revision]]),
};
const call = {
  method: 'POST',
  path: '/v2/models/digits/infer',
  headers: { 'content-type': 'application/json' },
  body: Buffer.from(inferBody('X', 'FP32', [1, 64], new Array<number>(64).fill(1))),
};

test('kill -9 of a model server loses no prediction: what was in flight and what comes before its end is known', async () => {
  const fleet = startFleet();
  fleet.sync(endpoint);
  const pid = () => fleet.status()[0]?.replicas.find(({ state }) => state === 'ready')?.pid;
  await eventually(() => typeof pid() === 'number', 20_000);
  const statuses: Promise<number>[] = [];
  const ask = () =>
    statuses.push(
      predictionOf(fleet, revision, call, { timeoutMs: 20_000, idempotent: true }).reply.then((r) => r.status),
    );
  for (let at = 0; at < 300; at++) ask();
  await new Promise((resolve) => setTimeout(resolve, 2));
  process.kill(pid() ?? 0, 'SIGKILL');
  for (const until = Date.now() + 500; Date.now() < until; await new Promise((resolve) => setTimeout(resolve, 1)))
    ask();
  const counts = new Map<number, number>();
  for (const status of await Promise.all(statuses)) counts.set(status, (counts.get(status) ?? 0) + 1);
  expect([...counts]).toEqual([[200, statuses.length]]);
});

test('a model is not to blame for a killed model server, unless each one dies with it', async () => {
  const spares = makeSpares(0);
  let kills = 2;
  const take = spares.take.bind(spares);
  spares.take = async () => {
    const runtime = await take();
    if (kills-- > 0) process.kill(runtime.pid, 'SIGKILL');
    return runtime;
  };
  const sandbox = createSandbox(launcherOf(spares, digits));
  const inputs = () => sandbox.withModel(revision, async ({ signature }) => signature.inputs[0]?.name);
  expect(await inputs()).toBe('X');
  kills = 3;
  await expect(inputs()).rejects.toMatchObject({ code: 'invalid', message: expect.stringContaining('SIGKILL') });
  await sandbox.close();
});
