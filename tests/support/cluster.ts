/** The cluster that SLUICE_TEST_KUBECONFIG names, for tests: namespaces in it, and workers with just their rights. */
import { homedir } from 'node:os';
import { join } from 'node:path';
import { type ClusterAccess, openAccess } from '../../src/platform/kubernetes/access.js';
import { KubernetesApi } from '../../src/platform/kubernetes/api.js';
import type { KubeObject, ResourceKind } from '../../src/platform/kubernetes/objects.js';

/** Undefined: tests that need a cluster are skipped. `npm run cluster -- env` prints one. */
export const KUBECONFIG = process.env.SLUICE_TEST_KUBECONFIG;
/** For `describe.skipIf`. */
export const NO_CLUSTER = KUBECONFIG === undefined;
/** Where tests/cluster keeps the cluster that it makes. */
export const CLUSTER_FOLDER = process.env.SLUICE_TEST_CLUSTER ?? join(homedir(), '.cache', 'sluice-test', 'cluster');

const NAMESPACES: ResourceKind = { apiVersion: 'v1', kind: 'Namespace', plural: 'namespaces', namespaced: false };
const ACCOUNTS: ResourceKind = {
  apiVersion: 'v1',
  kind: 'ServiceAccount',
  plural: 'serviceaccounts',
  namespaced: true,
};
const RBAC = { apiVersion: 'rbac.authorization.k8s.io/v1', namespaced: true };

export interface Namespace {
  readonly access: ClusterAccess;
  readonly api: KubernetesApi;
}

/** A namespace with these accounts of pods, which have no rights. */
export async function makeNamespace(name: string, accounts: readonly string[]): Promise<Namespace> {
  const access = await openAccess({ kubeconfig: KUBECONFIG, service: undefined, namespace: name });
  const api = new KubernetesApi(access);
  await api.create(NAMESPACES, { metadata: { name } });
  for (const account of accounts)
    await api.create(ACCOUNTS, { metadata: { name: account }, automountServiceAccountToken: false });
  return { access, api };
}

export async function removeNamespace(api: KubernetesApi): Promise<void> {
  await api.delete(NAMESPACES, api.namespace);
}

/** API group, resource, verbs. */
export type Rule = readonly [group: string, resource: string, verbs: string];

/** The token of an account with these rights in the namespace, and no others. */
export async function tokenWith(api: KubernetesApi, rules: readonly Rule[]): Promise<string> {
  const name = 'sluice-worker';
  const metadata = { name };
  await api.create(ACCOUNTS, { metadata });
  await api.create(
    { ...RBAC, kind: 'Role', plural: 'roles' },
    {
      metadata,
      rules: rules.map(([group, resource, verbs]) => ({
        apiGroups: [group],
        resources: [resource],
        verbs: verbs.split(' '),
      })),
    },
  );
  await api.create(
    { ...RBAC, kind: 'RoleBinding', plural: 'rolebindings' },
    {
      metadata,
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name },
      subjects: [{ kind: 'ServiceAccount', name, namespace: api.namespace }],
    },
  );
  const { status } = await api.create<KubeObject & { status: { token: string } }>(
    { ...ACCOUNTS, kind: 'TokenRequest', plural: `serviceaccounts/${name}/token` },
    { apiVersion: 'authentication.k8s.io/v1', spec: { expirationSeconds: 3600 } },
  );
  return status.token;
}
