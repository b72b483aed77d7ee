/** The cluster that is looked at: one of our own, made for this and gone after it, or the one that KUBECONFIG names. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { homedir } from 'node:os';
import { join } from 'node:path';
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

const FOLDER = join(homedir(), '.cache', 'sluice-test', 'cluster');

/** Builds what is missing (minutes, the first time) and starts a cluster; `tell` hears what goes on. */
export async function ownCluster(tell: (line: string) => void): Promise<Cluster> {
  tell('building Kubernetes, Knative and the images (minutes, the first time)');
  await script('build');
  tell('starting the cluster');
  await script('up');
  const kubeconfig = join(FOLDER, 'run', 'kubeconfig.host');
  return {
    kubectl: new Kubectl([join(FOLDER, 'bin', 'hyperkube'), 'kubectl'], kubeconfig),
    kubeconfig,
    api: { stop: () => script('api-stop'), start: () => script('api-start') },
    close: () => script('down'),
  };
}

export function givenCluster(kubeconfig: string): Cluster {
  return { kubectl: new Kubectl(['kubectl'], kubeconfig), kubeconfig, api: undefined, close: async () => {} };
}

/** A verb of tests/cluster; its words go to stderr. */
async function script(verb: string): Promise<void> {
  const child = spawn(join('tests', 'cluster', 'cluster'), [verb], { stdio: ['ignore', 2, 2] });
  const [code] = await once(child, 'exit');
  if (code !== 0) throw new Error(`tests/cluster/cluster ${verb} ended with code ${code}`);
}
