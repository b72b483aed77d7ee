/** Random sequences of everything that can happen to an endpoint's rollouts, checked after each step. */
import { changeTraffic } from '../../src/core/endpoints/serve.js';
import { actOnRollout, retryRollout, rollBack, startByHand } from '../../src/core/rollouts/actions.js';
import { advanceRollout } from '../../src/core/rollouts/advance.js';
import { rolloutPlanSchema } from '../../src/core/rollouts/plan.js';
import type { Db } from '../../src/core/schema.js';
import { AppError } from '../../src/errors.js';
import { Crash, dyingAt } from './crash.js';
import { REVISIONS, type Snapshot, World } from './world.js';

const PLANS = [
  {},
  {
    steps: [{ shadowPercent: 100, holdSec: 1 }, { percent: 5, holdSec: 1 }, { pause: {} }, { percent: 50, holdSec: 1 }],
  },
  {
    steps: [
      { scale: { replicas: 2 } },
      { percent: 20, analyse: false, holdSec: 1 },
      { analysis: { minRequests: 300 } },
    ],
  },
  { strategy: 'blue_green', blueGreen: { holdSec: 2 } },
  { strategy: 'blue_green', blueGreen: { autoSwitch: false, shadowPercent: 10 } },
  {
    surge: 'in_place',
    steps: [
      { percent: 25, holdSec: 1 },
      { percent: 75, holdSec: 1 },
    ],
  },
  { surge: 'recreate' },
  { onInconclusive: 'roll_back', maxStepSec: 30 },
].map((plan) => rolloutPlanSchema.parse(plan));

export interface Counts {
  sequences: number;
  steps: number;
  crashes: number;
  duplicates: number;
  clockJumps: number;
  /** By how they ended. */
  readonly ends: Record<string, number>;
}

export function newCounts(): Counts {
  return { sequences: 0, steps: 0, crashes: 0, duplicates: 0, clockJumps: 0, ends: {} };
}

/** One sequence; answers what was found wrong, with what led there. */
export async function runSequence(db: Db, name: string, random: () => number, counts: Counts): Promise<string[]> {
  const world = await World.make(db, name);
  const sequence = new Sequence(world, random, counts);
  const length = 10 + Math.floor(random() * 16);
  for (let at = 0; at < length; at++) {
    const wrongs = await sequence.step();
    counts.steps++;
    if (wrongs.length > 0) return [`${name}: ${wrongs.join('; ')} after ${sequence.told.join(', ')}`];
  }
  counts.sequences++;
  const { rollouts } = await world.look();
  for (const { state } of rollouts) counts.ends[state] = (counts.ends[state] ?? 0) + 1;
  return [];
}

class Sequence {
  readonly told: string[] = [];

  constructor(
    private readonly world: World,
    private readonly random: () => number,
    private readonly counts: Counts,
  ) {}

  async step(): Promise<string[]> {
    const before = await this.world.look();
    // a rollout wants to be looked at more often than people lay hands on it
    const [what, act] = this.chance(before.inFlight ? 0.62 : 0.1) ? this.look(before) : this.somethingElse(before);
    this.told.push(what);
    const dies = this.chance(0.25);
    const target = dies ? dyingAt(this.world.db, this.upTo(14)) : this.world.db;
    try {
      await act(target);
    } catch (error) {
      const after = await this.world.look();
      if (error instanceof Crash) {
        this.counts.crashes++;
        this.told.push('(died)');
        // what was begun and not committed has not happened
        return same(before, after) ? this.world.wrongs(after) : ['a crash left something behind'];
      }
      if (!(error instanceof AppError) || (error.code !== 'conflict' && error.code !== 'not_found'))
        return [`${what} failed: ${String(error)}`];
      return same(before, after) ? [] : [`${what} was refused and changed something`];
    }
    const after = await this.world.look();
    return [...this.world.wrongs(after), ...(await this.illegal(before, after, what))];
  }

  /** Moves that must not be made, whatever led to them. */
  private async illegal(before: Snapshot, after: Snapshot, what: string): Promise<string[]> {
    const wrongs: string[] = [];
    const was = before.inFlight;
    const is = was && after.rollouts.find(({ id }) => id === was.id);
    if (after.generation < before.generation) wrongs.push('the generation fell');
    for (const { id, state } of before.rollouts)
      if (state !== 'running' && state !== 'paused' && after.rollouts.find((one) => one.id === id)?.state !== state)
        wrongs.push(`${id} had ended as ${state} and is something else now`);
    if (!what.startsWith('look') || !was || !is) return wrongs;
    if (is.step > was.step + 1) wrongs.push(`from step ${was.step} to ${is.step} in one look`);
    if (is.step < was.step) wrongs.push(`back from step ${was.step} to ${is.step}`);
    const share = ({ traffic }: Snapshot) => traffic.find(({ revision }) => revision === was.candidate)?.percent ?? 0;
    const room = after.limits.get(was.stable) === 0;
    if (
      share(after) > share(before) &&
      !room &&
      (this.world.ready.get(was.candidate) ?? 0) === 0 &&
      is.state !== 'promoted'
    )
      wrongs.push('a candidate that is not ready got traffic');
    if (is.state !== 'promoted' || was.kind === 'rollback') return wrongs;
    const seen = was.compared_since
      ? await this.world.answered(was.candidate, was.compared_since)
      : { requests: 0, errors: 0 };
    if (seen.requests === 0) wrongs.push('promoted on no evidence at all');
    if (seen.requests >= 100 && seen.errors / seen.requests > 0.3) wrongs.push('promoted a candidate that fails');
    if (after.champion !== was.candidate) wrongs.push(`the champion is ${after.champion}, not ${was.candidate}`);
    return wrongs;
  }

  private look({ inFlight, rollouts }: Snapshot): Act {
    const id = inFlight?.id ?? rollouts.at(-1)?.id ?? 'ro_none';
    const { world, counts } = this;
    if (this.chance(0.2)) {
      counts.duplicates++;
      return [
        'look twice',
        async (db) => {
          const looks = await Promise.allSettled([
            advanceRollout(db, id, world.clock),
            advanceRollout(world.db, id, world.clock),
          ]);
          // the one that dies takes nothing with it: the other has looked
          for (const one of looks) if (one.status === 'rejected' && !(one.reason instanceof Crash)) throw one.reason;
        },
      ];
    }
    const served = this.chance(0.5);
    return [
      served ? 'look after requests' : 'look',
      async (db) => {
        if (served) await this.life(inFlight);
        else await this.passes(1000 + this.upTo(5000));
        await advanceRollout(db, id, world.clock);
      },
    ];
  }

  private somethingElse({ inFlight, rollouts }: Snapshot): Act {
    const { world } = this;
    const hand = { project: 'default', actor: 'ada', nowMs: world.now };
    const revision = 1 + this.upTo(REVISIONS - 1);
    const any = rollouts[this.upTo(rollouts.length)]?.id ?? 'ro_none';
    const acts: readonly (() => Act)[] = [
      () => ['time passes', () => this.passes(1000 * (1 + this.upTo(90)))],
      () => ['time passes', () => this.passes(1000 * (1 + this.upTo(15)))],
      () => ['life goes on', () => this.life(inFlight)],
      () => ['the clock jumps', async () => this.jumps()],
      () => ['requests come', () => world.serve(200 + this.upTo(6000))],
      () => ['requests come', () => world.serve(200 + this.upTo(6000))],
      () => [`revision ${revision} is ready`, () => world.report(revision, 1 + this.upTo(3))],
      () => [`revision ${revision} goes`, () => world.report(revision, 0)],
      () => [`revision ${revision} cannot start`, () => world.report(revision, 0, 'no such file')],
      () => [`revision ${revision} turns bad`, async () => void world.bad.add(revision)],
      () => this.start(hand, revision),
      () => this.start(hand, revision),
      ...(['pause', 'resume', 'promote', 'abort'] as const).map(
        (action) => (): Act => [action, (db) => actOnRollout(db, inFlight?.id ?? any, action, hand)],
      ),
      () => ['resume', (db) => actOnRollout(db, inFlight?.id ?? any, 'resume', hand)],
      () => ['retry', (db) => retryRollout(db, any, hand)],
      () => ['roll back', (db) => rollBack(db, world.name, { force: this.chance(0.3) }, hand)],
      () => [`roll back to ${revision}`, (db) => rollBack(db, world.name, { revision }, hand)],
      () => [
        `traffic by hand to ${revision}`,
        (db) =>
          changeTraffic(db, 'default', world.name, {
            targets: [{ revision, percent: 100 }],
            actor: 'ada',
            reason: 'by hand',
          }),
      ],
    ];
    return (acts[this.upTo(acts.length)] as () => Act)();
  }

  private start(hand: { project: string; actor: string; nowMs: number }, revision: number): Act {
    if (this.chance(0.3)) this.world.bad.add(revision);
    else this.world.bad.delete(revision);
    const plan = PLANS[this.upTo(PLANS.length)];
    return [
      `start ${revision} (${plan?.strategy}, ${plan?.surge})`,
      (db) => startByHand(db, this.world.name, { revision, plan }, hand),
    ];
  }

  private async passes(ms: number): Promise<void> {
    this.world.now += ms;
    await this.world.repeat();
  }

  /** Replicas come up, and mostly there are requests. */
  private async life(inFlight: Snapshot['inFlight']): Promise<void> {
    const { world } = this;
    if (inFlight) {
      await world.report(inFlight.stable, 2);
      await world.report(inFlight.candidate, 2 + this.upTo(2));
    }
    await this.passes(1000 * (1 + this.upTo(40)));
    if (this.chance(0.6)) await world.serve(1000 + this.upTo(9000));
  }

  /** Another worker's clock may be ahead or behind, and a machine may have slept. */
  private jumps(): void {
    this.counts.clockJumps++;
    this.world.now += Math.round((this.random() - 0.4) * 1_200_000);
  }

  private chance(share: number): boolean {
    return this.random() < share;
  }

  private upTo(count: number): number {
    return Math.floor(this.random() * count);
  }
}

type Act = readonly [what: string, act: (db: Db) => Promise<unknown>];

function same(a: Snapshot, b: Snapshot): boolean {
  const text = ({ limits, ...rest }: Snapshot) => JSON.stringify([rest, [...limits]]);
  return text(a) === text(b);
}
