/** The tests that need a cluster: fleet, operator, jobs, pods' tokens, manifests, rights. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { childEnv } from '../../src/config.js';

export interface Tested {
  readonly passed: number;
  readonly failed: number;
  /** Of the failed ones, and of those that did not run. */
  readonly names: readonly string[];
  readonly skipped: readonly string[];
}

interface Report {
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly assertionResults: readonly { readonly fullName: string; readonly status: string }[];
  }[];
}

export async function testCluster(kubeconfig: string): Promise<Tested> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-cluster-tests-'));
  try {
    const file = join(folder, 'report.json');
    const args = ['run', 'cluster.test', '--reporter=default', '--reporter=json', `--outputFile.json=${file}`];
    const child = spawn(join('node_modules', '.bin', 'vitest'), [...args, '--no-file-parallelism'], {
      stdio: ['ignore', 2, 2],
      env: childEnv({ SLUICE_TEST_KUBECONFIG: kubeconfig }),
    });
    await once(child, 'exit');
    const { testResults } = JSON.parse(await readFile(file, 'utf8')) as Report;
    const all = testResults.flatMap(({ assertionResults }) => assertionResults);
    const of = (status: string) => all.filter((one) => one.status === status).map(({ fullName }) => fullName);
    // a file that could not be loaded has no tests that failed
    const broken = testResults.filter((one) => one.status === 'failed' && one.assertionResults.length === 0);
    const names = [...of('failed'), ...broken.map(({ name }) => name)];
    return {
      passed: of('passed').length,
      failed: names.length,
      names,
      skipped: [...of('skipped'), ...of('pending')],
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
