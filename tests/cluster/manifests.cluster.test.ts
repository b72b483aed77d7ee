/** A real API server takes every manifest, as kustomize renders it. */
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { NO_CLUSTER } from '../support/cluster.js';
import { kubectl } from '../support/kubectl.js';
import { type Manifest, parseManifests, policyProblems } from '../support/manifests.js';

const suffix = Math.random().toString(36).slice(2, 8);
const namespaces = [`sluice-${suffix}`, `sluice-models-${suffix}`] as const;
const folder = mkdtempSync(join(tmpdir(), 'sluice-manifests-'));

/** The same objects in namespaces that exist here. */
function moved(text: string): string {
  return text
    .replace(/\bnamespace: sluice-models$/gm, `namespace: ${namespaces[1]}`)
    .replace(/\bnamespace: sluice$/gm, `namespace: ${namespaces[0]}`);
}

describe.skipIf(NO_CLUSTER)('manifests on a cluster (SLUICE_TEST_KUBECONFIG)', () => {
  beforeAll(async () => {
    for (const name of namespaces) expect(await kubectl(['create', 'namespace', name])).toMatchObject({ code: 0 });
    // secrets are in no repository: their files are made as a user makes them
    cpSync('deploy/knative', join(folder, 'deploy/knative'), { recursive: true });
    cpSync('tests/cluster/overlay', join(folder, 'tests/cluster/overlay'), { recursive: true });
    for (const overlay of ['small', 'production']) {
      const files = overlay === 'small' ? ['sluice.env', 'stores.env'] : ['sluice.env'];
      const lines = ['SLUICE_ADMIN_KEY', 'POSTGRES_PASSWORD', 'REDIS_PASSWORD'].map((key) => `${key}=${suffix}\n`);
      for (const file of files) writeFileSync(join(folder, 'deploy/knative/overlays', overlay, file), lines.join(''));
    }
  });

  afterAll(async () => {
    rmSync(folder, { recursive: true, force: true });
    await Promise.all(namespaces.map((name) => kubectl(['delete', 'namespace', name, '--wait=false'])));
  });

  it.each([
    'deploy/knative/base',
    'deploy/knative/overlays/small',
    'deploy/knative/overlays/production',
    'tests/cluster/overlay',
  ])('%s passes a dry run and the policy', async (path) => {
    const rendered = await kubectl(['kustomize', join(folder, path)]);
    expect(rendered.stderr).toBe('');
    const objects = parseManifests(moved(rendered.stdout));
    expect(objects.flatMap(policyProblems)).toEqual([]);
    const known = objects.filter((object) => !isForeign(object));
    const applied = await kubectl(
      ['apply', '--server-side', '--force-conflicts', '--dry-run=server', '--validate=strict', '-f', '-'],
      known.map((object) => stringify(object)).join('---\n'),
    );
    // warnings of pod security are failures here
    expect(applied.stderr).toBe('');
    expect(applied.stdout.trim().split('\n')).toHaveLength(known.length);
  });
});

/** Of a resource that only comes with somebody's operator. */
function isForeign({ apiVersion }: Manifest): boolean {
  return apiVersion.startsWith('monitoring.coreos.com/');
}
