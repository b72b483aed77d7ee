/** The kubectl of this machine, or the one in the test cluster's program, for tests against a real cluster. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** Kubeconfig of a cluster to test with; undefined: such tests are skipped. `npm run cluster -- up` prints one. */
export const TEST_KUBECONFIG = process.env.SLUICE_TEST_KUBECONFIG;

const HYPERKUBE = join(
  process.env.SLUICE_TEST_CLUSTER ?? join(homedir(), '.cache', 'sluice-test', 'cluster'),
  'bin',
  'hyperkube',
);

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
  const config = TEST_KUBECONFIG === undefined ? [] : ['--kubeconfig', TEST_KUBECONFIG];
  return new Promise((resolve) => {
    const options = { maxBuffer: 2 ** 26, timeout: 60_000 };
    const child = execFile(program, [...first, ...config, ...args], options, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : typeof error.code === 'number' ? error.code : 1, stdout, stderr }),
    );
    child.stdin?.end(input);
  });
}
