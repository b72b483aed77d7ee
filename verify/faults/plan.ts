/** Which process is killed in which round, and where on the way: from the seed alone, so that a run can be repeated. */

export const VICTIMS = ['gateway', 'worker', 'supervisor', 'training', 'model server', 'postgres', 'redis'] as const;
export type Victim = (typeof VICTIMS)[number];

/** Where a round's jobs are when the kill comes. */
export const PHASES = ['submit', 'training', 'gates', 'canary', 'after'] as const;
export type Phase = (typeof PHASES)[number];

/** Those that sit between a client and its answer: what is in flight goes with them. All others must lose nothing. */
export const LOSING: ReadonlySet<Victim> = new Set<Victim>(['gateway', 'supervisor']);

export interface Round {
  readonly number: number;
  readonly queue: 'postgres' | 'redis';
  readonly victim: Victim;
  readonly phase: Phase;
  /** How long after the phase has begun, in milliseconds. */
  readonly delayMs: number;
  /** When the racing submission is sent, relative to the kill, in milliseconds. */
  readonly raceMs: number;
  /** Whether one of the jobs fails by its own fault. */
  readonly oneFails: boolean;
  /** A number in [0, 1) for choices within the round. */
  readonly chance: number;
}

/** Half the rounds on each queue; victims in turn in a random order, each with its phases in turn. */
export function planRounds(count: number, random: () => number, withRedis: boolean): Round[] {
  const rounds: Round[] = [];
  const turns = new Map<Victim, Phase[]>();
  for (const queue of ['postgres', 'redis'] as const) {
    if (queue === 'redis' && !withRedis) continue;
    const share = queue === 'postgres' ? Math.ceil(count / 2) : Math.floor(count / 2);
    const victims = VICTIMS.filter((victim) => victim !== 'redis' || queue === 'redis');
    let order: Victim[] = [];
    for (let at = 0; at < share; at++) {
      if (order.length === 0) order = shuffled(victims, random);
      const victim = order.pop() ?? 'gateway';
      let phases = turns.get(victim) ?? [];
      if (phases.length === 0) phases = shuffled(PHASES, random);
      // only while a script runs is there one to kill
      const phase = victim === 'training' ? 'training' : (phases.pop() ?? 'after');
      turns.set(victim, phases);
      rounds.push({
        number: rounds.length + 1,
        queue,
        victim,
        phase,
        delayMs: Math.floor(random() * 700),
        raceMs: Math.floor(random() * 100) - 50,
        oneFails: random() < 0.25,
        chance: random(),
      });
    }
  }
  return rounds;
}

function shuffled<T>(items: readonly T[], random: () => number): T[] {
  const order = [...items];
  for (let at = order.length - 1; at > 0; at--) {
    const other = Math.floor(random() * (at + 1));
    [order[at], order[other]] = [order[other] as T, order[at] as T];
  }
  return order;
}
