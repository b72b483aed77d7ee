/** The cluster that is looked at: one of our own, made for this and gone after it, or the one that KUBECONFIG names. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CLUSTER_FOLDER } from '../../tests/support/cluster.js';
import { kubectlCommand } from '../../tests/support/kubectl.js';
import { Kubectl } from './kubectl.js';

/** Where the overlay for tests puts Sluice, and its model servers and jobs. */
export const SYSTEM = 'sluice';
export const MODELS = 'sluice-models';

export interface Cluster {
  readonly kubectl: Kubectl;
  readonly kubeconfig: string;
  /** Of a cluster of our own: stops the API server, and lets it go on. Undefined: it is not ours to stop. */
  readonly api: { stop(): Promise<void>; start(): Promise<void> } | undefined;
  close(): Promise<void>;
}

/** Builds what is missing (minutes, the first time) and starts a cluster; `tell` hears what goes on. */
export async function ownCluster(tell: (line: string) => void): Promise<Cluster> {
  tell('building Kubernetes and Knative (minutes, the first time)');
  await script('build');
  tell("building Sluice's images");
  const images = await mkdtemp(join(tmpdir(), 'sluice-images-'));
  try {
    await run(process.execPath, [
      'scripts/images/build.mjs',
      '--out',
      images,
      '--with',
      'examples/digits/requirements.txt',
    ]);
    tell('starting the cluster');
    await script('up');
    await script('load', ...(await readdir(images)).map((name) => join(images, name)));
  } catch (error) {
    await script('down');
    throw error;
  } finally {
    await rm(images, { recursive: true, force: true });
  }
  const kubeconfig = join(CLUSTER_FOLDER, 'run', 'kubeconfig.host');
  return {
    kubectl: new Kubectl(kubectlCommand(), kubeconfig),
    kubeconfig,
    api: { stop: () => script('api-stop'), start: () => script('api-start') },
    close: () => script('down'),
  };
}

export function givenCluster(kubeconfig: string): Cluster {
  return { kubectl: new Kubectl(kubectlCommand(), kubeconfig), kubeconfig, api: undefined, close: async () => {} };
}

/** A verb of tests/cluster. */
function script(verb: string, ...more: string[]): Promise<void> {
  return run('bash', [join('tests', 'cluster', 'cluster.sh'), verb, ...more]);
}

/** What it prints goes to stderr. */
async function run(program: string, args: readonly string[]): Promise<void> {
  const child = spawn(program, args, { stdio: ['ignore', 2, 2] });
  const [code] = await once(child, 'exit');
  if (code !== 0) throw new Error(`${args.slice(0, 2).join(' ')} ended with code ${code}`);
}
