import { expect, it, vi } from 'vitest';
import { onnx } from './onnx/engine.js';
import { rehearse } from './rehearse.js';

it('runs the whole way, from the load to the unload', async () => {
  const verbs: string[] = [];
  const createSample = () => {
    const sample = onnx.createSample({});
    for (const verb of ['load', 'infer', 'unload'] as const) {
      const original = sample[verb].bind(sample) as (...args: unknown[]) => Promise<never>;
      vi.spyOn(sample, verb).mockImplementation(async (...args: unknown[]) => {
        const result = await original(...args);
        verbs.push(verb);
        return result;
      });
    }
    return sample;
  };
  await rehearse({ ...onnx, createSample }, {});
  expect(verbs).toEqual(['load', 'infer', 'infer', 'infer', 'unload']);
});
