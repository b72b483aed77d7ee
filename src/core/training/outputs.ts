/** What a finished attempt leaves behind becomes a model version. */
import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { AppError } from '../../errors.js';
import { storeBlob } from '../blob-references.js';
import type { Blobs } from '../blobs.js';
import { recordBlob } from '../datasets/store.js';
import type { Sandbox } from '../fleet.js';
import { type ArtifactFile, artifactOf, entryFile, MODEL_FILES } from '../models/model.js';
import { registerVersion } from '../models/store.js';
import type { Db } from '../schema.js';
import { lastMetrics } from './output-store.js';
import type { JobSpec } from './spec.js';

export interface OutputDeps {
  readonly db: Db;
  readonly blobs: Blobs;
  readonly sandbox: Sandbox;
}

export interface FinishedAttempt {
  readonly jobId: string;
  readonly attempt: number;
  readonly project: string;
  readonly model: string;
  readonly spec: JobSpec;
  readonly outputPath: string;
}

/**
 * Stores the output folder's files, loads the model in the real model server to read its signature, and registers the
 * version. `invalid` when there is no model or it does not load. Registering the same job again answers the same version.
 */
export async function registerOutputs(deps: OutputDeps, attempt: FinishedAttempt): Promise<number> {
  const folder = await modelFolder(attempt.outputPath);
  const paths = await filesUnder(folder);
  const entry = entryFile(paths.map((path) => ({ path })));
  if (!entry) {
    const found = paths.length ? `it holds ${paths.slice(0, 10).join(', ')}` : 'it is empty';
    throw new AppError(
      'invalid',
      `the script wrote no model to its output folder, ${found}; expected is ${MODEL_FILES}`,
    );
  }
  const files: ArtifactFile[] = [];
  for (const path of paths) {
    const { digest, bytes } = await storeBlob(deps.db, deps.blobs, createReadStream(join(folder, path)));
    await recordBlob(deps.db, attempt.project, digest, bytes);
    files.push({ path, digest, bytes });
  }
  const artifact = artifactOf(files);
  const signature = await deps.sandbox.withModel({ artifact }, async (model) => model.signature);
  const { spec } = attempt;
  const { version } = await registerVersion(deps.db, {
    project: attempt.project,
    model: attempt.model,
    artifact,
    framework: entry.framework,
    signature,
    metrics: await lastMetrics(deps.db, attempt.jobId, attempt.attempt),
    lineage: {
      kind: 'job',
      jobId: attempt.jobId,
      attempt: attempt.attempt,
      code: spec.code,
      params: spec.params,
      actor: `job ${spec.name}`,
    },
    source: `job:${attempt.jobId}`,
  });
  return version;
}

/** A folder `model` in the output is the model; without one, all of the output is. */
async function modelFolder(outputPath: string): Promise<string> {
  const inner = join(outputPath, 'model');
  const isFolder = await stat(inner).then(
    (entry) => entry.isDirectory(),
    () => false,
  );
  return isFolder ? inner : outputPath;
}

/** Plain files below a folder, as relative paths. Links are not followed: they could lead anywhere on the machine. */
async function filesUnder(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)).split(sep).join('/'))
    .sort();
}
