/** The same cases on a real Kubernetes with Knative: SLUICE_TEST_KUBECONFIG says where one is. */
import { afterAll, beforeAll, describe } from 'vitest';
import { deleteEndpoint } from '../../src/core/endpoints/store.js';
import { eventually } from '../support/children.js';
import { NO_CLUSTER } from '../support/cluster.js';
import { bringServerImage } from '../support/knative.js';
import { type KnativeBench, openKnativeBench } from '../support/knative-bench.js';
import { type FleetUnderTest, fleetCases, QUEUE_LIMIT } from './fleet-cases.js';

describe.skipIf(NO_CLUSTER)('a fleet on Knative', { timeout: 120_000 }, () => {
  let bench: KnativeBench;
  let operator: { close(): Promise<void> };
  let under: FleetUnderTest;

  beforeAll(async () => {
    await bringServerImage();
    bench = await openKnativeBench('fleet', {}, QUEUE_LIMIT);
    operator = await bench.operator();
    const { fleet, route } = bench;
    under = {
      fleet,
      route,
      async endpoint(name, count, scaling) {
        await bench.endpoint(name, { scaling });
        for (let more = 1; more < count; more++) await bench.revise(name);
        await eventually(() => route(name).revisions.size === count);
        return route(name);
      },
      async broken(name) {
        await bench.endpoint(name, { scaling: { queueTimeoutSec: 15 } }, { env: { FAIL: 'there are no weights' } });
        return route(name);
      },
      move: (name, revision) => bench.traffic(name, { revision, percent: 100 }),
      async remove(name) {
        const { id } = route(name);
        await deleteEndpoint(bench.db, 'default', name, 'test');
        await eventually(() => !fleet.status().some(({ endpointId }) => endpointId === id));
      },
      answeredBy: (body) => Number(/-r(\d+)"/.exec(body)?.[1]),
      call: (_name, workMs) => ({
        method: 'POST',
        path: '/v2/models/model/infer',
        headers: { 'content-type': 'application/json' },
        body: Buffer.from(JSON.stringify({ parameters: { sleepMs: workMs } })),
      }),
    };
  }, 120_000);

  afterAll(async () => {
    await operator?.close();
    await bench?.close();
  }, 60_000);

  fleetCases(() => under);
});
