/** Canary analysis: the candidate against the stable revision, by tests that stay valid however often one looks. */
export { type ArmSums, type Evidence, judge, NO_SUMS, type SlowBound } from './analysis/judge.js';
export {
  type ArmStats,
  addStats,
  LATENCY_BOUNDS_MS,
  latencyBucket,
  NO_STATS,
  quantile,
  slowBound,
  slowerThan,
} from './analysis/latency.js';
export { type AnalysisPlan, analysisSchema } from './analysis/plan.js';
export type { Judgement, MetricVerdict, Verdict, VerdictKind } from './analysis/verdict.js';
