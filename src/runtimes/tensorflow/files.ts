import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { AppError } from '../../errors.js';

const FILE = 'saved_model.pb';

/**
 * The folder of a SavedModel: the path itself, or in it the one folder that holds `saved_model.pb`; of numbered ones, as
 * TensorFlow Serving keeps versions, the highest.
 */
export async function findSavedModel(path: string): Promise<string> {
  const found = await stat(path).catch(() => undefined);
  if (!found) throw new AppError('not_found', `there is no model at "${path}"`, { details: { path } });
  if (!found.isDirectory()) {
    if (basename(path) === FILE) return dirname(path);
    throw new AppError('invalid', `"${path}" is not a SavedModel: that is a folder with ${FILE}`, {
      details: { path },
    });
  }
  if (await holdsModel(path)) return path;
  const names = (await readdir(path)).sort();
  const holding = await Promise.all(names.map((name) => holdsModel(join(path, name))));
  const folders = names.filter((_, at) => holding[at]);
  const numbered = folders.filter((name) => /^\d+$/.test(name)).sort((a, b) => Number(b) - Number(a));
  const chosen = folders.length === 1 ? folders[0] : numbered[0];
  if (chosen !== undefined) return join(path, chosen);
  const problem = folders.length === 0 ? `has no ${FILE}` : `has several SavedModels: ${folders.join(', ')}`;
  throw new AppError('invalid', `the model folder "${path}" ${problem}`, { details: { path, folders } });
}

async function holdsModel(folder: string): Promise<boolean> {
  return stat(join(folder, FILE)).then(
    (found) => found.isFile(),
    () => false,
  );
}
