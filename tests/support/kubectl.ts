/** The kubectl of this machine, or the one in the test cluster's program, for tests against a real cluster. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { CLUSTER_FOLDER, KUBECONFIG } from './cluster.js';

const HYPERKUBE = join(CLUSTER_FOLDER, 'bin', 'hyperkube');

/** The program and its first arguments. */
export const kubectlCommand = (): readonly string[] => (existsSync(HYPERKUBE) ? [HYPERKUBE, 'kubectl'] : ['kubectl']);

export interface KubectlResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs kubectl to its end; `input` is its stdin. */
export function kubectl(args: readonly string[], input = ''): Promise<KubectlResult> {
  const [program = '', ...first] = kubectlCommand();
  const config = KUBECONFIG === undefined ? [] : ['--kubeconfig', KUBECONFIG];
  return new Promise((resolve) => {
    const options = { maxBuffer: 2 ** 26, timeout: 60_000 };
    const child = execFile(program, [...first, ...config, ...args], options, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : typeof error.code === 'number' ? error.code : 1, stdout, stderr }),
    );
    child.stdin?.end(input);
  });
}
