/** What gates are checked with, where a test needs few of their parts. */
import { systemClock } from '../../src/clock.js';
import type { LoadedModel, Sandbox } from '../../src/core/fleet.js';
import type { Forward } from '../../src/core/inference/forward.js';
import type { Artifact } from '../../src/core/models/model.js';
import type { GateDeps } from '../../src/core/promotions/run-gates.js';
import { memoryBlobs } from './memory-blobs.js';

/** For gates that read no data and ask nobody. */
export const NO_GATES: Pick<GateDeps, 'blobs' | 'askWebhook' | 'clock'> = {
  blobs: memoryBlobs(),
  askWebhook: async () => {
    throw new Error('nobody asks');
  },
  clock: systemClock,
};

type Tensor = { name: string; datatype: string; shape: number[]; data: number[] };

/** A model that computes one output from the flat values of each row of its first input. */
export function functionModel(
  compute: (row: readonly number[]) => number | readonly number[],
  memoryBytes: () => number | undefined = () => undefined,
): LoadedModel {
  const forward: Forward = (call, handler) => {
    const { inputs } = JSON.parse(call.body.toString('utf8')) as { inputs: Tensor[] };
    const [first] = inputs;
    const rows = first?.shape[0] ?? 0;
    const width = (first?.data.length ?? 0) / rows;
    const data = Array.from({ length: rows }, (_, at) =>
      compute(first?.data.slice(at * width, (at + 1) * width) ?? []),
    ).flat();
    const body = Buffer.from(JSON.stringify({ outputs: [{ name: 'y', data }] }));
    handler.onReply({ status: 200, headers: {}, more: false, worked: true }, body);
    return { cancel() {}, pause() {}, resume() {} };
  };
  return {
    signature: { inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 2] }], outputs: [] },
    forward,
    loadMs: 1,
    memoryBytes: async () => memoryBytes(),
  };
}

/** A sandbox whose models are given, by the digest of their artifact. */
export function sandboxOf(models: Readonly<Record<string, LoadedModel>>): Sandbox {
  return {
    async withModel(model, use) {
      const loaded = models[model.artifact.digest];
      if (!loaded) throw new Error(`no model ${model.artifact.digest}`);
      return use(loaded);
    },
    close: async () => {},
  };
}

/** An artifact of nothing under a name of its own. */
export function artifactNamed(name: string): Artifact {
  return { digest: `sha256:${name}`, bytes: 0, files: [] };
}
