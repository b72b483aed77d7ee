/** A migrated database with a model and, where asked for, an endpoint: what tests of the stores begin with. */
import { afterAll } from 'vitest';
import type { Db } from '../../src/core/schema.js';
import { migrate } from '../../src/platform/db/migrate.js';
import { type Database, openDatabase } from '../../src/platform/db/open.js';
import { onlyKnownKinds } from './known-kinds.js';
import { freshDatabase } from './postgres.js';
import { quietLog } from './quiet-log.js';

export { addEndpoint, addVersion } from './endpoint-rows.js';

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

/** How many of these came to a good end, and the codes of the others. */
export async function outcomes(work: readonly Promise<unknown>[]): Promise<{ good: number; codes: string[] }> {
  const settled = await Promise.allSettled(work);
  return {
    good: settled.filter((one) => one.status === 'fulfilled').length,
    codes: settled.flatMap((one) => (one.status === 'rejected' ? [String(one.reason?.code ?? one.reason)] : [])),
  };
}
