import { expect } from 'vitest';
import { EVENT_KINDS } from '../../src/core/events/kinds.js';
import type { Db } from '../../src/core/schema.js';

/** Every event that a test made happen is of a kind that docs/events.md lists. `test.*` is for tests of events themselves. */
export async function onlyKnownKinds(db: Db): Promise<void> {
  const rows = await db.selectFrom('events').select('kind').distinct().where('kind', 'not like', 'test.%').execute();
  expect(rows.map(({ kind }) => kind).filter((kind) => !(kind in EVENT_KINDS))).toEqual([]);
}
