import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError } from '../../errors.js';

/**
 * The .onnx file of a model: the path itself, or in a folder `model.onnx`, or the only .onnx file there. External data
 * lies beside it and is found by ONNX Runtime.
 */
export async function findModelFile(path: string): Promise<string> {
  const found = await stat(path).catch(() => undefined);
  if (!found) throw new AppError('not_found', `there is no model at "${path}"`, { details: { path } });
  if (!found.isDirectory()) return path;
  const files = (await readdir(path)).filter((name) => name.endsWith('.onnx')).sort();
  const [only, ...others] = files.includes('model.onnx') ? ['model.onnx'] : files;
  if (only !== undefined && others.length === 0) return join(path, only);
  const problem = only === undefined ? 'has no .onnx file' : `has ${files.length} .onnx files and none is model.onnx`;
  throw new AppError('invalid', `the model folder "${path}" ${problem}`, { details: { path, files } });
}
