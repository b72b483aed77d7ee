/** Named, versioned data and the ledger of blobs: which project brought which bytes. */
import { AppError } from '../../errors.js';
import type { Digest } from '../blobs.js';
import { emit } from '../events/store.js';
import type { Db } from '../schema.js';

/** Notes that a project stored a blob. Only what it brought itself can it use, so a digest is no way to another's data. */
export async function recordBlob(db: Db, project: string, digest: Digest, bytes: number): Promise<void> {
  await db
    .insertInto('blobs')
    .values({ project, digest, bytes })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}

export async function findBlob(db: Db, project: string, digest: Digest): Promise<{ bytes: number } | undefined> {
  return db
    .selectFrom('blobs')
    .select('bytes')
    .where('project', '=', project)
    .where('digest', '=', digest)
    .executeTakeFirst();
}

/** Adds a version of a dataset; the bytes of the newest version again are that version. */
export async function addDataset(
  db: Db,
  project: string,
  name: string,
  digest: Digest,
  bytes: number,
): Promise<{ version: number; created: boolean }> {
  for (let tries = 0; ; tries++) {
    const newest = await findDataset(db, project, name);
    if (newest?.digest === digest) return { version: newest.version, created: false };
    const version = (newest?.version ?? 0) + 1;
    const created = await db.transaction().execute(async (tx) => {
      const made = await tx
        .insertInto('datasets')
        .values({ project, name, version, digest, bytes })
        .onConflict((conflict) => conflict.doNothing())
        .executeTakeFirst();
      if (made.numInsertedOrUpdatedRows === 0n) return false;
      const data = { dataset: name, version, digest, bytes };
      await emit(tx, { project, kind: 'dataset.added', subject: `dataset/${name}`, data });
      return true;
    });
    if (created) return { version, created };
    if (tries === 20) throw new AppError('conflict', `dataset "${name}" changes too fast; try again`);
  }
}

export async function listDatasets(db: Db, project: string) {
  return db
    .selectFrom('datasets')
    .selectAll()
    .where('project', '=', project)
    .orderBy('name')
    .orderBy('version', 'desc')
    .execute();
}

/** All versions of one dataset, newest first. */
export async function listDatasetVersions(db: Db, project: string, name: string) {
  return db
    .selectFrom('datasets')
    .selectAll()
    .where('project', '=', project)
    .where('name', '=', name)
    .orderBy('version', 'desc')
    .execute();
}

/** A version of a dataset, the newest by default; undefined when there is none. */
export async function findDataset(db: Db, project: string, name: string, version?: number) {
  return db
    .selectFrom('datasets')
    .selectAll()
    .where('project', '=', project)
    .where('name', '=', name)
    .$if(version !== undefined, (query) => query.where('version', '=', version as number))
    .orderBy('version', 'desc')
    .limit(1)
    .executeTakeFirst();
}
