/** Estimators with scikit-learn's interface, without scikit-learn: a pickled class of the test's own. */
import { execFileSync } from 'node:child_process';
import { afterAll, describe, expect, it } from 'vitest';
import { modelFolder, pythonWithNumpy, removeModels } from '../../../tests/support/python-models.js';
import { makeTensor, type Tensor } from '../../protocol/tensor.js';
import type { Engine, Loaded } from '../engine.js';
import { python as kind } from './engine.js';

const { python, missing } = await pythonWithNumpy();

const OWN = `
import numpy as np

class Sum:
    n_jobs = -1
    n_features_in_ = 3
    def get_params(self, deep): return {"n_jobs": self.n_jobs}
    def set_params(self, n_jobs): self.n_jobs = n_jobs
    def predict(self, rows): return np.where(rows.sum(axis=1) > 0, "up", "down")
    def predict_proba(self, rows): return np.stack([rows.sum(axis=1), np.full(len(rows), self.n_jobs)], axis=1)

class Named(Sum):
    feature_names_in_ = np.array(["a", "b", "c"], dtype=object)

class Texts:
    def transform(self, texts): return [len(text) for text in texts]
`;

async function withEstimator<T>(name: string, use: (engine: Engine, loaded: Loaded) => Promise<T>): Promise<T> {
  const folder = modelFolder({ 'own.py': OWN });
  const dump = `import own, pickle; pickle.dump(own.${name}(), open('model.pkl', 'wb'))`;
  execFileSync(python, ['-c', dump], { cwd: folder });
  const engine = kind.create({ python });
  try {
    return await use(engine, await engine.load({ path: folder }, { intraOpNumThreads: 2 }));
  } finally {
    await engine.unload();
  }
}

const fp64 = (name: string, shape: number[], ...data: number[]) =>
  makeTensor(name, 'FP64', shape, Float64Array.from(data));
const words = (name: string, ...data: string[]) =>
  makeTensor(
    name,
    'BYTES',
    [data.length],
    data.map((word) => Buffer.from(word)),
  );
const ask = (engine: Engine, inputs: readonly Tensor[], outputs?: readonly string[]) =>
  engine.infer({ inputs, outputs, signature: undefined });

afterAll(removeModels);

describe.skipIf(missing)('an estimator', () => {
  it('is described by what it gives', async () => {
    await withEstimator('Sum', async (_engine, loaded) => {
      expect(loaded).toMatchObject({
        signature: {
          inputs: [{ name: 'input-0', datatype: 'FP64', shape: [-1, 3] }],
          outputs: [
            { name: 'predict', datatype: 'BYTES', shape: [-1] },
            { name: 'predict_proba', datatype: 'FP64', shape: [-1, 2] },
          ],
        },
        open: true,
        batchable: true,
      });
    });
  });

  it('takes one table or its columns, and gives what is asked for', async () => {
    await withEstimator('Sum', async (engine) => {
      const table = fp64('any', [2, 3], 1, 2, 3, -1, -2, -3);
      expect(await ask(engine, [table])).toEqual([words('predict', 'up', 'down')]);
      const columns = [fp64('p', [2], 1, -1), fp64('q', [2, 1], 2, -2), fp64('r', [2], 3, -3)];
      // it was told to use two threads, whatever it was made with
      expect(await ask(engine, columns, ['predict_proba', 'predict'])).toEqual([
        fp64('predict_proba', [2, 2], 6, 2, -6, 2),
        words('predict', 'up', 'down'),
      ]);
    });
  });

  it.each([
    ['too wide a table', [fp64('x', [1, 4], 1, 2, 3, 4)], undefined, 'has shape [1, 4], the model takes [-1, 3]'],
    ['too many dimensions', [fp64('x', [1, 3, 1], 1, 2, 3)], undefined, 'the model takes rows: [-1, 3]'],
    ['too few columns', [fp64('x', [1], 1), fp64('y', [1], 1)], undefined, 'there are 2 columns, the model takes 3'],
    ['columns of two lengths', [fp64('x', [1], 1), fp64('y', [2], 1, 2)], undefined, '"x" and "y" differ in length'],
    ['an unknown output', [fp64('x', [1, 3], 1, 2, 3)], ['score'], 'has no output "score"; it gives "predict", "pred'],
    ['nothing', [], undefined, 'there are no inputs'],
  ])('refuses %s', async (_what, inputs, outputs, message) => {
    await withEstimator('Sum', async (engine) => {
      await expect(ask(engine, inputs, outputs)).rejects.toMatchObject({
        code: 'invalid',
        message: expect.stringContaining(message),
      });
    });
  });

  it('finds its columns by their names, in any order', async () => {
    await withEstimator('Named', async (engine) => {
      const [a, b, c] = [fp64('a', [1], 1), fp64('b', [1], 2), fp64('c', [1], -9)] as const;
      expect(await ask(engine, [c, a, b])).toEqual([words('predict', 'down')]);
      await expect(ask(engine, [a, b])).rejects.toMatchObject({ message: expect.stringContaining('"c" is missing') });
      await expect(ask(engine, [a, b, c, fp64('d', [1], 1)])).rejects.toMatchObject({
        message: 'the model has no input "d"; it takes "a", "b", "c"',
      });
    });
  });

  it('takes a list of texts, and transforms where it does not predict', async () => {
    await withEstimator('Texts', async (engine, loaded) => {
      expect(loaded.signature).toEqual({ inputs: [], outputs: [] });
      const lengths = makeTensor('transform', 'INT64', [2], BigInt64Array.of(1n, 3n));
      expect(await ask(engine, [words('texts', 'é', 'abc')])).toEqual([lengths]);
      const odd = makeTensor('texts', 'BYTES', [1], [Buffer.from([0xff])]);
      await expect(ask(engine, [odd])).rejects.toMatchObject({
        code: 'invalid',
        message: 'input "texts": element 0 is not UTF-8',
      });
    });
  });
});
