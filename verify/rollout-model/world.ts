/** One endpoint in its world: what its gateways report and count, what time it is, and what is to hold of it at all times. */
import { LATENCY_BOUNDS_MS, latencyBucket } from '../../src/core/rollouts/analysis.js';
import { stanceAt, stepsOf } from '../../src/core/rollouts/plan.js';
import type { RolloutRow } from '../../src/core/rollouts/store.js';
import type { Db } from '../../src/core/schema.js';
import { addEndpoint } from '../../tests/support/endpoint-rows.js';

/** Revisions of each endpoint; the last one's version was rejected by its gates, and nobody ever asks for it. */
export const REVISIONS = 4;

export interface Snapshot {
  readonly traffic: readonly { readonly revision: number; readonly percent: number }[];
  readonly generation: number;
  readonly inFlight: RolloutRow | undefined;
  readonly rollouts: readonly RolloutRow[];
  readonly limits: ReadonlyMap<number, number | null>;
  readonly champion: number | undefined;
}

export class World {
  /** Milliseconds since the epoch, as the workers see it. */
  now = 1_800_000_000_000;
  /** What is true of each revision's replicas. */
  readonly ready = new Map<number, number>();
  /** Candidates that fail every second request. */
  readonly bad = new Set<number>();
  private second = 0;

  private constructor(
    readonly db: Db,
    readonly name: string,
    readonly endpointId: string,
  ) {}

  static async make(db: Db, name: string): Promise<World> {
    const world = new World(db, name, await addEndpoint(db, name, REVISIONS));
    await world.report(1, 1);
    return world;
  }

  readonly clock = {
    now: () => this.now,
    sleep: () => Promise.reject(new Error('decisions do not sleep')),
  };

  /** What a gateway says of a revision's replicas now. */
  async report(revision: number, ready: number, problem = ''): Promise<void> {
    this.ready.set(revision, ready);
    const set = {
      ready,
      starting: 0,
      draining: 0,
      failing: problem !== '',
      message: problem,
      updated_at: new Date(this.now),
    };
    await this.db
      .insertInto('revision_status')
      .values({ endpoint_id: this.endpointId, revision, gateway: 'gw', ...set })
      .onConflict((conflict) => conflict.columns(['endpoint_id', 'revision', 'gateway']).doUpdateSet(set))
      .execute();
  }

  /** Gateways repeat what they said; without it, it grows old. */
  async repeat(): Promise<void> {
    for (const [revision, ready] of this.ready) await this.report(revision, ready);
  }

  /** Every revision with a share answers so many requests in proportion. */
  async serve(requests: number): Promise<void> {
    const { traffic } = await this.look();
    const second = new Date(Math.floor(this.now / 1000) * 1000);
    const rows = traffic.flatMap(({ revision, percent }) => {
      const count = Math.round((requests * percent) / 100);
      if (count === 0) return [];
      const errors = this.bad.has(revision) ? Math.floor(count / 2) : 0;
      const latency = new Array<number>(LATENCY_BOUNDS_MS.length + 1).fill(0);
      latency[latencyBucket(5)] = count;
      const gateway = `gw${this.second++}`;
      return [{ endpoint_id: this.endpointId, revision, gateway, second, requests: count, errors, latency }];
    });
    if (rows.length > 0) await this.db.insertInto('revision_stats').values(rows).execute();
  }

  /** What a revision answered from a moment on. */
  async answered(revision: number, since: Date): Promise<{ requests: number; errors: number }> {
    const row = await this.db
      .selectFrom('revision_stats')
      .select((eb) => [eb.fn.sum<number>('requests').as('requests'), eb.fn.sum<number>('errors').as('errors')])
      .where('endpoint_id', '=', this.endpointId)
      .where('revision', '=', revision)
      .where('second', '>=', since)
      .executeTakeFirst();
    return { requests: Number(row?.requests ?? 0), errors: Number(row?.errors ?? 0) };
  }

  async look(): Promise<Snapshot> {
    const { db, endpointId } = this;
    const endpoint = await db
      .selectFrom('endpoints')
      .select(['traffic', 'generation'])
      .where('id', '=', endpointId)
      .executeTakeFirstOrThrow();
    const rollouts = await db.selectFrom('rollouts').selectAll().where('endpoint_id', '=', endpointId).execute();
    const revisions = await db
      .selectFrom('revisions')
      .select(['number', 'replica_limit'])
      .where('endpoint_id', '=', endpointId)
      .execute();
    const alias = await db
      .selectFrom('model_aliases')
      .select('version')
      .where('model', '=', this.name)
      .where('alias', '=', 'champion')
      .executeTakeFirst();
    return {
      ...endpoint,
      rollouts,
      inFlight: rollouts.find(({ ended_at }) => ended_at === null),
      limits: new Map(revisions.map(({ number, replica_limit }) => [number, replica_limit])),
      champion: alias?.version,
    };
  }

  /** What is wrong now, in words; nothing where all is well. */
  wrongs({ traffic, rollouts, inFlight, limits }: Snapshot): string[] {
    const wrongs: string[] = [];
    const sum = traffic.reduce((total, { percent }) => total + percent, 0);
    if (Math.abs(sum - 100) > 1e-9) wrongs.push(`the weights add up to ${sum}`);
    if (traffic.some(({ revision }) => revision === REVISIONS)) wrongs.push('the rejected version has traffic');
    if (rollouts.filter(({ ended_at }) => ended_at === null).length > 1) wrongs.push('two rollouts are in flight');
    for (const { id, state, ended_at } of rollouts)
      if ((ended_at === null) !== (state === 'running' || state === 'paused'))
        wrongs.push(`${id} is ${state} and ${ended_at === null ? 'has not ended' : 'has ended'}`);
    const share = (revision: number) => traffic.find((target) => target.revision === revision)?.percent ?? 0;
    if (!inFlight) {
      for (const { revision, percent } of traffic)
        if (percent > 0 && limits.get(revision) === 0) wrongs.push(`revision ${revision} serves and may not run`);
      return wrongs;
    }
    const { stable, candidate, plan, replicas, step, kind } = inFlight;
    const steps = stepsOf(plan, replicas);
    const { percent } = stanceAt(steps, kind === 'rollback' ? -1 : step);
    // before its first step a rollout leaves the traffic that it found
    if (step >= 0 && (share(candidate) !== percent || share(stable) !== 100 - percent))
      wrongs.push(`at step ${step} the candidate has ${share(candidate)} %, not ${percent} %`);
    if (share(stable) > 0 && limits.get(stable) === 0) wrongs.push('the stable revision serves and may not run');
    if (limits.get(stable) === 0 && limits.get(candidate) === 0 && steps[step]?.kind !== 'room')
      wrongs.push('neither revision may run');
    return wrongs;
  }
}
