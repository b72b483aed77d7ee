import { sql } from 'kysely';
import { beforeAll, describe, expect, it } from 'vitest';
import { createKey, ensureAdminKey, KeyTable, listKeys, revokeKey } from '../../src/core/access/store.js';
import { noteAddress } from '../../src/core/endpoints/address-store.js';
import { endpointSpecSchema } from '../../src/core/endpoints/endpoint.js';
import { keepWarm } from '../../src/core/endpoints/replica-bounds.js';
import { changeTraffic } from '../../src/core/endpoints/serve.js';
import {
  createEndpoint,
  createRevision,
  deleteEndpoint,
  getEndpoint,
  listRevisions,
  setTraffic,
  trafficAt,
  trafficHistory,
} from '../../src/core/endpoints/store.js';
import { Observations, readObservations } from '../../src/core/inference/observations.js';
import type { EndpointRoute } from '../../src/core/inference/route.js';
import { RoutingTable } from '../../src/core/inference/routing-table.js';
import { readStats, Statistics } from '../../src/core/inference/statistics.js';
import { aliasHistory, listAliases, listVersions, moveAlias } from '../../src/core/models/store.js';
import type { Db } from '../../src/core/schema.js';
import { migrate } from '../../src/platform/db/migrate.js';
import { addEndpoint, addVersion, migratedDatabase, outcomes } from '../support/store-bench.js';

let db: Db;
beforeAll(async () => {
  db = await migratedDatabase();
});

it('several programs may migrate at once, and again', async () => {
  await Promise.all([migrate(db), migrate(db), migrate(db)]);
});

describe('model versions', () => {
  it('have no gaps and no doubles under forty registrations at once', async () => {
    const made = await Promise.all(Array.from({ length: 40 }, (_, at) => addVersion(db, 'many', `s${at % 25}`)));
    expect(made.filter((one) => one.created).length).toBe(25);
    const numbers = (await listVersions(db, 'default', 'many')).map((row) => row.version);
    expect(numbers.sort((a, b) => a - b)).toEqual(Array.from({ length: 25 }, (_, at) => at + 1));
    for (const [at, one] of made.entries()) expect(one.version).toBe(made[at % 25]?.version);
  });
});

describe('aliases', () => {
  const move = (expect_: number | null | undefined, to: number | null) =>
    moveAlias(db, {
      project: 'default',
      model: 'named',
      alias: 'champion',
      to,
      expect: expect_,
      actor: 'test',
      reason: 'r',
    });

  it('go to exactly one of those who saw the same thing', async () => {
    for (let at = 1; at <= 10; at++) await addVersion(db, 'named', `s${at}`);
    const first = await outcomes(Array.from({ length: 10 }, (_, at) => move(null, at + 1)));
    expect(first.good).toBe(1);
    expect(new Set(first.codes)).toEqual(new Set(['conflict']));
    const now = (await listAliases(db, 'default', 'named'))[0]?.version ?? 0;
    const others = Array.from({ length: 10 }, (_, at) => at + 1).filter((version) => version !== now);
    expect((await outcomes(others.map((to) => move(now, to)))).good).toBe(1);
    const history = await aliasHistory(db, 'default', 'named', 'champion');
    expect(history.map((change) => change.from_version)).toEqual([now, null]);
  });

  it('keep their history through a removal, and do not move to nothing', async () => {
    await move(undefined, 3);
    await move(3, null);
    await move(null, 4);
    await expect(move(undefined, 99)).rejects.toMatchObject({ code: 'not_found' });
    await expect(move(null, 5)).rejects.toMatchObject({ code: 'conflict' });
    const [last, removed] = await aliasHistory(db, 'default', 'named', 'champion');
    expect([last?.from_version, last?.to_version]).toEqual([null, 4]);
    expect([removed?.from_version, removed?.to_version]).toEqual([3, null]);
  });
});

describe('traffic', () => {
  it('moves for exactly one of those who decided on one generation, and remembers all', async () => {
    const endpointId = await addEndpoint(db, 'cas', 3);
    const set = (generation: number, percent: number) =>
      db.transaction().execute((tx) =>
        setTraffic(tx, {
          endpointId,
          targets: [
            { revision: 1, percent: 100 - percent },
            { revision: 2, percent },
          ],
          expectGeneration: generation,
          actor: 'test',
          reason: `to ${percent}`,
        }),
      );
    const raced = await outcomes(Array.from({ length: 12 }, (_, at) => set(1, at + 1)));
    expect(raced).toEqual({ good: 1, codes: Array.from({ length: 11 }, () => 'conflict') });
    await set(2, 50);
    const history = await trafficHistory(db, endpointId);
    expect(history.map((change) => change.generation)).toEqual([3, 2, 1]);
    const second = history[1];
    expect((await trafficAt(db, endpointId, second?.at ?? new Date()))?.generation).toBe(2);
    expect(await trafficAt(db, endpointId, new Date(0))).toBeUndefined();
  });

  it.each([
    { why: 'sums other than 100', targets: [{ revision: 1, percent: 99 }], code: 'invalid' },
    { why: 'revisions that do not exist', targets: [{ revision: 4, percent: 100 }], code: 'not_found' },
  ])('refuses $why and changes nothing', async ({ targets, code }) => {
    const before = await getEndpoint(db, 'default', 'cas');
    await expect(changeTraffic(db, 'default', 'cas', { targets, actor: 'test', reason: '' })).rejects.toMatchObject({
      code,
    });
    expect(await getEndpoint(db, 'default', 'cas')).toEqual(before);
  });

  it('revisions made at once are numbered without gaps', async () => {
    const endpointId = await addEndpoint(db, 'numbered', 1);
    const made = await Promise.all(
      Array.from({ length: 15 }, () =>
        db.transaction().execute((tx) => createRevision(tx, { endpointId, version: 1, reason: 'race' })),
      ),
    );
    expect(made.sort((a, b) => a - b)).toEqual(Array.from({ length: 15 }, (_, at) => at + 2));
    expect((await listRevisions(db, endpointId)).length).toBe(16);
  });
});

describe('deleteEndpoint', () => {
  it('happens once, frees the name, and refuses what comes after', async () => {
    const id = await addEndpoint(db, 'gone');
    const raced = await outcomes(Array.from({ length: 5 }, () => deleteEndpoint(db, 'default', 'gone', 'test')));
    expect(raced).toEqual({ good: 1, codes: Array.from({ length: 4 }, () => 'not_found') });
    const told = await db
      .selectFrom('events')
      .select('seq')
      .where('kind', '=', 'endpoint.deleted')
      .where('subject', '=', 'endpoint/gone')
      .execute();
    expect(told.length).toBe(1);
    const late = db
      .transaction()
      .execute((tx) => setTraffic(tx, { endpointId: id, targets: [], actor: 'test', reason: 'late' }));
    await expect(late).rejects.toMatchObject({ code: 'not_found' });
    const again = await createEndpoint(db, 'default', endpointSpecSchema.parse({ name: 'gone', model: 'gone' }));
    expect(again).not.toBe(id);
  });
});

describe('RoutingTable', () => {
  it('looks up what it has no news of, once for all who ask in the same moment', async () => {
    const told: string[] = [];
    const table = new RoutingTable((id) => void told.push(id));
    const look = (atMs: number) => table.lookAgain(db, 'default', 'late', atMs);
    await Promise.all([look(0), look(50)]);
    expect(table.find('default', 'late')).toBeUndefined();
    const id = await addEndpoint(db, 'late', 1);
    await look(99);
    // within the same tenth of a second the answer stands
    expect(table.find('default', 'late')).toBeUndefined();
    await Promise.all([look(100), look(150)]);
    expect(table.find('default', 'late')?.targets).toHaveLength(1);
    expect(told).toEqual([id]);
    await expect(table.lookAgain(db, 'other', 'late', 0)).resolves.toBeUndefined();
    expect(table.find('other', 'late')).toBeUndefined();
  });

  it('reads, follows changes and deletions, and tells each', async () => {
    const told: [string, EndpointRoute | undefined][] = [];
    const table = new RoutingTable((id, route) => void told.push([id, route]));
    const id = await addEndpoint(db, 'routed', 2, { routing: { stickyHeader: 'X-User' } });
    expect(table.loaded).toBe(false);
    await table.reload(db);
    expect(table.loaded).toBe(true);
    const route = table.find('default', 'routed');
    expect(route).toMatchObject({ id, choiceHeaders: ['x-user'], generation: 1, access: 'key' });
    expect([...(route?.revisions.keys() ?? [])].sort()).toEqual([1, 2]);
    expect(route?.targets.map((target) => [target.revision.number, target.percent])).toEqual([[1, 100]]);
    expect(table.find('other', 'routed')).toBeUndefined();

    told.length = 0;
    await changeTraffic(db, 'default', 'routed', {
      targets: [{ revision: 2, percent: 100, tag: 'live' }],
      actor: 'test',
      reason: '',
    });
    await table.refresh(db, id);
    expect(told).toEqual([[id, table.find('default', 'routed')]]);
    expect(table.find('default', 'routed')?.targets[0]).toMatchObject({ tag: 'live', percent: 100 });

    // the name passes to a newer endpoint before the table hears of the older one's end
    await deleteEndpoint(db, 'default', 'routed', 'test');
    const next = await addEndpoint(db, 'routed', 1);
    told.length = 0;
    await table.refresh(db, next);
    await table.refresh(db, id);
    expect(table.find('default', 'routed')?.id).toBe(next);
    expect(told.map(([whose, what]) => [whose, what?.id])).toEqual([
      [next, next],
      [id, undefined],
    ]);

    await deleteEndpoint(db, 'default', 'routed', 'test');
    await table.reload(db);
    expect(table.find('default', 'routed')).toBeUndefined();
    told.length = 0;
    await table.refresh(db, 'ep_never');
    expect(told).toEqual([]);
  });

  it('reads what is asked for while a read is under way all at once, and each change of it', async () => {
    const ids = await Promise.all(['burst-a', 'burst-b'].map((name) => addEndpoint(db, name, 1)));
    const told: string[] = [];
    const table = new RoutingTable((id) => void told.push(id));
    await Promise.all(Array.from({ length: 100 }, (_, at) => table.refresh(db, ids[at % 2] ?? '')));
    expect(told.sort()).toEqual([...ids].sort());
    told.length = 0;
    const first = table.refresh(db, ids[0] ?? '');
    await Promise.resolve();
    await Promise.resolve();
    await Promise.all([first, table.refresh(db, ids[0] ?? ''), table.refresh(db, ids[0] ?? '')]);
    expect(told).toEqual([ids[0], ids[0]]);
  });

  it('a full read tells only what changed, page by page, whatever it was that changed', async () => {
    const fresh = await migratedDatabase();
    const id = await addEndpoint(fresh, 'paged', 2);
    await sql`
      insert into endpoints
      select (jsonb_populate_record(e, jsonb_build_object('id', 'ep_page_' || n, 'name', 'page-' || n))).*
      from endpoints e, generate_series(1, 1200) n where e.id = ${id}`.execute(fresh);
    const told: string[] = [];
    const table = new RoutingTable((changed) => void told.push(changed));
    await table.reload(fresh);
    expect(told.length).toBe(1201);
    expect([...table.all()].length).toBe(1201);
    told.length = 0;
    await table.reload(fresh);
    expect(told).toEqual([]);
    const only = async (what: string) => {
      await table.reload(fresh);
      expect(told.splice(0), what).toEqual([id]);
    };
    await fresh.transaction().execute((tx) => keepWarm(tx, id, 2, new Date(4e12)));
    await only('a revision');
    const address = { url: 'http://127.0.0.1:1', host: undefined };
    await noteAddress(fresh, { endpointId: id, revision: 2, address, problem: '' }, sql<boolean>`true`);
    await only('an address');
    await deleteEndpoint(fresh, 'default', 'paged', 'test');
    await only('the end');
    expect(table.find('default', 'page-1200')?.id).toBe('ep_page_1200');
    await fresh.destroy();
  });

  it('goes on after a read that failed', async () => {
    const table = new RoutingTable();
    const broken = await migratedDatabase();
    await broken.destroy();
    await expect(table.reload(broken)).rejects.toThrow();
    await table.reload(db);
    expect(table.loaded).toBe(true);
  });
});

describe('Statistics', () => {
  const T0 = 1_700_000_000_000;

  it('writes finished seconds once, and the rest at the end', async () => {
    const statistics = new Statistics('gw1');
    for (let at = 0; at < 30; at++) statistics.counterOf('ep_s', 1).record(T0 + at * 100, at, at % 10 === 0);
    await Promise.all([statistics.flush(db, T0 + 2500), statistics.flush(db, T0 + 2500)]);
    expect(await readStats(db, 'ep_s', 1, new Date(T0))).toMatchObject({ requests: 20, errors: 2 });
    await statistics.flush(db, T0 + 2900, true);
    await statistics.flush(db, T0 + 9000, true);
    const all = await readStats(db, 'ep_s', 1, new Date(T0));
    expect(all).toMatchObject({ requests: 30, errors: 3 });
    expect(all.latency.reduce((sum, count) => sum + count, 0)).toBe(30);
    expect(await readStats(db, 'ep_s', 1, new Date(T0 + 1), new Date(T0 + 2000))).toMatchObject({ requests: 10 });
    expect(await readStats(db, 'ep_s', 2, new Date(T0))).toMatchObject({ requests: 0 });
  });

  it('adds up over gateways', async () => {
    for (const gateway of ['a', 'b', 'c']) {
      const statistics = new Statistics(gateway);
      statistics.counterOf('ep_g', 1).record(T0, 5, false);
      await statistics.flush(db, T0, true);
    }
    expect(await readStats(db, 'ep_g', 1, new Date(T0))).toMatchObject({ requests: 3 });
  });

  it('catches up after an outage, however much has gathered', async () => {
    const away = await migratedDatabase();
    await away.destroy();
    const statistics = new Statistics('gw2');
    for (let second = 0; second < 12_000; second++)
      statistics.counterOf('ep_o', 1).record(T0 + second * 1000, 5, false);
    await expect(statistics.flush(away, T0 + 1e9)).rejects.toThrow();
    await statistics.flush(db, T0 + 1e9);
    // what is kept is bounded: the oldest went
    expect(await readStats(db, 'ep_o', 1, new Date(0))).toMatchObject({ requests: 10_000 });
  });
});

describe('Observations', () => {
  const T0 = 1_700_000_000_000;
  const reward = { endpointId: 'ep_ob', revision: 1, metric: 'reward' };
  const output = { ...reward, metric: 'output.label' };

  it('add up over seconds, gateways and kinds, and are written once', async () => {
    const gateways = [new Observations('a'), new Observations('b')];
    for (const observations of gateways)
      for (let at = 0; at < 20; at++) {
        observations.observe(reward, { value: at % 2 }, T0 + at * 100);
        observations.observe(output, { bucket: at % 3 }, T0 + at * 100);
      }
    for (const observations of gateways)
      await Promise.all([observations.flush(db, T0 + 1500), observations.flush(db, T0 + 1500)]);
    expect((await readObservations(db, 'ep_ob', 1, new Date(T0))).get('reward')).toMatchObject({ count: 20, sum: 10 });
    for (const observations of gateways) await observations.flush(db, T0 + 1500, true);
    const all = await readObservations(db, 'ep_ob', 1, new Date(T0));
    expect(all.get('reward')).toEqual({ count: 40, sum: 20, buckets: [] });
    expect(all.get('output.label')).toEqual({ count: 40, sum: 0, buckets: [14, 14, 12] });
    expect(await readObservations(db, 'ep_ob', 2, new Date(T0))).toEqual(new Map());
  });

  it('outlive a database that is away', async () => {
    const away = await migratedDatabase();
    await away.destroy();
    const observations = new Observations('c');
    observations.observe({ ...reward, endpointId: 'ep_away' }, { value: 0.5 }, T0);
    await expect(observations.flush(away, T0 + 5000)).rejects.toThrow();
    await observations.flush(db, T0 + 5000);
    const kept = await readObservations(db, 'ep_away', 1, new Date(T0));
    expect(kept.get('reward')).toEqual({ count: 1, sum: 0.5, buckets: [] });
  });
});

describe('keys', () => {
  it('are found until they expire or are revoked', async () => {
    const table = new KeyTable();
    const { id, key } = await createKey(db, { project: 'default', name: 'ci', role: 'predict' });
    const soon = await createKey(db, { project: 'default', name: 'soon', role: 'admin', expiresAt: new Date(5000) });
    expect(table.find(key, 0)).toBeUndefined();
    await table.reload(db);
    for (let time = 0; time < 2; time++) {
      expect(table.find(key, 0)).toMatchObject({ project: 'default', role: 'predict', actor: 'ci' });
      expect(table.find(soon.key, 4999)?.role).toBe('admin');
      expect(table.find(soon.key, 5000)).toBeUndefined();
    }
    await revokeKey(db, 'default', id);
    await expect(revokeKey(db, 'default', id)).rejects.toMatchObject({ code: 'not_found' });
    await table.reload(db);
    expect(table.find(key, 0)).toBeUndefined();
    const row = (await listKeys(db, 'default')).find((one) => one.id === id);
    expect(JSON.stringify(row)).not.toContain(key);
  });

  it('a read that began before a revocation cannot bring the key back', async () => {
    const table = new KeyTable();
    const { id, key } = await createKey(db, { project: 'default', name: 'raced', role: 'predict' });
    // the first read is held up on its way; the second one comes after the revocation
    let free = () => {};
    const held = new Promise<void>((resolve) => {
      free = resolve;
    });
    const slow = db.withPlugin({
      transformQuery: ({ node }) => node,
      transformResult: async ({ result }) => {
        await held;
        return result;
      },
    });
    const first = table.reload(slow);
    await new Promise((resolve) => setTimeout(resolve, 100));
    await revokeKey(db, 'default', id);
    const second = table.reload(db);
    await new Promise((resolve) => setTimeout(resolve, 100));
    free();
    await Promise.all([first, second]);
    expect(table.find(key, 0)).toBeUndefined();
  });

  it("exactly the key of the settings is the administrator's", async () => {
    const table = new KeyTable();
    const roleOf = async (key: string) => {
      await table.reload(db);
      return table.find(key, Date.now())?.role;
    };
    const [old, next] = ['the-first-admin-key', 'the-second-admin-key'];
    await Promise.all([ensureAdminKey(db, old), ensureAdminKey(db, old)]);
    expect(await roleOf(old)).toBe('admin');
    await ensureAdminKey(db, next);
    expect([await roleOf(old), await roleOf(next)]).toEqual([undefined, 'admin']);
    const admin = (await listKeys(db, 'default')).find((key) => key.name === 'admin');
    await revokeKey(db, 'default', admin?.id ?? '');
    expect(await roleOf(next)).toBeUndefined();
    await ensureAdminKey(db, next);
    expect(await roleOf(next)).toBe('admin');
    const made = await createKey(db, { project: 'default', name: 'mine', role: 'predict' });
    await ensureAdminKey(db, made.key);
    expect(await roleOf(made.key)).toBe('admin');
  });
});
