import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readModelRequirements } from './model-requirements.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-requirements-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function read(files: Readonly<Record<string, string>>): Promise<string[]> {
  for (const [path, text] of Object.entries(files)) await writeFile(join(folder, path), text);
  return readModelRequirements(folder, Object.keys(files));
}

const conda = `
channels: [conda-forge]
dependencies:
- python=3.11
- pip<=23
- pip:
  - mlflow==3.1.0
  - scikit-learn
name: mlflow-env
`;

describe('requirements of a model', () => {
  it.each([
    ['a class alone', { 'model.py': '' }, ['numpy']],
    ['a class with a list', { 'model.py': '', 'requirements.txt': 'six\n# no\n\nNumPy>=1\n' }, ['six', 'NumPy>=1']],
    ['scikit-learn alone', { 'model.joblib': '' }, ['scikit-learn', 'pandas', 'numpy']],
    ['XGBoost alone', { 'model.ubj': '' }, ['xgboost-cpu', 'scikit-learn', 'pandas', 'numpy']],
    [
      'lists that name another',
      { 'model.pkl': '', 'requirements.txt': '-r more.txt\nsix', 'more.txt': 'idna \\\n  ==3.7' },
      ['idna    ==3.7', 'six', 'numpy'],
    ],
    [
      'MLflow with a list',
      { MLmodel: '', 'requirements.txt': 'mlflow==3.1.0\nnumpy==2.0\n', 'conda.yaml': conda },
      ['mlflow==3.1.0', 'numpy==2.0'],
    ],
    [
      'MLflow with an environment',
      { MLmodel: '', 'python_env.yaml': 'python: 3.11.7\nbuild_dependencies: [pip]\ndependencies: [mlflow, "six>=1"]' },
      ['mlflow', 'six>=1', 'numpy'],
    ],
    ["conda's pip part", { MLmodel: '', 'conda.yaml': conda }, ['mlflow==3.1.0', 'scikit-learn', 'numpy']],
    [
      'MLflow that does not name itself',
      { MLmodel: 'mlflow_version: 3.1.0', 'requirements.txt': 'six' },
      ['six', 'mlflow-skinny==3.1.0', 'pandas', 'numpy'],
    ],
  ])('of %s', async (_what, files, expected) => {
    expect(await read(files as Record<string, string>)).toEqual(expected);
  });

  it.each([
    ['a list outside', { 'requirements.txt': '-r ../other.txt' }, 'is no other list in the model'],
    ['a list that names itself', { 'requirements.txt': '-r requirements.txt' }, 'is no other list in the model'],
    ['a list that is not there', { 'requirements.txt': '-r nothing.txt' }, 'nothing.txt of the model cannot be read'],
    ['no YAML', { 'conda.yaml': '{' }, 'conda.yaml is not YAML'],
  ])('refuse %s', async (_what, files, message) => {
    await expect(read(files as Record<string, string>)).rejects.toMatchObject({
      code: 'invalid',
      message: expect.stringContaining(message),
    });
  });
});
