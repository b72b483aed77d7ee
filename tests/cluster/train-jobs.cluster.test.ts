/** Training jobs as TrainJobs, run by a real Kubeflow Trainer: `npm run cluster -- training` puts one on the cluster. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { jobName } from '../../src/core/cluster-names.js';
import { LetGo } from '../../src/core/training/runner.js';
import { jobManifest } from '../../src/platform/kubernetes/jobs/manifest.js';
import { JOB_LABEL, JOBS, type Job, TRAIN_JOBS } from '../../src/platform/kubernetes/jobs/objects.js';
import { PODS, type ResourceKind } from '../../src/platform/kubernetes/objects.js';
import { NO_CLUSTER } from '../support/cluster.js';
import { SAVES } from '../support/job-scripts.js';
import { type JobsCluster, openJobsCluster } from '../support/jobs-cluster.js';
import { kubectl } from '../support/kubectl.js';
import { record } from '../support/training-bench.js';
import { knows, makeRuntime, makeStockRuntime } from '../support/training-operators.js';

const SKIP = NO_CLUSTER || !(await knows('trainjobs.trainer.kubeflow.org', 'jobsets.jobset.x-k8s.io'));
const RUNTIME = { trainJobRuntime: 'TrainingRuntime/sluice' };

describe.skipIf(SKIP)('a job as a TrainJob', { timeout: 120_000 }, () => {
  let cluster: JobsCluster;
  beforeAll(async () => {
    cluster = await openJobsCluster();
    await makeRuntime(cluster.api);
    // as the namespace of the jobs is in deploy/knative
    const restricted = 'pod-security.kubernetes.io/enforce=restricted';
    expect(await kubectl(['label', 'namespace', cluster.namespace, restricted])).toMatchObject({ code: 0 });
  });
  afterAll(() => cluster?.close());
  const signal = () => new AbortController().signal;
  const ours = async (kind: ResourceKind, jobId: string) =>
    (await cluster.api.list<Job>(kind, { labelSelector: `${JOB_LABEL}=${jobId}` })).items;

  it('runs its script, tells its lines and metrics, and yields its output', async () => {
    const runner = cluster.runner(RUNTIME);
    const attempt = await cluster.attempt(`import os
for epoch in range(3):
    print(f"epoch={epoch} loss={1 / (epoch + 1)}")
print("torchrun's:", sorted(name for name in os.environ if name.startswith("PET_")))
open(os.path.join(os.environ["SLUICE_OUTPUT_DIR"], "model.txt"), "w").write("weights")
`);
    const sink = record();
    const end = await runner.run(attempt, sink, signal());
    expect(end).toMatchObject({ kind: 'succeeded' });
    if (end.kind !== 'succeeded') return;
    expect(readFileSync(join(end.outputPath, 'model.txt'), 'utf8')).toBe('weights');
    expect(sink.text('stdout')).toContain("torchrun's: []");
    expect(sink.metrics.filter(({ name }) => name === 'loss')).toHaveLength(3);
    // what was made is a TrainJob, and what the Trainer made of it is not taken for ours
    expect(await ours(TRAIN_JOBS, attempt.jobId)).toHaveLength(1);
    expect(await ours(JOBS, attempt.jobId)).toEqual([]);
    expect(await runner.leftovers()).toContain(attempt.jobId);
    await runner.clean(attempt.jobId);
    expect(await runner.leftovers()).not.toContain(attempt.jobId);
  });

  it('that fails says how, and is gone', async () => {
    const attempt = await cluster.attempt('print("before"); raise SystemExit("no such column: price")');
    const sink = record();
    expect(await cluster.runner(RUNTIME).run(attempt, sink, signal())).toEqual({
      kind: 'failed',
      reason: 'the script ended with exit code 1: no such column: price',
      exitCode: 1,
      retryable: true,
    });
    expect(sink.text('stdout')).toBe('before');
    expect(await ours(TRAIN_JOBS, attempt.jobId)).toEqual([]);
  });

  it('that is cancelled saves, and ends with all that the Trainer made of it', async () => {
    const attempt = await cluster.attempt(SAVES);
    const stop = new AbortController();
    const sink = record((line) => line === 'begun' && stop.abort(new Error('cancelled on request')));
    expect(await cluster.runner(RUNTIME).run(attempt, sink, stop.signal)).toMatchObject({ kind: 'cancelled' });
    expect(sink.text('stdout')).toBe('begun\nsaved');
    expect(await ours(TRAIN_JOBS, attempt.jobId)).toEqual([]);
    expect((await cluster.api.list(PODS, { labelSelector: `${JOB_LABEL}=${attempt.jobId}` })).items).toEqual([]);
  });

  it('of two replicas lets them find each other, by the names that Jobs have too', async () => {
    const attempt = await cluster.attempt(MEETING, {
      replicas: 2,
      distributed: { framework: 'torch', processesPerReplica: 1 },
    });
    const sink = record();
    expect(await cluster.runner(RUNTIME).run(attempt, sink, signal())).toMatchObject({ kind: 'succeeded' });
    const host = `${jobName(attempt.jobId, 1)}-0`;
    expect(sink.text('stdout')).toBe(`rank 0 of 2 at ${host}, of 2 nodes at ${host}, heard: hello from rank 1`);
  });

  it('of two replicas ends when one fails, and says which', async () => {
    const attempt = await cluster.attempt(
      `import os, time
if os.environ["RANK"] == "1":
    raise SystemExit("rank 1 gives up")
time.sleep(60)
`,
      { replicas: 2 },
    );
    const sink = record();
    expect(await cluster.runner(RUNTIME).run(attempt, sink, signal())).toMatchObject({
      kind: 'failed',
      reason: 'replica 1: the script ended with exit code 1: rank 1 gives up',
    });
    expect(sink.text('system')).toContain('[replica 1] rank 1 gives up');
  });

  it('goes on when its worker dies: the next attempt takes its TrainJob over', async () => {
    const attempt = await cluster.attempt(`import time
for step in range(6):
    print(f"step={step}", flush=True)
    time.sleep(1)
`);
    const dies = new AbortController();
    const first = record((line) => line.startsWith('step=1') && dies.abort(new LetGo('its worker was stopped')));
    expect(await cluster.runner(RUNTIME).run(attempt, first, dies.signal)).toMatchObject({ kind: 'cancelled' });
    const second = record();
    const end = await cluster.runner(RUNTIME).run({ ...attempt, number: 2 }, second, signal());
    expect(end).toMatchObject({ kind: 'succeeded' });
    expect(second.text('system')).toMatch(/^goes on with sluice-job-\w+-1, /);
    expect(second.lines.filter(({ stream }) => stream === 'stdout')).toHaveLength(6);
  });

  it('takes over the Job that ran when the runtime was named', async () => {
    const attempt = await cluster.attempt(SLOW);
    const dies = new AbortController();
    const first = record((line) => line === 'begun' && dies.abort(new LetGo('its worker was stopped')));
    await cluster.runner().run(attempt, first, dies.signal);
    const second = record();
    const end = await cluster.runner(RUNTIME).run({ ...attempt, number: 2 }, second, signal());
    expect(end).toMatchObject({ kind: 'succeeded' });
    expect(await ours(TRAIN_JOBS, attempt.jobId)).toEqual([]);
  });

  it('that somebody deletes on the cluster is cancelled', async () => {
    const attempt = await cluster.attempt(SAVES);
    const name = jobName(attempt.jobId, 1);
    const sink = record((line) => {
      if (line === 'begun') void cluster.api.delete(TRAIN_JOBS, name);
    });
    expect(await cluster.runner(RUNTIME).run(attempt, sink, signal())).toEqual({
      kind: 'cancelled',
      reason: `its TrainJob ${name} was deleted on the cluster`,
    });
  });

  it('whose pod is deleted was taken away', async () => {
    const attempt = await cluster.attempt(SAVES);
    const sink = record(async (line) => {
      if (line !== 'begun') return;
      const { items } = await cluster.api.list(PODS, { labelSelector: `${JOB_LABEL}=${attempt.jobId}` });
      await cluster.api.delete(PODS, items[0]?.metadata.name ?? '');
    });
    expect(await cluster.runner(RUNTIME).run(attempt, sink, signal())).toMatchObject({ kind: 'preempted' });
  });

  it('of a runtime that is not there fails with the words of the Trainer', async () => {
    const attempt = await cluster.attempt('print(1)');
    const end = await cluster.runner({ trainJobRuntime: 'nobody-made-it' }).run(attempt, record(), signal());
    expect(end).toMatchObject({ kind: 'failed', retryable: false });
    expect(end.kind === 'failed' && end.reason).toMatch(/nobody-made-it.* not found/s);
  });

  it('of a runtime that begins failed pods anew ends at the first failure all the same', async () => {
    await makeStockRuntime(cluster.api, 'stock');
    const runner = cluster.runner({ trainJobRuntime: 'TrainingRuntime/stock' });
    const fails = await cluster.attempt('raise SystemExit("no such column: price")');
    expect(await runner.run(fails, record(), signal())).toMatchObject({
      kind: 'failed',
      reason: 'the script ended with exit code 1: no such column: price',
    });
    expect(await ours(TRAIN_JOBS, fails.jobId)).toEqual([]);
    expect(await runner.run(await cluster.attempt('print(1)'), record(), signal())).toMatchObject({
      kind: 'succeeded',
    });
  });

  it('that is suspended by hand waits, and goes on when it is let', async () => {
    const attempt = await cluster.attempt(SLOW);
    const phases: string[] = [];
    const name = jobName(attempt.jobId, 1);
    const suspend = (suspend: boolean) => void cluster.api.patch(TRAIN_JOBS, name, { spec: { suspend } });
    const told = record((line) => line === 'begun' && !phases.includes(SUSPENDED) && suspend(true));
    const sink = {
      ...told,
      phase: async (_: string, detail: string) => {
        phases.push(detail);
        if (detail === SUSPENDED) suspend(false);
      },
    };
    expect(await cluster.runner(RUNTIME).run(attempt, sink, signal())).toMatchObject({ kind: 'succeeded' });
    expect(phases).toContain(SUSPENDED);
  });

  it.each([1, 2])('of %i replicas is a valid object, with nothing that the API server drops', async (replicas) => {
    const attempt = await cluster.attempt('print(1)', { replicas, resources: { cpus: 1, memoryMb: 64, gpus: 2 } });
    const settings = { image: 'i', podsUrl: 'http://g', kueueQueue: 'q', stopGraceSec: 1, wrapper: 'w', ...RUNTIME };
    const manifest = jobManifest(attempt, settings, TRAIN_JOBS) as Job;
    // quantities are told in their canonical form, and Kueue adds a patch of its own
    const patches = [expect.objectContaining({ manager: 'sluice.dev/worker' }), expect.anything()];
    expect(await cluster.api.create<Job>(TRAIN_JOBS, manifest, { strict: true })).toMatchObject({
      metadata: manifest.metadata,
      spec: { suspend: true, runtimePatches: patches },
    });
  });
});

const SUSPENDED = 'its TrainJob is suspended';
const SLOW = 'import time\nprint("begun", flush=True)\ntime.sleep(5)\n';

/** Rank 1 greets rank 0 at MASTER_ADDR. */
const MEETING = `import os, socket, time
rank, size = os.environ["RANK"], os.environ["WORLD_SIZE"]
where = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
if rank == "0":
    with socket.create_server(("", where[1])) as server:
        peer, _ = server.accept()
        torchrun = f'of {os.environ["PET_NNODES"]} nodes at {os.environ["PET_MASTER_ADDR"]}'
        print(f"rank 0 of {size} at {where[0]}, {torchrun}, heard:", peer.recv(100).decode())
else:
    for _ in range(100):
        try:
            with socket.create_connection(where, 5) as peer:
                peer.sendall(f"hello from rank {rank}".encode())
            break
        except OSError:
            time.sleep(0.2)
`;
