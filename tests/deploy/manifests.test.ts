/** What runs by the manifests runs restricted; a real API server judges them in tests/cluster. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { settingsSchema } from '../../src/config-schema.js';
import { kustomizations, type Manifest, parseManifests, policyProblems } from '../support/manifests.js';

const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { readonly version: string };
const all = [...kustomizations('deploy/knative'), ...kustomizations('tests/cluster/overlay')];
const objects = all.flatMap(({ folder, content }) =>
  (content.resources ?? [])
    .filter((path) => path.endsWith('.yaml'))
    .flatMap((path) => parseManifests(readFileSync(join(folder, path), 'utf8'))),
);
const named = (kind: string, name: string) =>
  objects.find((object) => object.kind === kind && object.metadata.name === name);

describe('the manifests', () => {
  it('run nothing as root, privileged, unbounded, or with a token that it does not need', () => {
    expect(objects.filter(({ kind }) => kind === 'Deployment' || kind === 'StatefulSet')).toHaveLength(5);
    expect(objects.filter(({ kind }) => kind === 'DaemonSet')).toHaveLength(1);
    expect(objects.flatMap(policyProblems)).toEqual([]);
  });

  it('say which version of an image, and the one of this package', () => {
    for (const { folder, content } of all) {
      for (const { name, newTag, digest } of content.images ?? []) {
        expect([folder, name, digest === undefined ? newTag : version]).toEqual([folder, name, version]);
      }
      const literals = (content.configMapGenerator ?? []).flatMap((each) => each.literals ?? []);
      for (const literal of literals.filter((each) => /_IMAGE=/.test(each))) {
        expect(literal).toMatch(new RegExp(`:${version.replaceAll('.', '\\.')}$`));
      }
    }
  });

  it('name files that are there, and leave no file out', () => {
    for (const { folder, content } of all) {
      const paths = [
        ...(content.resources ?? []),
        ...(content.components ?? []),
        ...(content.patches ?? []).flatMap(({ path }) => path ?? []),
      ];
      expect(paths.filter((path) => !existsSync(join(folder, path)))).toEqual([]);
    }
  });

  it('set settings that exist', () => {
    const lines = all.flatMap(({ folder, content }) =>
      (content.configMapGenerator ?? []).flatMap(({ literals = [], envs = [] }) => [
        ...literals,
        ...envs.flatMap((file) => readFileSync(join(folder, file), 'utf8').trim().split('\n')),
      ]),
    );
    expect(lines.length).toBeGreaterThan(8);
    expect(lines.map((line) => line.split('=')[0] ?? '').filter((key) => !(key in settingsSchema.shape))).toEqual([]);
  });

  it('give pods the time that a stop takes', () => {
    const settings = readFileSync('deploy/knative/base/settings.env', 'utf8');
    const setting = (name: string) => Number(new RegExp(`^${name}=(\\d+)$`, 'm').exec(settings)?.[1]);
    const grace = (name: string) =>
      (named('Deployment', name)?.spec?.template?.spec as { terminationGracePeriodSeconds?: number } | undefined)
        ?.terminationGracePeriodSeconds ?? 0;
    expect(grace('sluice-gateway')).toBeGreaterThanOrEqual(5 + setting('SLUICE_DRAIN_SEC') + 10);
    expect(grace('sluice-worker')).toBeGreaterThanOrEqual(setting('SLUICE_STOP_GRACE_SEC') + 10);
    // of TrainJobs, which cannot say it themselves
    const runtime = JSON.stringify(named('TrainingRuntime', 'sluice'));
    expect(Number(/"terminationGracePeriodSeconds":(\d+)/.exec(runtime)?.[1])).toBe(
      setting('SLUICE_STOP_GRACE_SEC') + 15,
    );
  });

  it('lead pods to the cache of their own node, which alone asks the gateways itself', () => {
    const service = named('Service', 'sluice-node-cache');
    expect(service?.spec).toMatchObject({ internalTrafficPolicy: 'Local' });
    const { content } = all.find(({ folder }) => folder.endsWith('components/node-cache')) ?? {};
    const [setting] = content?.configMapGenerator?.flatMap(({ literals = [] }) => literals) ?? [];
    expect(setting).toBe('SLUICE_PODS_URL=http://sluice-node-cache.sluice.svc.cluster.local');
    const pod = named('DaemonSet', 'sluice-node-cache')?.spec?.template?.spec;
    const gateways = /^SLUICE_PODS_URL=(.*)$/m.exec(readFileSync('deploy/knative/base/settings.env', 'utf8'))?.[1];
    expect(pod?.containers[0]).toMatchObject({ env: [{ name: 'SLUICE_PODS_URL', value: gateways }, { name: 'PORT' }] });
    const grace = (pod as { terminationGracePeriodSeconds?: number } | undefined)?.terminationGracePeriodSeconds ?? 0;
    const args = (pod?.containers[0] as { args?: readonly string[] } | undefined)?.args ?? [];
    expect(grace).toBeGreaterThanOrEqual(5 + Number(args[args.indexOf('--drain-ms') + 1]) / 1000 + 10);
  });

  it('give gateways one right, workers rights in one namespace, and nobody a wildcard', () => {
    expect(named('ClusterRole', 'sluice-gateway')?.rules).toEqual([
      { apiGroups: ['authentication.k8s.io'], resources: ['tokenreviews'], verbs: ['create'] },
    ]);
    expect(objects.filter(({ kind }) => kind === 'ClusterRole')).toHaveLength(1);
    const roles = objects.filter(({ rules }) => rules !== undefined);
    const granted = roles.flatMap(({ rules = [] }) =>
      rules.flatMap((rule) => [...(rule.resources ?? []), ...rule.verbs, ...(rule.apiGroups ?? [])]),
    );
    expect(granted.filter((each) => each === '*' || each === 'secrets' || each === 'escalate')).toEqual([]);
  });
});

describe('the policy', () => {
  const bad: Manifest = {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'bad' },
    spec: {
      template: {
        spec: {
          hostNetwork: true,
          volumes: [{ name: 'docker', hostPath: {} }],
          containers: [{ name: 'c', image: 'x:latest', securityContext: { privileged: true, runAsUser: 0 } }],
        },
      },
    },
  };

  it('finds what it is there for', () => {
    expect(policyProblems(bad).map((problem) => problem.replace(/^bad: (c: )?/, ''))).toEqual([
      'label app.kubernetes.io/name is missing',
      'label app.kubernetes.io/component is missing',
      "shares the host's namespaces",
      "volume docker is the host's",
      'runAsNonRoot is not set',
      'has no seccomp profile',
      'automountServiceAccountToken is undefined',
      'image has the tag latest',
      'is privileged',
      'runs as root',
      'allowPrivilegeEscalation is not false',
      'readOnlyRootFilesystem is not set',
      'capabilities are not dropped',
      'requests no cpu',
      'has no limit of cpu',
      'requests no memory',
      'has no limit of memory',
      'requests no ephemeral-storage',
      'has no limit of ephemeral-storage',
    ]);
  });
});
