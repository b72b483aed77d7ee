/** Tokens that a real kubelet projects into pods, reviewed by a real API server. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock.js';
import { JOB_ACCOUNT, RUNTIME_ACCOUNT, serviceName } from '../../src/core/cluster-names.js';
import type { PodIdentity } from '../../src/core/pods/identity.js';
import type { KubernetesApi } from '../../src/platform/kubernetes/api.js';
import { PODS, type Pod } from '../../src/platform/kubernetes/objects.js';
import { ReviewedTokens } from '../../src/platform/kubernetes/token-review.js';
import { eventually } from '../support/children.js';
import { makeNamespace, NO_CLUSTER, removeNamespace } from '../support/cluster.js';
import { quietLog } from '../support/quiet-log.js';
import { check, digestOf, modelBytes } from '../support/scenario.js';
import { type TestGateway, testGateway } from '../support/test-services.js';

/** Any with Python. */
const image = process.env.SLUICE_TEST_JOB_IMAGE ?? 'dev.local/sluice-job:test';

/** The kubelet starts containers in its own time. */
const STARTED_MS = 90_000;

const title = NO_CLUSTER ? 'tokens of pods (skipped: SLUICE_TEST_KUBECONFIG is not set)' : 'tokens of pods';
describe.skipIf(NO_CLUSTER)(title, () => {
  const namespace = `pods-${Math.random().toString(36).slice(2, 8)}`;
  let api: KubernetesApi;
  let gateway: TestGateway;
  let add: Buffer;
  let service: string;
  const fresh = (): PodIdentity => new ReviewedTokens({ api, clock: systemClock, log: quietLog });

  beforeAll(async () => {
    ({ api } = await makeNamespace(namespace, [RUNTIME_ACCOUNT, JOB_ACCOUNT, 'other']));
    gateway = await testGateway({}, { pods: fresh() });
    add = await modelBytes('add.onnx');
    await check(gateway, { method: 'POST', url: '/models/sums/versions', body: add, status: 201 });
    const endpoint = { name: 'sum', model: 'sums', version: 1 };
    await check(gateway, { method: 'POST', url: '/endpoints', body: endpoint, status: 201 });
    await gateway.services.routing.reload(gateway.db);
    const { id } = await gateway.db.selectFrom('endpoints').select('id').executeTakeFirstOrThrow();
    service = serviceName('sum', id);
  });
  afterAll(async () => {
    if (api) await removeNamespace(api);
    await api?.close();
  });

  /** Runs a pod, and has the token that was projected into it. */
  async function tokenOf(name: string, account: string, audience: string): Promise<string> {
    const show = 'print(open("/var/run/sluice/token").read(), flush=True); import time; time.sleep(600)';
    await api.create(PODS, {
      metadata: { name },
      spec: {
        serviceAccountName: account,
        automountServiceAccountToken: false,
        terminationGracePeriodSeconds: 0,
        containers: [
          {
            name: 'show',
            image,
            imagePullPolicy: 'IfNotPresent',
            command: ['python3', '-c', show],
            volumeMounts: [{ name: 'token', mountPath: '/var/run/sluice', readOnly: true }],
          },
        ],
        volumes: [
          {
            name: 'token',
            projected: { sources: [{ serviceAccountToken: { audience, expirationSeconds: 600, path: 'token' } }] },
          },
        ],
      },
    });
    await eventually(async () => (await api.get<Pod>(PODS, name))?.status?.phase === 'Running', STARTED_MS);
    for await (const line of api.logs(name, { follow: true }, AbortSignal.timeout(STARTED_MS))) return line;
    throw new Error(`pod ${name} printed nothing`);
  }

  const podName = (revision: number) => `${service}-r${revision}-deployment-7d9c5b8f6d-x2k9p`;
  const model = (token: string) =>
    gateway.app.request('/pods/v1/model', { headers: { authorization: `Bearer ${token}` } });

  it('let a pod have its model, and no longer than it is there', async () => {
    const token = await tokenOf(podName(1), 'sluice-runtime', 'sluice');
    const pod = await api.get<Pod>(PODS, podName(1));
    expect(await fresh().verify(token)).toEqual({
      namespace,
      serviceAccount: 'sluice-runtime',
      pod: podName(1),
      podUid: pod?.metadata.uid,
    });
    const told = await model(token);
    expect([told.status, await told.json()]).toMatchObject([200, { name: 'sum', files: [{ digest: digestOf(add) }] }]);

    await api.delete(PODS, podName(1), { gracePeriodSec: 0 });
    await eventually(async () => (await api.get(PODS, podName(1))) === undefined, STARTED_MS);
    const gone = { code: 'unauthenticated' };
    await eventually(
      () =>
        fresh()
          .verify(token)
          .then(
            () => false,
            () => true,
          ),
      STARTED_MS,
    );
    await expect(fresh().verify(token)).rejects.toMatchObject(gone);
  }, 240_000);

  it('are refused that are for another audience, also when they say otherwise', async () => {
    const token = await tokenOf(podName(2), 'sluice-runtime', 'vault');
    await expect(fresh().verify(token)).rejects.toMatchObject({
      code: 'unauthenticated',
      message: expect.stringContaining('its audience is ["vault"]'),
    });
    const [head, content = '', signature] = token.split('.');
    const claims = { ...JSON.parse(Buffer.from(content, 'base64url').toString()), aud: ['sluice'] };
    const forged = [head, Buffer.from(JSON.stringify(claims)).toString('base64url'), signature].join('.');
    await expect(fresh().verify(forged)).rejects.toMatchObject({
      code: 'unauthenticated',
      message: expect.stringContaining('invalid bearer token'),
    });
  }, 240_000);

  it('are refused that are of another account', async () => {
    const token = await tokenOf(podName(3), 'other', 'sluice');
    const response = await model(token);
    expect([response.status, await response.text()]).toEqual([
      403,
      expect.stringContaining('service account \\"other\\"'),
    ]);
  }, 240_000);
});
