import { rolloutPlanSchema, stepsOf } from '../../src/core/rollouts/plan.js';
import { seeded } from '../../tests/support/random.js';
import type { Verification } from '../verification.js';
import { runKayenta } from './kayenta.js';
import { type Outcome, runOurs } from './ours.js';
import { runThresholds } from './thresholds.js';
import { type ArmModel, Traffic } from './traffic.js';

const STABLE: ArmModel = { errorRate: 0.005, slowdown: 1 };
const SCENARIOS: Readonly<Record<string, ArmModel>> = {
  equal: STABLE,
  'errors +1 point': { ...STABLE, errorRate: 0.015 },
  'errors +5 points': { ...STABLE, errorRate: 0.055 },
  'latency x1.5': { ...STABLE, slowdown: 1.5 },
  'latency x3': { ...STABLE, slowdown: 3 },
};
const EQUAL = 'equal';

/** Requests a second of the endpoint. */
const BUSY = 100;
const QUIET = 10;

const byDefault = rolloutPlanSchema.parse({});
const strict = rolloutPlanSchema.parse({
  analysis: {
    metrics: [
      { kind: 'errors', maxIncrease: 0.005 },
      { kind: 'latency', slowFactor: 1, maxIncrease: 0.03 },
    ],
  },
});
/** Any increase counts: an equal candidate is on the border of what rolls back, and is never shown to be within it. */
const noMargin = rolloutPlanSchema.parse({
  analysis: {
    metrics: [
      { kind: 'errors', maxIncrease: 0 },
      { kind: 'latency', slowFactor: 1, maxIncrease: 0 },
    ],
  },
});
const ALPHA = byDefault.analysis.alpha;

const STEPS = stepsOf(byDefault, 1).flatMap((step) => (step.kind === 'weight' ? [step.percent] : []));
/** p95 of the stable revision is about 96 ms. */
const RULE = { maxErrorRate: 0.01, maxP95Ms: 128, failures: 3, checks: 5, steps: STEPS };

interface Judge {
  readonly name: string;
  readonly perSecond: number;
  readonly run: (traffic: Traffic) => Outcome;
  /** Rollouts of an equal candidate, and of each regression. */
  readonly rollouts: readonly [number, number];
  readonly only?: readonly string[];
  /** Claims that an equal candidate is rolled back with probability alpha at most. */
  readonly claims?: boolean;
}

const ours = (plan: typeof byDefault, maxSec: number) => (traffic: Traffic) => runOurs(traffic, plan, maxSec);

const JUDGES: readonly Judge[] = [
  { name: 'ours', perSecond: BUSY, run: ours(byDefault, 900), rollouts: [2000, 500], claims: true },
  { name: 'ours, strict', perSecond: BUSY, run: ours(strict, 900), rollouts: [2000, 500], claims: true },
  { name: 'ours, no margin', perSecond: BUSY, run: ours(noMargin, 150), rollouts: [2000, 0], claims: true },
  { name: 'ours, no margin, 10 min', perSecond: BUSY, run: ours(noMargin, 600), rollouts: [0, 100] },
  { name: 'ours, 10/s', perSecond: QUIET, run: ours(byDefault, 3600), rollouts: [500, 200], claims: true },
  { name: 'thresholds', perSecond: BUSY, run: (traffic) => runThresholds(traffic, RULE), rollouts: [500, 200] },
  { name: 'thresholds, 10/s', perSecond: QUIET, run: (traffic) => runThresholds(traffic, RULE), rollouts: [500, 200] },
  // canary and baseline get a tenth of the traffic each
  {
    name: 'Kayenta, one look',
    perSecond: BUSY / 5,
    run: (traffic) => runKayenta(traffic, { from: 50, minutes: 50 }),
    rollouts: [300, 100],
  },
  {
    name: 'Kayenta, every minute',
    perSecond: BUSY / 5,
    run: (traffic) => runKayenta(traffic, { from: 10, minutes: 50 }),
    rollouts: [300, 100],
  },
];

/**
 * Rollouts of candidates that are equal, and of some that are not, on the same kind of traffic under several judges. Exits
 * with an error where more equal candidates are rolled back than alpha allows, beyond chance.
 */
export const rolloutSimulation: Verification = {
  name: 'rollout-simulation',
  summary: 'simulated rollouts: false rollbacks against alpha, regressions caught, beside thresholds and Kayenta',
  async run() {
    const figures: Record<string, string> = {};
    let ok = true;
    JUDGES.forEach((judge, at) => {
      Object.entries(SCENARIOS).forEach(([scenario, candidate], row) => {
        const count = judge.rollouts[scenario === EQUAL ? 0 : 1];
        if (count === 0) return;
        const outcomes = Array.from({ length: count }, (_, run) => {
          const model = { perSecond: judge.perSecond, stable: STABLE, candidate };
          return judge.run(new Traffic(model, seeded(at * 1e6 + row * 1e5 + run)));
        });
        const rolledBack = outcomes.filter(({ end }) => end === 'rolled_back');
        let line = describe(outcomes, scenario === EQUAL ? 'promoted' : 'rolled_back');
        if (scenario === EQUAL) {
          const { low, high } = wilson(rolledBack.length, count);
          line += `; false rollbacks ${percent(low)} to ${percent(high)} with 99 % confidence`;
          if (judge.claims) {
            line += `, alpha ${percent(ALPHA)}`;
            ok &&= low <= ALPHA;
          }
        }
        figures[`${judge.name}: ${scenario}`] = line;
      });
    });
    return { ok, figures, notRun: [] };
  },
};

function describe(outcomes: readonly Outcome[], of: Outcome['end']): string {
  const share = (end: Outcome['end']) => percent(outcomes.filter((one) => one.end === end).length / outcomes.length);
  const shares = `rolled back ${share('rolled_back')}, promoted ${share('promoted')}, undecided ${share('undecided')}`;
  const meant = outcomes.filter(({ end }) => end === of);
  if (meant.length === 0) return shares;
  const at = (q: number, what: 'candidateRequests' | 'seconds') => {
    const sorted = meant.map((one) => one[what]).sort((a, b) => a - b);
    return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? 0;
  };
  const requests = `${at(0.5, 'candidateRequests')} (p90 ${at(0.9, 'candidateRequests')})`;
  return `${shares}; ${of.replace('_', ' ')} after ${requests} candidate requests, ${at(0.5, 'seconds')} s`;
}

/** Wilson's interval of a share. */
function wilson(hits: number, total: number): { low: number; high: number } {
  const z = 2.576;
  const share = hits / total;
  const centre = share + z ** 2 / (2 * total);
  const spread = z * Math.sqrt((share * (1 - share)) / total + z ** 2 / (4 * total ** 2));
  const scale = 1 + z ** 2 / total;
  return { low: Math.max(0, (centre - spread) / scale), high: (centre + spread) / scale };
}

function percent(share: number): string {
  return `${Number((share * 100).toFixed(2))} %`;
}
