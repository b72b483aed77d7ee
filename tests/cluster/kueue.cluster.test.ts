/** Jobs in a queue of a real Kueue: `npm run cluster -- training` puts one on the cluster. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { jobName } from '../../src/core/cluster-names.js';
import type { AttemptSink } from '../../src/core/training/runner.js';
import { JOBS, TRAIN_JOBS } from '../../src/platform/kubernetes/jobs/objects.js';
import { NO_CLUSTER } from '../support/cluster.js';
import { type JobsCluster, openJobsCluster } from '../support/jobs-cluster.js';
import { record } from '../support/training-bench.js';
import { knows, makeQuota, makeRuntime, type Quota } from '../support/training-operators.js';

const SKIP = NO_CLUSTER || !(await knows('workloads.kueue.x-k8s.io', 'trainjobs.trainer.kubeflow.org'));
const QUEUE = { kueueQueue: 'research' };

// each job takes 0.25 CPUs: two do not run side by side
describe.skipIf(SKIP).each([
  ['Jobs', JOBS, QUEUE],
  ['TrainJobs', TRAIN_JOBS, { ...QUEUE, trainJobRuntime: 'TrainingRuntime/sluice' }],
] as const)('%s in a queue of Kueue', { timeout: 120_000 }, (_, kind, settings) => {
  let cluster: JobsCluster;
  let quota: Quota;
  beforeAll(async () => {
    cluster = await openJobsCluster();
    await makeRuntime(cluster.api);
    quota = await makeQuota(cluster.api, '300m');
  });
  afterAll(async () => {
    await quota?.remove();
    await cluster?.close();
  });
  const signal = () => new AbortController().signal;

  it('wait for one another and say for what; the wait counts for no time limit', async () => {
    const first = await cluster.attempt(`import time\nprint("begun", flush=True)\ntime.sleep(9)\n`);
    const second = await cluster.attempt('import time\nprint("second", flush=True)\ntime.sleep(1)\n', {
      timeLimitSec: 5,
    });
    const [one, two] = [cluster.runner(settings), cluster.runner(settings)];
    const [begun, toldFirst] = when('begun');
    const running = one.run(first, toldFirst, signal());
    await begun;
    const sink = record();
    const waits: string[] = [];
    const waiting = two.run(second, heard(sink, waits), signal());
    expect(await Promise.all([running, waiting])).toMatchObject([{ kind: 'succeeded' }, { kind: 'succeeded' }]);
    expect(waits.join('\n')).toMatch(
      /^waits in the queue research of Kueue: .*insufficient unused quota for cpu in flavor .*, 200m more needed/m,
    );
    expect(sink.text('stdout')).toBe('second');
    expect(sink.phases.slice(0, 1)).toEqual(['waiting']);
  });

  it('of which one is preempted go on from the checkpoint when there is room again, and no attempt is lost', async () => {
    const humble = await cluster.attempt(CHECKPOINTED);
    const urgent = await cluster.attempt('print("urgent")');
    const sink = record();
    const waits: string[] = [];
    const [begun, told] = when('begun', heard(sink, waits));
    const running = cluster.runner(settings).run(humble, told, signal());
    await begun;
    // its first checkpoint is handed in after a second
    await new Promise((resolve) => setTimeout(resolve, 2500));
    const name = jobName(urgent.jobId, 1);
    const runner = cluster.runner(settings);
    // as an administrator raises the priority of a job that waits
    const raised = record();
    const pushing = runner.run(
      urgent,
      {
        ...raised,
        phase: async (phase, detail) => {
          await raised.phase(phase, detail);
          if (/insufficient unused quota/.test(detail)) {
            await cluster.api.patch(kind, name, { metadata: { labels: quota.urgent } });
          }
        },
      },
      signal(),
    );
    expect(await pushing).toMatchObject({ kind: 'succeeded' });
    expect(await running).toMatchObject({ kind: 'succeeded' });
    expect(sink.text('stdout')).toBe('begun\ntold to stop\nfound epoch 7');
    expect(sink.text('system')).toMatch(/Kueue took its room away: Preempted to accommodate a workload/);
    expect(waits.join('\n')).toMatch(/waits in the queue research of Kueue: its room was taken away \(Preempted to/);
  });

  it.each([1, 2])('of %i replicas that are drained wait until their queue is open again', async (replicas) => {
    const resources = { cpus: 0.25 / replicas, memoryMb: 96, gpus: 0 };
    const attempt = await cluster.attempt(CHECKPOINTED, { replicas, resources });
    const sink = record();
    const waits: string[] = [];
    const [begun, told] = when('begun', heard(sink, waits));
    const running = cluster.runner(settings).run(attempt, told, signal());
    await begun;
    await new Promise((resolve) => setTimeout(resolve, 2500));
    await quota.stop(true);
    const waited = async (): Promise<void> => {
      if (waits.some((words) => /its room was taken away \(The ClusterQueue is stopped/.test(words))) return;
      await new Promise((resolve) => setTimeout(resolve, 200));
      return waited();
    };
    await waited();
    await quota.stop(false);
    expect(await running).toMatchObject({ kind: 'succeeded' });
    expect(sink.text('stdout')).toBe('begun\ntold to stop\nfound epoch 7');
  });

  it('that are cancelled while they wait leave the queue', async () => {
    await quota.stop(true);
    const attempt = await cluster.attempt('print(1)');
    const stop = new AbortController();
    const sink = record();
    const told: AttemptSink = {
      ...sink,
      phase: async (_phase, detail) => {
        if (/^waits in the queue research/.test(detail)) stop.abort(new Error('cancelled on request'));
      },
    };
    expect(await cluster.runner(settings).run(attempt, told, stop.signal)).toMatchObject({ kind: 'cancelled' });
    await quota.stop(false);
    expect(await cluster.api.get(kind, jobName(attempt.jobId, 1))).toBeUndefined();
  });
});

/** Keeps the words of waiting. */
function heard(sink: ReturnType<typeof record>, waits: string[]): ReturnType<typeof record> {
  return {
    ...sink,
    phase: async (phase, detail) => {
      if (phase === 'waiting') waits.push(detail);
      await sink.phase(phase, detail);
    },
  };
}

/** Resolves with a line of the script. */
function when(text: string, sink = record()): [Promise<void>, AttemptSink] {
  let tell = () => {};
  const told = new Promise<void>((resolve) => {
    tell = resolve;
  });
  return [
    told,
    {
      ...sink,
      log: async (stream, line) => {
        await sink.log(stream, line);
        if (line.includes(text)) tell();
      },
    },
  ];
}

const CHECKPOINTED = `import os, signal, sys, time
at = os.path.join(os.environ["SLUICE_CHECKPOINT_DIR"], "at")
if os.path.exists(at):
    print("found", open(at).read(), flush=True)
    sys.exit(0)
open(at, "w").write("epoch 7")
def stop(*_):
    print("told to stop", flush=True)
    sys.exit(1)
signal.signal(signal.SIGTERM, stop)
print("begun", flush=True)
time.sleep(60)
`;
