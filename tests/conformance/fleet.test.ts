import { afterAll, describe } from 'vitest';
import { systemClock } from '../../src/clock.js';
import type { EndpointRoute } from '../../src/core/inference/route.js';
import { ProcessFleet } from '../../src/platform/fleet/process-fleet.js';
import { endpointOf, makeSpares, revisionOf, slowCall } from '../support/fleet-bench.js';
import { artifactsAt, launcherOf } from '../support/launcher.js';
import { quietLog } from '../support/quiet-log.js';
import { modelPath } from '../support/runtime.js';
import { type FleetUnderTest, fleetCases, QUEUE_LIMIT } from './fleet-cases.js';

/** Steps of slow.onnx in a millisecond, about. */
const STEPS = 1;

describe('a fleet of processes', { timeout: 60_000 }, () => {
  const spares = makeSpares(0);
  const fleet = new ProcessFleet({
    launcher: launcherOf(
      spares,
      artifactsAt((file) => modelPath(file)),
    ),
    clock: systemClock,
    log: quietLog,
    queueLimit: QUEUE_LIMIT,
    onStatus: () => {},
    onColdStart: () => {},
  });
  const routes = new Map<string, EndpointRoute>();
  const put = (name: string, file: string, count: number, scaling: object) => {
    const revisions = Array.from({ length: count }, (_, at) => ({
      ...revisionOf(file, scaling, at + 1),
      key: `${name}/${at + 1}`,
      endpointId: name,
      endpoint: name,
    }));
    const route = { ...endpointOf(...revisions), id: name, name };
    routes.set(name, route);
    fleet.sync(route);
    return route;
  };
  const route = (name: string): EndpointRoute => {
    const found = routes.get(name);
    if (!found) throw new Error(`no endpoint ${name}`);
    return found;
  };
  const bench: FleetUnderTest = {
    fleet,
    endpoint: async (name, count, scaling) => put(name, 'slow.onnx', count, scaling),
    broken: async (name) => put(name, 'corrupt.onnx', 1, {}),
    route,
    async move(name, number) {
      const { targets, revisions, ...rest } = route(name);
      const revision = revisions.get(number);
      if (!revision) throw new Error(`no revision ${number}`);
      const moved = { ...rest, revisions, targets: [{ revision, percent: 100, tag: undefined }] };
      routes.set(name, moved);
      fleet.sync(moved);
    },
    remove: async (name) => fleet.forget(name),
    answeredBy: () => undefined,
    call: (name, workMs) => {
      const { body, ...rest } = slowCall(Math.max(1, workMs * STEPS));
      const path = `/v2/models/${name}/infer`;
      return { ...rest, path, body };
    },
  };
  afterAll(() => fleet.close());
  fleetCases(() => bench);
});
