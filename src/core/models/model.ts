import { createHash } from 'node:crypto';
import { z } from 'zod';
import { DIGEST_PATTERN, type Digest } from '../blobs.js';
import type { ServerSpec } from './server.js';

/** One file of a model, stored as a blob. */
export const artifactFileSchema = z
  .object({
    path: z
      .string()
      .min(1)
      .max(1024)
      .refine(
        (path) =>
          !path.startsWith('/') &&
          !path.includes('\\') &&
          path.split('/').every((part) => part !== '' && part !== '.' && part !== '..'),
        'must be a plain relative path',
      )
      // a line break could make two sets of files look alike where the set is named
      .refine((path) => !/\p{Cc}/u.test(path), 'must hold no control characters'),
    digest: z.string().regex(DIGEST_PATTERN, 'must be sha256: and 64 hex digits'),
  })
  .strict();

export interface ArtifactFile {
  readonly path: string;
  readonly digest: Digest;
  readonly bytes: number;
}

/** A model's files. The digest names the set, whatever order the files were given in. */
export interface Artifact {
  readonly digest: Digest;
  readonly bytes: number;
  readonly files: readonly ArtifactFile[];
}

/** Where a version came from. */
export interface Lineage {
  readonly kind: 'upload' | 'job';
  readonly jobId?: string;
  readonly attempt?: number;
  readonly code?: Digest;
  readonly params?: Readonly<Record<string, unknown>>;
  /** Digests of the data it was made from, as far as known. */
  readonly data?: readonly Digest[];
  readonly actor: string;
}

/** What can be served: the files of a model for one of our engines, or somebody else's server, perhaps with files. */
export interface Servable {
  readonly artifact: Artifact;
  readonly server?: ServerSpec | undefined;
}

/** What a row of a version or a revision says is to be served. */
export function servable(row: { readonly artifact: Artifact; readonly server: ServerSpec | null }): Servable {
  return { artifact: row.artifact, server: row.server ?? undefined };
}

export interface ModelVersion {
  readonly project: string;
  readonly model: string;
  readonly version: number;
  readonly artifact: Artifact;
  readonly framework: string;
}

/** The artifact that these files make. */
export function artifactOf(files: readonly ArtifactFile[]): Artifact {
  const sorted = [...files].sort((a, b) => (a.path < b.path ? -1 : 1));
  const listing = sorted.map((file) => `${file.digest} ${file.path}\n`).join('');
  return {
    digest: `sha256:${createHash('sha256').update(listing).digest('hex')}`,
    bytes: sorted.reduce((sum, file) => sum + file.bytes, 0),
    files: sorted,
  };
}

/** Files at the root of an artifact that make it a model of the Python runtime, which takes the whole folder. */
const PYTHON_MODELS = /^(MLmodel|model\.(py|joblib|pkl|pickle|json|ubj|bst))$/;

/** What `entryFile` looks for, for people. */
export const MODEL_FILES =
  'model.onnx or one other .onnx file, saved_model.pb (a TensorFlow SavedModel), MLmodel (MLflow), model.py (a class), ' +
  'model.joblib or model.pkl (scikit-learn), model.json, model.ubj or model.bst (XGBoost)';

/** What a model server is pointed at: a file of the artifact or a folder in it, and the framework that runs it. */
export interface Entry {
  /** Relative to the artifact; empty: the artifact as a whole. */
  readonly path: string;
  readonly framework: 'onnx' | 'tensorflow' | 'python';
}

/** The entry of an artifact with these files; undefined when there is no model among them that is known. */
export function entryFile(files: readonly { readonly path: string }[]): Entry | undefined {
  const models = files.filter((file) => file.path.endsWith('.onnx'));
  const entry = models.find((file) => file.path === 'model.onnx') ?? (models.length === 1 ? models[0] : undefined);
  if (entry) return { path: entry.path, framework: 'onnx' };
  const folder = savedModelFolder(files.map((file) => file.path));
  if (folder !== undefined) return { path: folder, framework: 'tensorflow' };
  return files.some((file) => PYTHON_MODELS.test(file.path)) ? { path: '', framework: 'python' } : undefined;
}

/**
 * The folder of the SavedModel: the top, or the one folder below it that holds `saved_model.pb`; of numbered ones, as
 * TensorFlow Serving keeps versions, the highest.
 */
function savedModelFolder(paths: readonly string[]): string | undefined {
  if (paths.includes('saved_model.pb')) return '';
  const folders = paths.flatMap((path) => /^([^/]+)\/saved_model\.pb$/.exec(path)?.[1] ?? []);
  if (folders.length === 1) return folders[0];
  const numbered = folders.filter((name) => /^\d+$/.test(name));
  return numbered.sort((a, b) => Number(b) - Number(a))[0];
}
