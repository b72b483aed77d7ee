/** Revisions that the API server would not take, and when each is tried again. */
import type { Clock } from '../../clock.js';
import type { AppError } from '../../errors.js';

const FIRST_MS = 2000;
const MAX_MS = 60_000;

interface Refusal {
  readonly words: string;
  readonly failures: number;
  readonly until: number;
}

export class Refusals {
  private readonly endpoints = new Map<string, Map<number, Refusal>>();

  constructor(private readonly clock: Clock) {}

  /** Those of an endpoint that are not to be tried yet, with the words against them. */
  of(endpointId: string): ReadonlyMap<number, string> {
    const now = this.clock.now();
    const entries = [...(this.endpoints.get(endpointId) ?? [])].filter(([, { until }]) => until > now);
    return new Map(entries.map(([number, { words }]) => [number, words]));
  }

  note(endpointId: string, number: number, error: AppError): void {
    const all = this.endpoints.get(endpointId) ?? new Map<number, Refusal>();
    this.endpoints.set(endpointId, all);
    const failures = (all.get(number)?.failures ?? 0) + 1;
    const until = this.clock.now() + Math.min(MAX_MS, FIRST_MS * 2 ** (failures - 1));
    all.set(number, { words: error.message, failures, until });
  }

  forget(endpointId: string, number: number): void {
    this.endpoints.get(endpointId)?.delete(number);
  }
}
