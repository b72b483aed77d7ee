import type { KyselyPlugin } from 'kysely';
import { beforeAll, expect, test } from 'vitest';
import { listAliases } from '../../src/core/models/store.js';
import { voteOnPromotion } from '../../src/core/promotions/approve.js';
import { decidePromotion } from '../../src/core/promotions/decide.js';
import { requestPromotion } from '../../src/core/promotions/open.js';
import { disownPromotions } from '../../src/core/promotions/store.js';
import { actOnRollout } from '../../src/core/rollouts/actions.js';

import type { Db } from '../../src/core/schema.js';
import { AppError } from '../../src/errors.js';
import { functionModel, NO_GATES } from '../support/gate-bench.js';
import { seeded } from '../support/random.js';
import { addEndpoint, migratedDatabase } from '../support/store-bench.js';

let db: Db;
beforeAll(async () => {
  db = await migratedDatabase();
});

const SEEDS = 20;
const STEPS = 40;
const VERSIONS = 5;

class Crash extends Error {}

/** A database whose user dies at the query of this number: before it, or after it was made. */
function dyingAt(at: number, after: boolean): Db {
  let queries = 0;
  let dead = false;
  const die = () => {
    dead = true;
    throw new Crash('the worker dies here');
  };
  const plugin: KyselyPlugin = {
    transformQuery: ({ node }) => {
      if (dead || (++queries === at && !after)) die();
      return node;
    },
    transformResult: async ({ result }) => {
      if (queries === at && after) die();
      return result;
    },
  };
  return db.withPlugin(plugin);
}

test('whatever the order, whoever dies: traffic is whole, the champion is what serves, the rejected never serve', async () => {
  const seen = new Set<string>();
  for (let seed = 0; seed < SEEDS; seed++) {
    const random = seeded(seed);
    const below = (n: number) => Math.floor(random() * n);
    const name = `raced-${seed}`;
    const kind = random() < 0.5 ? 'automatic' : 'one';
    const newestWins = random() < 0.7;
    const spec = { policy: { gates: [{ kind: 'metric', name: 'quality', min: 0.5 }], approval: { kind }, newestWins } };
    const endpointId = await addEndpoint(db, name, 1, { ...spec });
    for (let version = 2; version <= VERSIONS; version++) {
      // one of them is bad, and its gate knows
      const metrics = JSON.stringify({ quality: version === 3 ? 0.1 : 0.9 });
      await db
        .insertInto('model_versions')
        .columns(['project', 'model', 'version', 'artifact', 'framework', 'signature', 'metrics', 'lineage', 'source'])
        .expression((eb) =>
          eb
            .selectFrom('model_versions')
            .select((v) => [
              'project',
              'model',
              v.val(version).as('version'),
              'artifact',
              'framework',
              'signature',
              v.cast<string>(v.val(metrics), 'jsonb').as('metrics'),
              'lineage',
              v.val(`source-${version}`).as('source'),
            ])
            .where('model', '=', name)
            .where('version', '=', 1),
        )
        .execute();
    }
    await db.updateTable('models').set({ last_version: VERSIONS }).where('name', '=', name).execute();

    const loaded = functionModel(() => 1);
    const worker = async (id: string, owner: string) => {
      const dies = random() < 0.4;
      const mine = dies ? dyingAt(1 + below(30), random() < 0.5) : db;
      const sandbox = {
        withModel: <T>(_model: unknown, use: (model: typeof loaded) => Promise<T>) => use(loaded),
        close: async () => {},
      };
      const deps = { ...NO_GATES, db: mine, owner, enqueue: async () => {}, sandbox };
      await decidePromotion(deps, id, new AbortController().signal).catch((error: unknown) => {
        if (!(error instanceof Crash)) throw error;
        seen.add('crash');
      });
      // its machine comes back and gives up what it held
      if (dies) await disownPromotions(db, owner);
    };
    const underWay = (state: 'awaiting_approval' | undefined) =>
      db
        .selectFrom('promotions')
        .selectAll()
        .where('endpoint_id', '=', endpointId)
        .where('ended_at', 'is', null)
        .$if(state !== undefined, (query) => query.where('state', '=', state as 'awaiting_approval'))
        .orderBy('id')
        .execute();
    const oneOf = <T>(rows: readonly T[]): T | undefined => rows[below(rows.length)];
    let workers = 0;

    const step = async (): Promise<void> => {
      const draw = random();
      if (draw < 0.25) {
        const version = 2 + below(VERSIONS - 1);
        await requestPromotion(db, { project: 'default', endpoint: name, version, actor: 'ada' });
      } else if (draw < 0.6) {
        const one = oneOf(await underWay(undefined));
        if (one) await worker(one.id, `m${++workers}/wk`);
      } else if (draw < 0.8) {
        const one = oneOf(await underWay('awaiting_approval'));
        const vote = random() < 0.8 ? 'approve' : 'reject';
        if (one) await voteOnPromotion(db, { project: 'default', promotion: one.id, actor: 'bob', vote, comment: '' });
      } else {
        const rollout = await db
          .selectFrom('rollouts')
          .select('id')
          .where('endpoint_id', '=', endpointId)
          .where('ended_at', 'is', null)
          .executeTakeFirst();
        if (rollout)
          await actOnRollout(db, rollout.id, random() < 0.7 ? 'promote' : 'abort', {
            project: 'default',
            actor: 'ada',
            nowMs: Date.now(),
          });
      }
    };
    for (let at = 0; at < STEPS; at++) {
      const together = await Promise.allSettled(Array.from({ length: 1 + below(3) }, step));
      for (const one of together) {
        if (one.status === 'fulfilled') continue;
        // somebody else was quicker
        expect(one.reason, `seed ${seed}`).toBeInstanceOf(AppError);
        expect(['conflict', 'not_found'], `seed ${seed}: ${one.reason.message}`).toContain(one.reason.code);
      }
    }

    const say = `seed ${seed}`;
    const endpoint = await db
      .selectFrom('endpoints')
      .selectAll()
      .where('id', '=', endpointId)
      .executeTakeFirstOrThrow();
    const revisions = await db.selectFrom('revisions').selectAll().where('endpoint_id', '=', endpointId).execute();
    const versionOf = new Map(revisions.map((row) => [row.number, row.model_version]));
    const changes = await db
      .selectFrom('traffic_changes')
      .selectAll()
      .where('endpoint_id', '=', endpointId)
      .orderBy('generation')
      .execute();
    for (const { traffic } of changes) {
      expect(
        traffic.reduce((sum, target) => sum + target.percent, 0),
        say,
      ).toBeCloseTo(100, 9);
      for (const target of traffic) if (target.percent > 0) expect(versionOf.get(target.revision), say).not.toBe(3);
    }
    expect([...versionOf.values()], say).not.toContain(3);
    const promotions = await db.selectFrom('promotions').selectAll().where('endpoint_id', '=', endpointId).execute();
    for (const one of promotions) {
      seen.add(one.round > 0 ? 'again' : one.state);
      seen.add(one.state);
      if (['rejected', 'superseded', 'expired'].includes(one.state)) expect(one.revision, say).toBeNull();
      if (one.state === 'promoted' || one.state === 'rolling') expect(one.revision, say).not.toBeNull();
      // what goes live was judged against what it replaces
      const rollout =
        one.rollout_id &&
        (await db.selectFrom('rollouts').select('stable').where('id', '=', one.rollout_id).executeTakeFirstOrThrow());
      if (rollout) expect(versionOf.get(rollout.stable), say).toBe(one.champion);
    }
    const rolling = await db.selectFrom('rollouts').select('state').where('endpoint_id', '=', endpointId).execute();
    if (rolling.some((one) => one.state === 'promoted')) {
      const [champion] = (await listAliases(db, 'default', name)).filter((row) => row.alias === 'champion');
      // with a rollout in flight the stable side has it all: nobody took a step here
      const main = [...endpoint.traffic].sort((a, b) => b.percent - a.percent)[0];
      expect(champion?.version, say).toBe(versionOf.get(main?.revision ?? 0));
    }
  }
  expect([...seen]).toEqual(
    expect.arrayContaining(['crash', 'again', 'promoted', 'rejected', 'superseded', 'aborted']),
  );
});
