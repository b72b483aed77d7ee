/** A runner with a worker's rights against a real cluster, in a namespace of its own, with the pods' API on an address that pods reach. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { systemClock } from '../../src/clock.js';
import { JOB_ACCOUNT } from '../../src/core/cluster-names.js';
import type { Attempt } from '../../src/core/training/runner.js';
import { FolderBlobs } from '../../src/platform/blobs/folder.js';
import { freePort } from '../../src/platform/free-port.js';
import type { ClusterAccess } from '../../src/platform/kubernetes/access.js';
import { KubernetesApi } from '../../src/platform/kubernetes/api.js';
import { JOB_LABEL, JOBS } from '../../src/platform/kubernetes/jobs/objects.js';
import { KubernetesRunner, type KubernetesRunnerOptions } from '../../src/platform/kubernetes/jobs/runner.js';
import { bundle } from './bundle.js';
import { makeNamespace, type Namespace, type Rule, removeNamespace, tokenWith } from './cluster.js';
import { quietLog } from './quiet-log.js';
import { openTcpGate } from './tcp-gate.js';

/** Network namespace and address at which pods reach a program of this machine. */
export const NETNS = process.env.SLUICE_TEST_NETNS ?? '/run/netns/kubetest';
export const PODS_HOST = process.env.SLUICE_TEST_PODS_HOST ?? '10.10.0.1';
export const JOB_IMAGE = process.env.SLUICE_TEST_JOB_IMAGE ?? 'dev.local/sluice-job:test';

export interface JobsCluster {
  readonly api: KubernetesApi;
  readonly blobs: FolderBlobs;
  readonly namespace: string;
  runner(change?: Partial<KubernetesRunnerOptions>): KubernetesRunner;
  /** An attempt that runs this Python text. */
  attempt(script: string, change?: Partial<Attempt & { params: Record<string, number> }>): Promise<Attempt>;
  /** The API server by way of a connection that can be cut. */
  interruptible(): Promise<{ api: KubernetesApi; interrupt(ms: number): void; close(): Promise<void> }>;
  /** Names of the Jobs of a job. */
  jobs(jobId: string): Promise<string[]>;
  close(): Promise<void>;
}

export async function openJobsCluster(): Promise<JobsCluster> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-jobs-'));
  const namespace = `jobs-${Math.random().toString(36).slice(2, 8)}`;
  const made = await makeNamespace(namespace, [JOB_ACCOUNT]);
  const { api } = made;
  const access = await asWorker(made);
  const workerApi = new KubernetesApi(access);
  const port = await freePort();
  const blobFolder = join(folder, 'blobs');
  const server = await startServer(port, blobFolder);
  const blobs = await FolderBlobs.open(blobFolder);
  const wrapper = await readFile('src/platform/kubernetes/jobs/wrapper.py', 'utf8');
  const runners: KubernetesRunner[] = [];
  let attempts = 0;
  return {
    api,
    blobs,
    namespace,
    runner: (change = {}) => {
      const runner = new KubernetesRunner({
        api: workerApi,
        blobs,
        clock: systemClock,
        log: quietLog,
        workFolder: join(folder, `work-${runners.length}`),
        maxLogBytes: 2 ** 20,
        image: JOB_IMAGE,
        podsUrl: `http://${PODS_HOST}:${port}`,
        kueueQueue: undefined,
        trainJobRuntime: undefined,
        stopGraceSec: 10,
        wrapper,
        checkpointEverySec: 1,
        ...change,
      });
      runners.push(runner);
      return runner;
    },
    attempt: async (script, change = {}) => {
      attempts += 1;
      const attempt: Attempt = {
        jobId: `job_${Math.random().toString(36).slice(2, 12)}${attempts}`,
        project: 'default',
        number: 1,
        code: await storeCode(blobs, folder, script),
        entrypoint: 'train.py',
        args: [],
        requirements: [],
        params: {},
        env: {},
        resources: { cpus: 0.25, memoryMb: 96, gpus: 0 },
        timeLimitSec: 60,
        image: undefined,
        replicas: 1,
        distributed: { framework: 'none', processesPerReplica: 1 },
        ...change,
      };
      const name = attempt.jobId.toLowerCase().replaceAll('_', '-');
      await writeFile(join(blobFolder, `${name}.json`), JSON.stringify(attempt));
      return attempt;
    },
    interruptible: async () => {
      const { hostname, port } = new URL(access.server);
      const gate = await openTcpGate(hostname, Number(port));
      const own = new KubernetesApi({ ...access, server: `https://${hostname}:${gate.port}` });
      return {
        api: own,
        interrupt: (ms) => {
          gate.shut();
          setTimeout(gate.open, ms);
        },
        close: async () => {
          await own.close();
          gate.close();
        },
      };
    },
    jobs: async (jobId) => {
      const { items } = await api.list(JOBS, { labelSelector: `${JOB_LABEL}=${jobId}` });
      return items.map(({ metadata }) => metadata.name);
    },
    close: async () => {
      await Promise.all(runners.map((runner) => runner.close()));
      await removeNamespace(api);
      await Promise.all([api.close(), workerApi.close()]);
      server.kill('SIGTERM');
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** What docs/kubernetes-jobs.md says that a worker needs. */
const RIGHTS: readonly Rule[] = [
  ['batch', 'jobs', 'get list watch create patch delete'],
  ['', 'pods', 'list watch'],
  ['', 'pods/log', 'get'],
  ['', 'services', 'create'],
  ['', 'events', 'list'],
  ['trainer.kubeflow.org', 'trainjobs', 'get list watch create patch delete'],
  ['kueue.x-k8s.io', 'workloads', 'list'],
];

/** Access as an account that has a worker's rights and no others. */
async function asWorker({ api, access }: Namespace): Promise<ClusterAccess> {
  const token = await tokenWith(api, RIGHTS);
  const { cert: _cert, key: _key, ...tls } = access.tls;
  return { ...access, tls, token: async () => token };
}

/** A tar.gz with this text as train.py. */
async function storeCode(blobs: FolderBlobs, folder: string, script: string): Promise<string> {
  const code = await mkdtemp(join(folder, 'code-'));
  await mkdir(code, { recursive: true });
  await writeFile(join(code, 'train.py'), script);
  const { stdout } = await promisify(execFile)('tar', ['-czf', '-', '-C', code, '.'], { encoding: 'buffer' });
  return (await blobs.put(Readable.from([stdout]))).digest;
}

async function startServer(port: number, folder: string): Promise<ChildProcess> {
  const program = await bundle('tests/cluster/programs/pods-server.ts');
  const words = [`--net=${NETNS}`, '--', process.execPath, program, String(port), folder];
  const server = spawn('nsenter', words, { stdio: ['ignore', 'pipe', 'inherit'] });
  if (server.stdout) await once(server.stdout, 'data');
  return server;
}
