/** Knative as SLUICE_TEST_KUBECONFIG leads to it: a namespace of its own, and an image of a small model server. */
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { RUNTIME_ACCOUNT } from '../../src/core/cluster-names.js';
import type { ClusterAccess } from '../../src/platform/kubernetes/access.js';
import type { KubernetesApi } from '../../src/platform/kubernetes/api.js';
import { makeNamespace, type Rule, removeNamespace, tokenWith } from './cluster.js';

/** Knative's ingress as this machine reaches it. */
export const INGRESS = process.env.SLUICE_TEST_INGRESS ?? 'http://127.0.0.1:18080';
const CONTAINERD = process.env.SLUICE_TEST_CONTAINERD ?? '/run/kubetest/containerd.sock';
/** Names below dev.local are not looked up in a registry. */
export const SERVER_IMAGE = process.env.SLUICE_TEST_SERVER_IMAGE ?? 'dev.local/sluice-v2-server:test';

const ARCHIVE = new URL('../../scripts/images/oci-archive.mjs', import.meta.url).href;

interface Archive {
  packLayer(folder: string, out: string): string;
  writeImage(image: { out: string; name: string; layers: string[]; entrypoint: string[] }): Promise<void>;
}

export interface TestNamespace {
  readonly name: string;
  readonly api: KubernetesApi;
  readonly access: ClusterAccess;
  /** A kubeconfig of an account with the rights that docs/knative.md lists, and no others. */
  readonly workerKubeconfig: string;
  close(): Promise<void>;
}

export async function openNamespace(prefix: string): Promise<TestNamespace> {
  const name = `${prefix}-${process.pid}-${Date.now().toString(36)}`;
  const { api, access } = await makeNamespace(name, [RUNTIME_ACCOUNT]);
  const folder = mkdtempSync(join(tmpdir(), 'sluice-kubeconfig-'));
  const workerKubeconfig = join(folder, 'worker');
  writeFileSync(workerKubeconfig, JSON.stringify(await workerConfig(api, access)));
  return {
    name,
    api,
    access,
    workerKubeconfig,
    async close() {
      rmSync(folder, { recursive: true, force: true });
      await removeNamespace(api).catch(() => {});
      await api.close();
    },
  };
}

/** As docs/knative.md says. */
const WORKER_RULES: readonly Rule[] = [
  ['serving.knative.dev', 'services', 'get list watch create patch delete'],
  ['serving.knative.dev', 'revisions', 'list watch delete'],
  ['autoscaling.internal.knative.dev', 'podautoscalers', 'list watch patch'],
  ['', 'pods', 'list watch'],
  ['', 'pods/log', 'get'],
];

async function workerConfig(api: KubernetesApi, { server, tls, namespace }: ClusterAccess): Promise<object> {
  const token = await tokenWith(api, WORKER_RULES);
  const authority = Buffer.from(tls.ca ?? '').toString('base64');
  return {
    'current-context': 'c',
    clusters: [{ name: 'c', cluster: { server, 'certificate-authority-data': authority } }],
    users: [{ name: 'c', user: { token } }],
    contexts: [{ name: 'c', context: { cluster: 'c', user: 'c', namespace } }],
  };
}

/** Makes the image and brings it to the test cluster, unless another one is named. */
export async function bringServerImage(): Promise<void> {
  if (process.env.SLUICE_TEST_SERVER_IMAGE !== undefined) return;
  const folder = mkdtempSync(join(tmpdir(), 'sluice-server-image-'));
  try {
    const root = join(folder, 'root');
    const put = (from: string, to: string) => {
      mkdirSync(join(root, dirname(to)), { recursive: true });
      cpSync(from, join(root, to), { dereference: true });
    };
    put(process.execPath, '/usr/bin/node');
    for (const library of librariesOf(process.execPath)) put(library, library);
    put(fileURLToPath(new URL('../cluster/images/v2-server.mjs', import.meta.url)), '/app/v2-server.mjs');
    mkdirSync(join(root, 'tmp'));
    const out = join(folder, 'image.tar');
    const { packLayer, writeImage } = (await import(ARCHIVE)) as Archive;
    const entrypoint = ['/usr/bin/node', '/app/v2-server.mjs'];
    await writeImage({ out, name: SERVER_IMAGE, layers: [packLayer(root, join(folder, 'layer.tar'))], entrypoint });
    execFileSync('ctr', ['-a', CONTAINERD, '-n', 'k8s.io', 'images', 'import', out], { stdio: 'ignore' });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function librariesOf(program: string): string[] {
  const lines = execFileSync('ldd', [program], { encoding: 'utf8' });
  return [...lines.matchAll(/(\/[^ ]+) \(/g)].flatMap(([, path]) => (path && existsSync(path) ? [path] : []));
}

/** A kubeconfig that leads to the same API server by a port of this machine. */
export function kubeconfigThrough(port: number, { access, workerKubeconfig }: TestNamespace, folder: string): string {
  const { server } = access;
  const path = join(folder, 'kubeconfig');
  const other = `https://${new URL(server).hostname}:${port}`;
  writeFileSync(path, readFileSync(workerKubeconfig, 'utf8').replaceAll(server, other));
  return path;
}
