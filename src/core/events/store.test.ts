import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually } from '../../../tests/support/children.js';
import { freshDatabase } from '../../../tests/support/postgres.js';
import { quietLog } from '../../../tests/support/quiet-log.js';
import { migrate } from '../../platform/db/migrate.js';
import { type Database, openDatabase } from '../../platform/db/open.js';
import type { Db } from '../schema.js';
import { emit, eventsAfter, lastEvent } from './store.js';

let database: Database;
let db: Db;

beforeAll(async () => {
  database = openDatabase(await freshDatabase(), quietLog);
  db = database.db;
  await migrate(db);
});

afterAll(() => database.close());

const happen = (on: Db, kind: string) => emit(on, { project: 'default', kind, subject: 'x/1', data: {} });

async function read(after: number) {
  const { events, held } = await eventsAfter(db, 'default', after);
  return { kinds: events.map((event) => event.kind), held, next: events.at(-1)?.seq ?? after };
}

/** Runs `meanwhile` while a transaction has emitted an event that it has not committed. */
async function during(kind: string, meanwhile: () => Promise<void>, end: 'commit' | 'roll back'): Promise<void> {
  await db
    .transaction()
    .execute(async (tx) => {
      await happen(tx, kind);
      await meanwhile();
      if (end === 'roll back') throw new Error('rolled back');
    })
    .catch((error: Error) => {
      if (error.message !== 'rolled back') throw error;
    });
}

test('an event that commits after a later one is not missed', async () => {
  await happen(db, 'first');
  let { next } = await read(0);
  await during(
    'slow',
    async () => {
      await happen(db, 'quick');
      expect(await read(next)).toEqual({ kinds: [], held: true, next });
      expect(await lastEvent(db)).toBe(next);
    },
    'commit',
  );
  const after = await read(next);
  expect(after).toMatchObject({ kinds: ['slow', 'quick'], held: false });
  next = after.next;
  expect(await lastEvent(db)).toBe(next);
});

test('one that never commits holds the others up for a moment only', async () => {
  const { next } = await read(0);
  await during('never', () => happen(db, 'kept'), 'roll back');
  expect(await read(next)).toMatchObject({ kinds: [], held: true });
  await eventually(async () => !(await read(next)).held);
  expect(await read(next)).toMatchObject({ kinds: ['kept'] });
});
