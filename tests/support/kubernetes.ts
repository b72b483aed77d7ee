/** A real cluster for tests, where one is named: SLUICE_TEST_KUBECONFIG, and SLUICE_TEST_INGRESS_URL for Knative's ingress. */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { afterAll } from 'vitest';
import { openAccess } from '../../src/platform/kubernetes/access.js';
import { KubernetesApi } from '../../src/platform/kubernetes/api.js';
import type { ResourceKind } from '../../src/platform/kubernetes/objects.js';

export const kubeconfig = process.env.SLUICE_TEST_KUBECONFIG ?? '';
export const ingressUrl = process.env.SLUICE_TEST_INGRESS_URL ?? 'http://127.0.0.1:18080';

/** Why tests of a cluster do not run; undefined when they do. */
export const whyNoCluster = kubeconfig === '' ? 'no cluster: SLUICE_TEST_KUBECONFIG is not set' : undefined;

const NAMESPACES: ResourceKind = { apiVersion: 'v1', kind: 'Namespace', plural: 'namespaces', namespaced: false };
const ACCOUNTS: ResourceKind = {
  apiVersion: 'v1',
  kind: 'ServiceAccount',
  plural: 'serviceaccounts',
  namespaced: true,
};

export interface TestNamespace {
  readonly name: string;
  readonly api: KubernetesApi;
}

const closers: (() => Promise<void>)[] = [];
afterAll(async () => {
  for (const close of closers.splice(0)) await close();
});

/** A namespace with the accounts of pods; it goes after the file's tests. */
export async function testNamespace(part: string): Promise<TestNamespace> {
  const name = `sluice-test-${part}-${randomBytes(3).toString('hex')}`;
  const api = new KubernetesApi(await openAccess({ kubeconfig, service: undefined, namespace: name }));
  await api.create(NAMESPACES, { metadata: { name } });
  closers.push(async () => {
    await api.delete(NAMESPACES, name);
    await api.close();
  });
  for (const account of ['sluice-runtime', 'sluice-job']) await api.create(ACCOUNTS, { metadata: { name: account } });
  return { name, api };
}

/** kubectl's own way, for what tests do by hand. */
export async function kubectl(args: readonly string[]): Promise<string> {
  const [program = 'kubectl', ...first] = (process.env.SLUICE_TEST_KUBECTL ?? 'kubectl').split(' ');
  return (await promisify(execFile)(program, [...first, '--kubeconfig', kubeconfig, ...args])).stdout;
}
