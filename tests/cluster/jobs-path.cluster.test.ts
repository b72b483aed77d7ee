/**
 * A training job as a user has it: `sluice up` where the cluster's pods reach it, its jobs on the cluster, its worker killed
 * on the way. By the command line alone.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { childEnv } from '../../src/config.js';
import { JOB_ACCOUNT } from '../../src/core/cluster-names.js';
import { freePort } from '../../src/platform/free-port.js';
import type { KubernetesApi } from '../../src/platform/kubernetes/api.js';
import { eventually } from '../support/children.js';
import { KUBECONFIG, makeNamespace, NO_CLUSTER, removeNamespace } from '../support/cluster.js';
import { JOB_IMAGE, NETNS, PODS_HOST } from '../support/jobs-cluster.js';

/** As seen from the network that the platform runs in. */
const INNER_KUBECONFIG = process.env.SLUICE_TEST_INNER_KUBECONFIG ?? KUBECONFIG?.replace(/\.host$/, '');
const KEY = 'jobs-path-test-admin-key';
const run = promisify(execFile);

describe.skipIf(NO_CLUSTER)('the path of a job on a cluster', { timeout: 300_000 }, () => {
  let base: string;
  let api: KubernetesApi;
  let platform: ChildProcess;
  let sluice: (...words: string[]) => Promise<string>;

  beforeAll(async () => {
    base = await mkdtemp(join(tmpdir(), 'sluice-jobs-path-'));
    // run by root, the database belongs to another user, who must pass through
    await chmod(base, 0o711);
    ({ api } = await makeNamespace(`jobs-path-${Math.random().toString(36).slice(2, 8)}`, [JOB_ACCOUNT]));
    const port = await freePort();
    const env = childEnv({
      SLUICE_DATA_DIR: join(base, 'data'),
      SLUICE_CACHE_DIR: join(base, 'cache'),
      SLUICE_HOST: '0.0.0.0',
      SLUICE_PORT: String(port),
      SLUICE_ADMIN_KEY: KEY,
      SLUICE_LOG_LEVEL: 'warn',
      SLUICE_JOBS: 'kubernetes',
      SLUICE_JOB_IMAGE: JOB_IMAGE,
      SLUICE_PODS_URL: `http://${PODS_HOST}:${port}`,
      SLUICE_KUBERNETES_NAMESPACE: api.namespace,
      SLUICE_STOP_GRACE_SEC: '10',
      KUBECONFIG: INNER_KUBECONFIG,
      DATABASE_URL: '',
      REDIS_URL: '',
      SLUICE_URL: `http://127.0.0.1:${port}`,
      SLUICE_KEY: KEY,
    });
    const inside = [`--net=${NETNS}`, '--', process.execPath, resolve('dist/sluice.js')];
    platform = spawn('nsenter', [...inside, 'up'], { stdio: ['ignore', 'ignore', 'inherit'], env });
    sluice = async (...words) => (await run('nsenter', [...inside, ...words], { env })).stdout;
    await eventually(
      () =>
        sluice('status').then(
          () => true,
          () => false,
        ),
      90_000,
    );
  }, 120_000);

  afterAll(async () => {
    if (platform?.exitCode === null) {
      const ended = once(platform, 'exit');
      platform.kill('SIGTERM');
      await ended;
    }
    if (api) await removeNamespace(api);
    await api?.close();
    await rm(base, { recursive: true, force: true, maxRetries: 50, retryDelay: 100 });
  });

  it('goes on while its worker is killed, and registers its model once', async () => {
    const code = join(base, 'code');
    await mkdir(code);
    await copyFile(resolve('tests/fixtures/models/add.onnx'), join(code, 'add.onnx'));
    await writeFile(
      join(code, 'train.py'),
      `import os, shutil, time
for epoch in range(12):
    print(f"epoch={epoch} accuracy={epoch / 12}", flush=True)
    time.sleep(1)
shutil.copy("add.onnx", os.path.join(os.environ["SLUICE_OUTPUT_DIR"], "model.onnx"))
`,
    );
    const model = { apiVersion: 'sluice/v1', kind: 'Model', metadata: { name: 'add' }, spec: { description: 'adds' } };
    await writeFile(join(base, 'model.yaml'), JSON.stringify(model));
    await sluice('apply', '-f', join(base, 'model.yaml'));
    const submitted = await sluice('train', 'submit', code, '--model', 'add', '--cpus', '0.25', '--memory', '96m');
    const id = /job_\w+/.exec(submitted)?.[0] ?? '';
    await eventually(async () => (await sluice('train', 'logs', id)).includes('epoch=2 '), 90_000);
    const { stdout: workers } = await run('pgrep', ['-f', `${resolve('dist')}/worker.js`]);
    for (const pid of workers.trim().split('\n')) {
      const environment = await run('cat', [`/proc/${pid}/environ`]);
      if (environment.stdout.includes(base)) process.kill(Number(pid), 'SIGKILL');
    }
    const log = await sluice('train', 'logs', id, '--follow');
    expect(log).toMatch(/goes on with sluice-job-\w+-1, /);
    expect(log).toContain('epoch=11 ');
    expect(JSON.parse(await sluice('train', 'show', id, '--json'))).toMatchObject({
      state: 'succeeded',
      attempt: 2,
      version: 1,
    });
  });
});
