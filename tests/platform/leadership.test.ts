import { sql } from 'kysely';
import { afterEach, expect, test } from 'vitest';
import { systemClock } from '../../src/clock.js';
import type { Db } from '../../src/core/schema.js';
import { type Leading, openLeadership } from '../../src/platform/db/leadership.js';
import { type Database, openDatabase } from '../../src/platform/db/open.js';
import { eventually } from '../support/children.js';
import { freshDatabase } from '../support/postgres.js';
import { quietLog } from '../support/quiet-log.js';

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function open(): Promise<{ url: string; database: Database }> {
  const url = await freshDatabase();
  const database = openDatabase(url, quietLog);
  closers.push(() => database.close());
  return { url, database };
}

function candidate(databaseUrl: string, name = 'test') {
  const terms: Leading[] = [];
  const leadership = openLeadership({
    databaseUrl,
    name,
    clock: systemClock,
    log: quietLog,
    lead: (leading) => {
      terms.push(leading);
      return new Promise((resolve) => leading.signal.addEventListener('abort', () => resolve()));
    },
  });
  closers.push(() => leadership.close());
  const leads = () => terms.some(({ signal }) => !signal.aborted);
  return { terms, leads, close: () => leadership.close() };
}

const holds = async (db: Db, leading: Leading | undefined) =>
  leading && (await sql<{ held: boolean }>`select ${leading.holds} as held`.execute(db)).rows[0]?.held;

test('one leads, and another one when it goes', async () => {
  const { url, database } = await open();
  const first = candidate(url);
  await eventually(first.leads);
  const second = candidate(url);
  const other = candidate(url, 'another');
  await eventually(other.leads);
  expect(second.leads()).toBe(false);
  expect(await holds(database.db, first.terms[0])).toBe(true);
  await first.close();
  await eventually(second.leads);
  expect(await holds(database.db, first.terms[0])).toBe(false);
  expect(await holds(database.db, second.terms[0])).toBe(true);
});

test('a broken connection ends it at once, also for writes that come late', async () => {
  const { url, database } = await open();
  const one = candidate(url);
  await eventually(one.leads);
  await sql`select pg_terminate_backend(pid) from pg_locks
    where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())`.execute(
    database.db,
  );
  await eventually(() => one.terms[0]?.signal.aborted === true);
  expect(await holds(database.db, one.terms[0])).toBe(false);
  await eventually(() => one.terms.length === 2 && one.leads());
  expect(await holds(database.db, one.terms[1])).toBe(true);
});
