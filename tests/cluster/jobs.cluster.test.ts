import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type JobsCluster, KUBECONFIG, openJobsCluster } from '../support/jobs-cluster.js';
import { record } from '../support/training-bench.js';

// needs a cluster: SLUICE_TEST_KUBECONFIG names one, with the image of jobs on its nodes
describe.skipIf(KUBECONFIG === undefined)('a job on a cluster', { timeout: 120_000 }, () => {
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
});
