/** Traffic as an endpoint sees it, second by second: requests of both arms, how they ended and how long they took. */
import { type ArmStats, LATENCY_BOUNDS_MS } from '../../src/core/rollouts/analysis.js';

export interface ArmModel {
  readonly errorRate: number;
  /** Of every latency. */
  readonly slowdown: number;
}

export interface TrafficModel {
  readonly perSecond: number;
  readonly stable: ArmModel;
  readonly candidate: ArmModel;
}

/** Latencies are lognormal, a few of them with a tail of Pareto's kind: garbage collection, a cold cache, a noisy neighbour. */
const MEDIAN_MS = 40;
const SIGMA = 0.5;
const TAIL_SHARE = 0.02;
const TAIL_FROM_MS = 60;
const TAIL_EXPONENT = 1.5;
/** The load of the moment, shared by both arms: ln of the level is AR(1). */
const LEVEL_MEMORY = 0.95;
const LEVEL_NOISE = 0.02;

export class Traffic {
  private level = 0;

  constructor(
    private readonly model: TrafficModel,
    private readonly random: () => number,
  ) {}

  /** One second in which the candidate gets this share of the requests. */
  second(share: number): { readonly stable: ArmStats; readonly candidate: ArmStats } {
    this.level = LEVEL_MEMORY * this.level + LEVEL_NOISE * this.normal();
    const { perSecond, stable, candidate } = this.model;
    let canary = 0;
    if (share > 0) for (let at = 0; at < perSecond; at++) if (this.random() < share) canary++;
    return { stable: this.arm(perSecond - canary, stable), candidate: this.arm(canary, candidate) };
  }

  private arm(requests: number, { errorRate, slowdown }: ArmModel): ArmStats {
    const latency = new Array<number>(LATENCY_BOUNDS_MS.length + 1).fill(0);
    let errors = 0;
    const scale = slowdown * Math.exp(this.level);
    for (let at = 0; at < requests; at++) {
      if (this.random() < errorRate) errors++;
      const bucket = bucketOf(this.latencyMs(scale));
      latency[bucket] = (latency[bucket] ?? 0) + 1;
    }
    return { requests, errors, latency };
  }

  private latencyMs(scale: number): number {
    if (this.random() < TAIL_SHARE) return scale * TAIL_FROM_MS * (1 - this.random()) ** (-1 / TAIL_EXPONENT);
    return scale * MEDIAN_MS * Math.exp(SIGMA * this.normal());
  }

  /** Box and Muller. */
  private normal(): number {
    return Math.sqrt(-2 * Math.log(1 - this.random())) * Math.cos(2 * Math.PI * this.random());
  }
}

function bucketOf(ms: number): number {
  let at = 0;
  while (at < LATENCY_BOUNDS_MS.length && ms > (LATENCY_BOUNDS_MS[at] as number)) at++;
  return at;
}
