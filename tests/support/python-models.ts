/** Models in Python for tests: fixtures and texts, and an interpreter with numpy. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { pythonWith } from './python-environment.js';

/** The folder of a fixture model. */
export const pythonModel = (name: string) =>
  fileURLToPath(new URL(`../fixtures/python-models/${name}`, import.meta.url));

/** An interpreter with numpy; says so on the console where there cannot be one, and `missing` then holds why. */
export async function pythonWithNumpy(): Promise<{ readonly python: string; readonly missing: string | undefined }> {
  const found = await pythonWith(['numpy']);
  if (!('missing' in found)) return { python: found.python, missing: undefined };
  console.warn(`Python models are not tested: ${found.missing}`);
  return { python: '', missing: found.missing };
}

const folders: string[] = [];

/** A folder with these files, for a model of a test's own; `removeModels` removes it. */
export function modelFolder(files: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-python-model-'));
  folders.push(folder);
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  return folder;
}

/** For `afterAll`. */
export function removeModels(): void {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
}
