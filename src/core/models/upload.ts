/** Registers a model that somebody brings, after it has loaded in the real runtime. */
import { createHash } from 'node:crypto';
import { AppError } from '../../errors.js';
import { findBlob } from '../datasets/store.js';
import type { Sandbox } from '../fleet.js';
import type { Db } from '../schema.js';
import { type Artifact, type ArtifactFile, artifactOf, type Entry, entryFile, MODEL_FILES } from './model.js';
import type { ServerSpec } from './server.js';
import { findBySource, registerVersion } from './store.js';

export interface Upload {
  readonly project: string;
  readonly model: string;
  /** Files whose blobs the project stored before. */
  readonly files: readonly { readonly path: string; readonly digest: string }[];
  /** The server that serves it, where that is none of ours. */
  readonly server?: ServerSpec | undefined;
  readonly metrics: Readonly<Record<string, number>>;
  readonly actor: string;
}

/** The same files again are the version that stands. `invalid` with the engine's words when the model does not load. */
export async function registerUpload(
  { db, sandbox }: { readonly db: Db; readonly sandbox: Sandbox },
  upload: Upload,
): Promise<{ version: number; created: boolean }> {
  const { project, model, metrics, actor, server } = upload;
  const artifact = artifactOf(await withSizes(db, project, upload.files));
  const source = `upload:${artifact.digest}${server ? `:${sha256(JSON.stringify(server))}` : ''}`;
  const before = await findBySource(db, project, model, source);
  if (before) return { version: before.version, created: false };
  const framework = server ? 'external' : entryOf(artifact).framework;
  const signature = await sandbox.withModel({ artifact, server }, async (loaded) => loaded.signature);
  const lineage = { kind: 'upload', actor } as const;
  return registerVersion(db, { project, model, artifact, framework, signature, server, metrics, lineage, source });
}

function entryOf({ files }: Artifact): Entry {
  const entry = entryFile(files);
  if (entry) return entry;
  const paths = files.map((file) => file.path).join(', ');
  throw new AppError('invalid', `files: no model among ${paths}; expected is ${MODEL_FILES}`, {
    details: { field: 'files' },
  });
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

async function withSizes(db: Db, project: string, files: Upload['files']): Promise<ArtifactFile[]> {
  const paths = new Set<string>();
  const sized: ArtifactFile[] = [];
  for (const [at, file] of files.entries()) {
    if (paths.has(file.path)) throw new AppError('invalid', `files[${at}].path: "${file.path}" is named twice`);
    paths.add(file.path);
    const blob = await findBlob(db, project, file.digest);
    if (!blob) {
      throw new AppError('invalid', `files[${at}].digest: ${file.digest} was not uploaded to this project`, {
        details: { field: `files[${at}].digest`, value: file.digest },
      });
    }
    sized.push({ ...file, bytes: blob.bytes });
  }
  return sized;
}
