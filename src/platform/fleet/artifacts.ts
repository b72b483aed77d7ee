/** Model artifacts as folders on this machine: what a model server can be pointed at. */
import { copyFile, link, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Blobs } from '../../core/blobs.js';
import { type Artifact, entryFile } from '../../core/models/model.js';
import { AppError } from '../../errors.js';
import { exists } from '../exists.js';

export interface Artifacts {
  /** Where the artifact's model is, as its engine wants to be pointed at it; its files lie there as they were uploaded. */
  locate(artifact: Artifact): Promise<LocalModel>;
  /** The folder of the artifact's files, whatever they are. */
  layOut(artifact: Artifact): Promise<string>;
}

/** A model's file or folder on this machine. */
export interface LocalModel {
  readonly path: string;
  readonly framework: string;
}

/**
 * Lays artifacts out under `folder`, each once. Files are hard links to the blobs where the file system allows (model
 * servers refuse external data behind a symbolic link), copies otherwise. A folder is whole or absent.
 */
export function createArtifacts(folder: string, blobs: Blobs): Artifacts {
  const underway = new Map<string, Promise<void>>();

  const make = async (artifact: Artifact, target: string): Promise<void> => {
    if (await exists(target)) return;
    await mkdir(folder, { recursive: true });
    const draft = await mkdtemp(join(folder, '.draft-'));
    try {
      for (const file of artifact.files) {
        const path = join(draft, file.path);
        await mkdir(dirname(path), { recursive: true });
        const source = await blobs.localPath(file.digest);
        await link(source, path).catch(() => copyFile(source, path));
      }
      await rename(draft, target);
    } catch (error) {
      await rm(draft, { recursive: true, force: true });
      // another process was faster: its folder has the same content
      if (!(await exists(target))) throw error;
    }
  };

  const layOut = async (artifact: Artifact): Promise<string> => {
    const target = join(folder, artifact.digest.replace(':', '-'));
    let work = underway.get(target);
    if (!work) {
      work = make(artifact, target).finally(() => underway.delete(target));
      underway.set(target, work);
    }
    await work;
    return target;
  };

  return {
    layOut,
    async locate(artifact) {
      const entry = entryFile(artifact.files);
      if (!entry)
        throw new AppError('unsupported', `no model file among ${artifact.files.map((file) => file.path).join(', ')}`);
      return { path: join(await layOut(artifact), entry.path), framework: entry.framework };
    },
  };
}
