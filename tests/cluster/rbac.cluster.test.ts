/** What the service accounts may do, asked of a real API server: each right that is needed, and what must be refused. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { NO_CLUSTER } from '../support/cluster.js';
import { kubectl } from '../support/kubectl.js';

const suffix = Math.random().toString(36).slice(2, 8);
const home = `sluice-${suffix}`;
const models = `sluice-models-${suffix}`;

/** verb and resource → where: the models' namespace, Sluice's own, another one, or the cluster. */
type Right = readonly [verbs: string, resources: string, where: 'models' | 'home' | 'default' | 'cluster'];

const WORKER: readonly Right[] = [
  ['get list watch create patch delete', 'services.serving.knative.dev', 'models'],
  ['get list watch delete', 'revisions.serving.knative.dev', 'models'],
  ['get list watch patch', 'podautoscalers.autoscaling.internal.knative.dev', 'models'],
  ['get list watch create patch delete', 'jobs.batch', 'models'],
  ['create', 'services', 'models'],
  ['get list watch', 'pods events', 'models'],
  ['get', 'pods/log', 'models'],
];

/** Of no use to anybody who does what Sluice does, and of much use to whoever takes it over. */
const NOBODY: readonly Right[] = [
  ['get list patch update delete', 'services endpoints', 'models'],
  ['get list watch create patch update delete', 'secrets configmaps', 'models'],
  ['get list watch create patch update delete', 'secrets configmaps pods', 'home'],
  ['get list watch create patch update delete', 'secrets pods services.serving.knative.dev jobs.batch', 'default'],
  ['create patch update delete', 'pods deployments.apps daemonsets.apps', 'models'],
  ['create', 'pods/exec pods/attach pods/portforward pods/ephemeralcontainers serviceaccounts/token', 'models'],
  ['create patch update delete', 'serviceaccounts networkpolicies.networking.k8s.io', 'models'],
  ['create patch update delete bind escalate', 'roles.rbac.authorization.k8s.io', 'models'],
  ['create patch update delete', 'rolebindings.rbac.authorization.k8s.io', 'models'],
  ['bind escalate create patch', 'clusterroles.rbac.authorization.k8s.io', 'cluster'],
  ['create patch', 'clusterrolebindings.rbac.authorization.k8s.io', 'cluster'],
  ['get list watch patch', 'nodes persistentvolumes', 'cluster'],
  ['get', 'nodes/proxy', 'cluster'],
  ['create patch delete', 'namespaces customresourcedefinitions.apiextensions.k8s.io', 'cluster'],
  ['create patch', 'validatingwebhookconfigurations.admissionregistration.k8s.io', 'cluster'],
  ['impersonate', 'users groups serviceaccounts', 'cluster'],
];

const TOKEN_REVIEWS: Right = ['create', 'tokenreviews.authentication.k8s.io', 'cluster'];

const ACCOUNTS = {
  gateway: { name: `${home}:sluice-gateway`, may: [TOKEN_REVIEWS] },
  worker: { name: `${home}:sluice-worker`, may: WORKER },
  runtime: { name: `${models}:sluice-runtime`, may: [] },
  job: { name: `${models}:sluice-job`, may: [] },
} as const;

const each = (rights: readonly Right[]) =>
  rights.flatMap(([verbs, resources, where]) =>
    verbs.split(' ').flatMap((verb) => resources.split(' ').map((resource) => ({ verb, resource, where }))),
  );

const NAMESPACE = { models, home, default: 'default', cluster: undefined };

/** Those of the rights that the account has, as words. */
async function held(account: string, rights: readonly Right[]): Promise<string[]> {
  const wanted = each(rights);
  const items = wanted.map(({ verb, resource, where }) => {
    const [full = '', subresource] = resource.split('/');
    const [name, ...group] = full.split('.');
    const namespace = NAMESPACE[where];
    return {
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SubjectAccessReview',
      spec: {
        user: `system:serviceaccount:${account}`,
        groups: ['system:serviceaccounts', `system:serviceaccounts:${account.split(':')[0]}`, 'system:authenticated'],
        resourceAttributes: {
          verb,
          group: group.join('.'),
          resource: name,
          ...(subresource === undefined ? {} : { subresource }),
          ...(namespace === undefined ? {} : { namespace }),
        },
      },
    };
  });
  const list = { apiVersion: 'v1', kind: 'List', items };
  const answer = await kubectl(['create', '-o', 'jsonpath={.status.allowed}{"\\n"}', '-f', '-'], JSON.stringify(list));
  expect(answer.stderr).toBe('');
  const answers = answer.stdout.trim().split('\n');
  expect(answers).toHaveLength(wanted.length);
  return wanted
    .filter((_, at) => answers[at] === 'true')
    .map(({ verb, resource, where }) => `${verb} ${resource} (${where})`);
}

const words = (rights: readonly Right[]) => each(rights).map((one) => `${one.verb} ${one.resource} (${one.where})`);

describe.skipIf(NO_CLUSTER)('rights on a cluster (SLUICE_TEST_KUBECONFIG)', () => {
  beforeAll(async () => {
    for (const name of [home, models]) expect(await kubectl(['create', 'namespace', name])).toMatchObject({ code: 0 });
    const rendered = await kubectl(['kustomize', 'deploy/knative/base']);
    const access = rendered.stdout
      .split('\n---\n')
      .filter((text) => /^kind: (ServiceAccount|(Cluster)?Role(Binding)?)$/m.test(text))
      .join('\n---\n')
      .replace(/\bnamespace: sluice-models$/gm, `namespace: ${models}`)
      .replace(/\bnamespace: sluice$/gm, `namespace: ${home}`)
      // what belongs to the whole cluster must not be that of a Sluice that runs on it
      .replace(/(kind: ClusterRole(?:Binding)?\nmetadata:\n(?: {2}.*\n)*? {2}name: )sluice-gateway/g, `$1${home}`)
      .replace(/(kind: ClusterRole\n {2}name: )sluice-gateway/g, `$1${home}`);
    const applied = await kubectl(['apply', '--server-side', '-f', '-'], access);
    expect(applied).toMatchObject({ code: 0, stderr: '' });
  });

  afterAll(async () => {
    await kubectl(['delete', 'clusterrole,clusterrolebinding', home, '--ignore-not-found']);
    await Promise.all([home, models].map((name) => kubectl(['delete', 'namespace', name, '--wait=false'])));
  });

  it.each(Object.entries(ACCOUNTS))('%s may do what it must', async (_, { name, may }) => {
    if (may.length > 0) expect(await held(name, may)).toEqual(words(may));
  });

  it.each(Object.entries(ACCOUNTS))('%s may do nothing else', async (_, { name, may }) => {
    const mayWords = new Set(words(may));
    const others = [...NOBODY, ...WORKER, TOKEN_REVIEWS];
    expect((await held(name, others)).filter((right) => !mayWords.has(right))).toEqual([]);
    // what workers may do in the models' namespace nobody may in another one
    const elsewhere = (['home', 'default'] as const).flatMap((where) =>
      WORKER.map(([verbs, resources]): Right => [verbs, resources, where]),
    );
    expect(await held(name, elsewhere)).toEqual([]);
  });
});
