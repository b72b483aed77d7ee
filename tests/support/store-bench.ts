/** A migrated database with a model and, where asked for, an endpoint: what tests of the stores begin with. */
import { afterAll } from 'vitest';
import { endpointSpecSchema } from '../../src/core/endpoints/endpoint.js';
import { createEndpoint, createRevision, setTraffic } from '../../src/core/endpoints/store.js';
import { artifactOf } from '../../src/core/models/model.js';
import { registerVersion } from '../../src/core/models/store.js';
import type { Db } from '../../src/core/schema.js';
import { migrate } from '../../src/platform/db/migrate.js';
import { type Database, openDatabase } from '../../src/platform/db/open.js';
import { onlyKnownKinds } from './known-kinds.js';
import { freshDatabase } from './postgres.js';
import { quietLog } from './quiet-log.js';

const open: Database[] = [];

afterAll(async () => {
  for (const database of open.splice(0)) {
    await onlyKnownKinds(database.db);
    await database.close();
  }
});

export async function migratedDatabase(): Promise<Db> {
  const database = openDatabase(await freshDatabase(), quietLog, 20);
  open.unshift(database);
  await migrate(database.db);
  return database.db;
}

/** Registers a version made from this source. */
export function addVersion(db: Db, model: string, source: string): Promise<{ version: number; created: boolean }> {
  const letter = ((source.length * 7) % 16).toString(16);
  return registerVersion(db, {
    project: 'default',
    model,
    artifact: artifactOf([{ path: 'model.onnx', digest: `sha256:${letter.repeat(64)}`, bytes: 3 }]),
    framework: 'onnx',
    signature: { inputs: [], outputs: [] },
    metrics: { accuracy: 0.9 },
    lineage: { kind: 'upload', actor: 'test' },
    source,
  });
}

/** An endpoint of this name and model with `revisions` revisions; the first has all the traffic. */
export async function addEndpoint(db: Db, name: string, revisions = 2, spec: object = {}): Promise<string> {
  for (let at = 1; at <= Math.max(1, revisions); at++) await addVersion(db, name, `source-${at}`);
  const id = await createEndpoint(db, 'default', endpointSpecSchema.parse({ name, model: name, ...spec }));
  await db.transaction().execute(async (tx) => {
    for (let version = 1; version <= revisions; version++) {
      await createRevision(tx, { endpointId: id, version, reason: 'test' });
    }
    if (revisions > 0) {
      const targets = [{ revision: 1, percent: 100 }];
      await setTraffic(tx, { endpointId: id, targets, actor: 'test', reason: 'first' });
    }
  });
  return id;
}

/** How many of these came to a good end, and the codes of the others. */
export async function outcomes(work: readonly Promise<unknown>[]): Promise<{ good: number; codes: string[] }> {
  const settled = await Promise.allSettled(work);
  return {
    good: settled.filter((one) => one.status === 'fulfilled').length,
    codes: settled.flatMap((one) => (one.status === 'rejected' ? [String(one.reason?.code ?? one.reason)] : [])),
  };
}
