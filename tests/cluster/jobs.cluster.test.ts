import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { jobName } from '../../src/core/cluster-names.js';
import { LetGo } from '../../src/core/training/runner.js';
import { JOB_LABEL, JOBS } from '../../src/platform/kubernetes/jobs/objects.js';
import { PODS } from '../../src/platform/kubernetes/objects.js';
import { NO_CLUSTER } from '../support/cluster.js';
import { SAVES } from '../support/job-scripts.js';
import { type JobsCluster, openJobsCluster } from '../support/jobs-cluster.js';
import { record } from '../support/training-bench.js';
import { knows } from '../support/training-operators.js';

const TRAINER = !NO_CLUSTER && (await knows('trainjobs.trainer.kubeflow.org'));

// needs a cluster: SLUICE_TEST_KUBECONFIG names one, with the image of jobs on its nodes
describe.skipIf(NO_CLUSTER)('a job on a cluster', { timeout: 120_000 }, () => {
  let cluster: JobsCluster;
  beforeAll(async () => {
    cluster = await openJobsCluster();
  });
  afterAll(() => cluster?.close());
  const signal = () => new AbortController().signal;

  it('runs its script, tells its lines and metrics, and yields its output', async () => {
    const runner = cluster.runner();
    const attempt = await cluster.attempt(
      `import json, os, sys
params = json.load(open(os.environ["SLUICE_PARAMS"]))
for epoch in range(3):
    print(f"epoch={epoch} loss={params['rate'] / (epoch + 1)}")
print("to stderr", file=sys.stderr)
open(os.path.join(os.environ["SLUICE_OUTPUT_DIR"], "model.txt"), "w").write("weights " + os.environ["SLUICE_PARAM_RATE"])
`,
      { params: { rate: 0.5 } },
    );
    const sink = record();
    const end = await runner.run(attempt, sink, signal());
    expect(end).toMatchObject({ kind: 'succeeded' });
    if (end.kind !== 'succeeded') return;
    expect(readFileSync(join(end.outputPath, 'model.txt'), 'utf8')).toBe('weights 0.5');
    expect(sink.text('stdout').split('\n')).toEqual(['epoch=0 loss=0.5', 'epoch=1 loss=0.25', expect.any(String)]);
    expect(sink.text('stderr')).toBe('to stderr');
    expect(sink.metrics.filter(({ name }) => name === 'loss').map(({ value }) => value)).toHaveLength(3);
    expect(sink.phases.at(-1)).toBe('running');
    await runner.clean(attempt.jobId);
    expect(await runner.leftovers()).not.toContain(attempt.jobId);
  });

  it.skipIf(TRAINER)('is a Job where a runtime is named that nobody is there for', async () => {
    const attempt = await cluster.attempt('print("ran")');
    const sink = record();
    const runner = cluster.runner({ trainJobRuntime: 'torch-distributed' });
    expect(await runner.run(attempt, sink, signal())).toMatchObject({ kind: 'succeeded' });
    expect(sink.text('stdout')).toBe('ran');
    expect(await runner.leftovers()).toContain(attempt.jobId);
    await runner.clean(attempt.jobId);
  });

  it('that fails says how, with the last words of its script', async () => {
    const attempt = await cluster.attempt('print("before"); raise SystemExit("no such column: price")');
    const sink = record();
    const end = await cluster.runner().run(attempt, sink, signal());
    expect(end).toEqual({
      kind: 'failed',
      reason: 'the script ended with exit code 1: no such column: price',
      exitCode: 1,
      retryable: true,
    });
    expect(sink.text('stdout')).toBe('before');
    expect(await cluster.jobs(attempt.jobId)).toEqual([]);
  });

  it('that needs more memory than it asked for fails with the bound', async () => {
    const attempt = await cluster.attempt(
      'held = []\nfor _ in range(400): held.append(bytearray(2**20)); held[-1][::4096] = b"x" * 256',
      { resources: { cpus: 0.25, memoryMb: 64, gpus: 0 } },
    );
    expect(await cluster.runner().run(attempt, record(), signal())).toMatchObject({
      kind: 'failed',
      reason: 'the script used more memory than resources.memoryMb allows, 64 MiB',
      retryable: false,
    });
  });

  it('that runs longer than its limit is told to stop, and may save', async () => {
    const attempt = await cluster.attempt(SAVES, { timeLimitSec: 2 });
    const sink = record();
    expect(await cluster.runner().run(attempt, sink, signal())).toEqual({
      kind: 'timed_out',
      reason: 'the script ran longer than its limit of 2 s',
    });
    expect(sink.text('stdout')).toContain('saved');
  });

  it('that is cancelled saves, and ends with its Job', async () => {
    const attempt = await cluster.attempt(SAVES);
    const stop = new AbortController();
    const sink = record((line) => line === 'begun' && stop.abort(new Error('cancelled on request')));
    expect(await cluster.runner().run(attempt, sink, stop.signal)).toEqual({
      kind: 'cancelled',
      reason: 'cancelled on request',
    });
    expect(sink.text('stdout')).toBe('begun\nsaved');
    expect(await cluster.jobs(attempt.jobId)).toEqual([]);
  });

  it('whose image does not exist fails after a while, with the words of the node', async () => {
    const attempt = await cluster.attempt('print(1)', { image: 'dev.local/no-such-image:1' });
    const sink = record();
    const end = await cluster.runner({ imagePatienceMs: 3000 }).run(attempt, sink, signal());
    expect(end).toMatchObject({ kind: 'failed', retryable: false, exitCode: null });
    expect(end.kind === 'failed' && end.reason).toMatch(/^the image dev.local\/no-such-image:1 cannot be pulled: /);
    expect(sink.phases).not.toContain('running');
  });

  it('that no node has room for waits and says so, until it is cancelled', async () => {
    const attempt = await cluster.attempt('print(1)', { resources: { cpus: 900, memoryMb: 64, gpus: 0 } });
    const stop = new AbortController();
    const details: string[] = [];
    const sink = {
      ...record(),
      phase: async (_phase: string, detail: string) => {
        details.push(detail);
        if (detail.startsWith('no node has room')) stop.abort();
      },
    };
    expect(await cluster.runner().run(attempt, sink, stop.signal)).toMatchObject({ kind: 'cancelled' });
    expect(details.at(-1)).toMatch(/Insufficient cpu/);
  });

  it('goes on when its worker dies: the next attempt takes its Job over', async () => {
    const attempt = await cluster.attempt(`import time
for step in range(6):
    print(f"step={step} loss={step}.5", flush=True)
    time.sleep(1)
`);
    const dies = new AbortController();
    const first = record((line) => line.startsWith('step=1') && dies.abort(new LetGo('its worker was stopped')));
    expect(await cluster.runner().run(attempt, first, dies.signal)).toMatchObject({ kind: 'cancelled' });
    const second = record();
    const end = await cluster.runner().run({ ...attempt, number: 2 }, second, signal());
    expect(end).toMatchObject({ kind: 'succeeded' });
    expect(second.text('system')).toMatch(/^goes on with sluice-job-\w+-1, /);
    expect(second.lines.filter(({ stream }) => stream === 'stdout')).toHaveLength(6);
    expect(second.metrics.filter(({ name }) => name === 'loss').map(({ value }) => value)).toEqual([
      0.5, 1.5, 2.5, 3.5, 4.5, 5.5,
    ]);
    // and once more, when it has ended: nothing is begun anew
    const third = record();
    expect(await cluster.runner().run({ ...attempt, number: 3 }, third, signal())).toMatchObject({ kind: 'succeeded' });
    expect(await cluster.jobs(attempt.jobId)).toHaveLength(1);
  });

  it('that somebody deletes on the cluster is cancelled', async () => {
    const attempt = await cluster.attempt(SAVES);
    const sink = record((line) => {
      if (line === 'begun') void cluster.api.delete(JOBS, jobName(attempt.jobId, 1), { propagation: 'Foreground' });
    });
    expect(await cluster.runner().run(attempt, sink, signal())).toEqual({
      kind: 'cancelled',
      reason: `its Job ${jobName(attempt.jobId, 1)} was deleted on the cluster`,
    });
  });

  it('whose pod is deleted was taken away, and goes on from its checkpoint', async () => {
    const attempt = await cluster.attempt(`import os, time
at = os.path.join(os.environ["SLUICE_CHECKPOINT_DIR"], "at")
if os.path.exists(at):
    print("found", open(at).read())
    raise SystemExit(0)
open(at, "w").write("epoch 7")
print("begun", flush=True)
time.sleep(60)
`);
    const runner = cluster.runner();
    const sink = record(async (line) => {
      if (line !== 'begun') return;
      const { items } = await cluster.api.list(PODS, { labelSelector: `${JOB_LABEL}=${attempt.jobId}` });
      await cluster.api.delete(PODS, items[0]?.metadata.name ?? '');
    });
    expect(await runner.run(attempt, sink, signal())).toMatchObject({ kind: 'preempted' });
    const again = record();
    expect(await runner.run({ ...attempt, number: 2 }, again, signal())).toMatchObject({ kind: 'succeeded' });
    expect(again.text('stdout')).toBe('found epoch 7');
  });

  it('of two replicas lets them find each other', async () => {
    const attempt = await cluster.attempt(MEETING, { replicas: 2, distributed: TORCH });
    const sink = record();
    expect(await cluster.runner().run(attempt, sink, signal())).toMatchObject({ kind: 'succeeded' });
    expect(sink.text('stdout')).toBe('rank 0 of 2 heard: hello from rank 1');
  });

  it('of two replicas ends when one fails, and says which', async () => {
    const attempt = await cluster.attempt(
      `import os, time
if os.environ["RANK"] == "1":
    raise SystemExit("rank 1 gives up")
time.sleep(60)
`,
      { replicas: 2, distributed: TORCH },
    );
    const sink = record();
    expect(await cluster.runner().run(attempt, sink, signal())).toMatchObject({
      kind: 'failed',
      reason: 'replica 1: the script ended with exit code 1: rank 1 gives up',
      exitCode: 1,
    });
    expect(sink.text('system')).toContain('[replica 1] rank 1 gives up');
  });

  it('goes on while the API server is away, and tells all of it later', async () => {
    const away = await cluster.interruptible();
    const attempt = await cluster.attempt(`import time
for step in range(8):
    print("line", step, flush=True)
    time.sleep(0.5)
`);
    const sink = record((line) => {
      if (line === 'line 1') away.interrupt(6000);
    });
    expect(await cluster.runner({ api: away.api }).run(attempt, sink, signal())).toMatchObject({ kind: 'succeeded' });
    expect(sink.text('stdout').split('\n')).toEqual(Array.from({ length: 8 }, (_, step) => `line ${step}`));
    await away.close();
  });

  it('tells each line once, however often the stream of its log breaks', async () => {
    const attempt = await cluster.attempt(`import time
for step in range(30):
    print("line", step, flush=True)
    time.sleep(0.1)
`);
    let streams = 0;
    // the connection breaks after five lines of each stream
    const breaking = Object.create(cluster.api, {
      logs: {
        value: async function* (...given: Parameters<typeof cluster.api.logs>) {
          streams += 1;
          let lines = 0;
          for await (const line of cluster.api.logs(...given)) {
            yield line;
            if (++lines === 20 && streams < 6) throw new Error('the connection broke');
          }
        },
      },
    });
    const sink = record();
    expect(await cluster.runner({ api: breaking }).run(attempt, sink, signal())).toMatchObject({ kind: 'succeeded' });
    expect(sink.text('stdout').split('\n')).toEqual(Array.from({ length: 30 }, (_, step) => `line ${step}`));
    expect(streams).toBeGreaterThan(1);
  });
});

const TORCH = { framework: 'torch', processesPerReplica: 1 } as const;

/** Rank 1 greets rank 0 at MASTER_ADDR. */
const MEETING = `import os, socket, time
rank, size = os.environ["RANK"], os.environ["WORLD_SIZE"]
where = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
if rank == "0":
    with socket.create_server(("", where[1])) as server:
        peer, _ = server.accept()
        print(f"rank 0 of {size} heard:", peer.recv(100).decode())
else:
    for _ in range(100):
        try:
            with socket.create_connection(where, 5) as peer:
                peer.sendall(f"hello from rank {rank}".encode())
            break
        except OSError:
            time.sleep(0.2)
`;
