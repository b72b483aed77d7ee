/** What a split of 90 to 10 gives: through the gateway, and straight through Knative. */
import type { LoadPlan, LoadReport, Loads } from './load.js';

export interface Shares {
  readonly gateway: LoadReport;
  readonly knative: LoadReport;
}

export const REQUESTS = 10_000;
const CONNECTIONS = 8;

export async function shares(
  loads: Loads,
  ways: { readonly gateway: LoadPlan; readonly knative: LoadPlan },
): Promise<Shares> {
  const plan = { count: REQUESTS, connections: CONNECTIONS };
  return {
    gateway: await loads.run({ ...ways.gateway, ...plan }),
    knative: await loads.run({ ...ways.knative, ...plan }),
  };
}

/** Percent of the answers that a model version gave. */
export function shareOf(report: LoadReport, version: number): number {
  return ((report.byVersion[String(version)] ?? 0) * 100) / Math.max(1, report.answered);
}

/** Four standard deviations of a share of so many requests, in percent: beyond them lies one run in 16,000. */
export function tolerance(percent: number, requests = REQUESTS): number {
  const p = percent / 100;
  return 400 * Math.sqrt((p * (1 - p)) / requests);
}

/** Whether two shares of so many requests each agree. */
export function agree(a: number, b: number, percent: number): boolean {
  return Math.abs(a - b) <= Math.SQRT2 * tolerance(percent);
}
