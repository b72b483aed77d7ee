import { expect } from 'vitest';
import { EVENT_KINDS } from '../../src/core/events/kinds.js';
import type { Db } from '../../src/core/schema.js';

/**
 * Every event that a test made happen is of a kind that docs/events.md lists. `test.*` is for tests of events themselves. A
 * database that the test took away says nothing.
 */
export async function onlyKnownKinds(db: Db): Promise<void> {
  const kinds = await db
    .selectFrom('events')
    .select('kind')
    .distinct()
    .where('kind', 'not like', 'test.%')
    .execute()
    .catch(() => []);
  expect(kinds.map(({ kind }) => kind).filter((kind) => !(kind in EVENT_KINDS))).toEqual([]);
}
