/**
 * Which replicas are left out because they only fail: Envoy's rules for consecutive errors. So many failures in a row, and a
 * replica gets nothing new for a while, each time longer, shorter again for each interval it behaved; at least one replica
 * may be left out, never the last. Pure: time is given.
 */
import type { OutlierSettings } from './resilience.js';

/** What is known of one replica. */
export interface Conduct {
  /** Failures since the last good answer. */
  failures: number;
  /** How often it was left out, less what it made good since. */
  ejections: number;
  /** When it came back last. */
  backAtMs: number;
}

export function newConduct(): Conduct {
  return { failures: 0, ejections: 0, backAtMs: 0 };
}

/** Envoy's interval: one ejection is forgotten for each that passed in good order. */
const FORGIVE_MS = 10_000;

/** What else decides: how many replicas there are, and how many of them are left out now. */
export interface Peers {
  readonly total: number;
  readonly ejected: number;
}

/** Notes a failure; tells for how long the replica is to be left out, in milliseconds, or undefined. */
export function failed(conduct: Conduct, peers: Peers, settings: OutlierSettings, nowMs: number): number | undefined {
  conduct.failures++;
  if (settings.consecutiveFailures === 0 || conduct.failures < settings.consecutiveFailures) return undefined;
  if (peers.ejected >= mostEjected(peers.total, settings.maxEjectionPercent)) return undefined;
  const forgiven = Math.floor(Math.max(0, nowMs - conduct.backAtMs) / FORGIVE_MS);
  conduct.ejections = Math.max(0, conduct.ejections - forgiven) + 1;
  conduct.failures = 0;
  const forMs = Math.min(settings.maxEjectionSec, settings.ejectionSec * conduct.ejections) * 1000;
  conduct.backAtMs = nowMs + forMs;
  return forMs;
}

/** Most of so many replicas that may be left out at once. */
export function mostEjected(total: number, percent: number): number {
  if (percent <= 0) return 0;
  return Math.min(total - 1, Math.max(1, Math.floor((total * percent) / 100)));
}
