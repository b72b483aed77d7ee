/** Endpoints on a real Knative: a platform of this machine whose fleet is the cluster, with a server image that is no model's. */
import { beforeAll, describe, expect, it } from 'vitest';
import { AUTOSCALERS, type KnativeService, MIN_SCALE, REVISIONS, SERVICES } from '../../src/platform/knative/kinds.js';
import type { KubeObject } from '../../src/platform/kubernetes/objects.js';
import { eventually } from '../support/children.js';
import { ingressUrl, kubeconfig, type TestNamespace, testNamespace, whyNoCluster } from '../support/kubernetes.js';
import { type PlatformProcess, startPlatformProcess } from '../support/platform-process.js';

const SLOW = 120_000;
const IMAGE = 'dev.local/hello:1';

describe.skipIf(whyNoCluster !== undefined)('endpoints on Knative', () => {
  let namespace: TestNamespace;
  let platform: PlatformProcess;

  beforeAll(async () => {
    namespace = await testNamespace('fleet');
    platform = await startPlatformProcess({
      SLUICE_FLEET: 'knative',
      SLUICE_JOBS: 'processes',
      KUBECONFIG: kubeconfig,
      SLUICE_KUBERNETES_NAMESPACE: namespace.name,
      SLUICE_KNATIVE_INGRESS_URL: ingressUrl,
      SLUICE_RUNTIME_IMAGE: 'dev.local/absent:1',
      SLUICE_PODS_URL: 'http://127.0.0.1:1',
    });
  }, SLOW);

  async function version(model: string, target: string, image = IMAGE): Promise<number> {
    const { client } = platform;
    if (!(await client.exists(`/api/v1/models/${model}`)))
      await client.post('/api/v1/models', { json: { name: model } });
    const server = { image, port: 8080, readyPath: '/', env: { TARGET: target } };
    const { body } = await client.post<{ version: number }>(`/api/v1/models/${model}/versions`, { json: { server } });
    return body.version;
  }

  async function serve(name: string, settings: Readonly<Record<string, unknown>> = {}): Promise<void> {
    const number = await version(name, 'one');
    await platform.client.post('/api/v1/endpoints', {
      json: { name, model: name, version: number, placement: { cpus: 0.05, memoryMb: 64 }, ...settings },
    });
  }

  const predict = async (name: string, headers: Readonly<Record<string, string>> = {}) =>
    platform.client.post(`/v2/models/${name}/infer`, { json: { inputs: [] }, headers });

  const traffic = (name: string, targets: readonly { revision: number; percent: number }[]) =>
    platform.client.put(`/api/v1/endpoints/${name}/traffic`, { json: { targets } });

  const serviceOf = async (name: string): Promise<KnativeService> => {
    const { items } = await namespace.api.list<KnativeService>(SERVICES, {
      labelSelector: `sluice.dev/endpoint=${name}`,
    });
    return items[0] as KnativeService;
  };

  it(
    'answer through the gateway, the first request waiting until they can',
    async () => {
      await serve('first');
      expect((await predict('first')).text).toContain('one');
    },
    SLOW,
  );

  it(
    'move their traffic between two Revisions, and Knative is told the same',
    async () => {
      await serve('moving');
      await predict('moving');
      const number = await version('moving', 'two');
      await platform.client.post('/api/v1/endpoints/moving/revisions', { json: { version: number } });
      await traffic('moving', [
        { revision: 1, percent: 69.6 },
        { revision: 2, percent: 30.4 },
      ]);
      expect((await predict('moving', { 'sluice-revision': '2' })).text).toContain('two');
      await eventually(async () => {
        const percents = (await serviceOf('moving')).status?.traffic?.map(
          ({ percent = 0, tag }) => `${tag} ${percent}`,
        );
        return percents?.sort().join() === 'r1 70,r2 30';
      }, SLOW);
      await traffic('moving', [{ revision: 2, percent: 100 }]);
      expect((await predict('moving')).text).toContain('two');
      expect((await predict('moving', { 'sluice-revision': '1' })).text).toContain('one');
    },
    SLOW,
  );

  it(
    'keep so many pods as their settings say, without new pods when that changes',
    async () => {
      await serve('warm', { scaling: { minReplicas: 1, maxReplicas: 1 } });
      await predict('warm');
      const floor = async () =>
        (await namespace.api.list<KubeObject>(AUTOSCALERS, { labelSelector: 'sluice.dev/endpoint=warm' })).items.map(
          ({ metadata }) => metadata.annotations?.[MIN_SCALE] ?? '0',
        );
      await eventually(async () => (await floor()).join() === '1', SLOW);
    },
    SLOW,
  );

  it(
    'are restored when somebody edits or deletes them by hand',
    async () => {
      await serve('healing');
      await predict('healing');
      const before = await serviceOf('healing');
      await namespace.api.patch(SERVICES, before.metadata.name, {
        spec: { traffic: [{ latestRevision: true, percent: 100 }] },
      });
      await eventually(async () => (await serviceOf('healing')).spec.traffic?.[0]?.tag === 'r1', SLOW);
      await namespace.api.delete(SERVICES, before.metadata.name);
      await eventually(async () => {
        const service = await serviceOf('healing');
        return service !== undefined && service.metadata.uid !== before.metadata.uid;
      }, SLOW);
      expect((await predict('healing')).text).toContain('one');
    },
    SLOW,
  );

  it(
    'go with their Service and all of its Revisions when they are deleted',
    async () => {
      await serve('leaving');
      await predict('leaving');
      await platform.client.delete('/api/v1/endpoints/leaving');
      await eventually(async () => (await serviceOf('leaving')) === undefined, SLOW);
      await eventually(
        async () =>
          (await namespace.api.list(REVISIONS, { labelSelector: 'sluice.dev/endpoint=leaving' })).items.length === 0,
        SLOW,
      );
    },
    SLOW,
  );

  it(
    'say in words why they do not answer',
    async () => {
      const number = await version('absent', 'one', 'dev.local/never-made:1');
      await platform.client.post('/api/v1/endpoints', {
        json: { name: 'absent', model: 'absent', version: number, scaling: { queueTimeoutSec: 20 } },
      });
      await expect(predict('absent')).rejects.toThrow(/never-made:1 cannot be pulled/);
    },
    SLOW,
  );
});
