/** The API's answers, as far as the command line reads them. */
import { ApiError } from './client-errors.js';

export interface ModelSummary {
  readonly name: string;
  readonly description: string;
  readonly lastVersion: number;
  readonly createdAt: string;
}

export interface TensorSpec {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly number[];
}

export interface ModelVersion {
  readonly version: number;
  readonly framework: string;
  readonly artifact: { readonly digest: string; readonly bytes: number };
  readonly signature: { readonly inputs: readonly TensorSpec[]; readonly outputs: readonly TensorSpec[] };
  readonly metrics: Readonly<Record<string, number>>;
  readonly lineage: { readonly kind: string; readonly jobId?: string };
  readonly createdAt: string;
}

export interface Model extends ModelSummary {
  readonly aliases: Readonly<Record<string, number>>;
  readonly versions: readonly ModelVersion[];
}

export interface AliasChange {
  readonly from: number | null;
  readonly to: number | null;
  readonly actor: string;
  readonly reason: string;
  readonly at: string;
}

export interface TrafficTarget {
  readonly revision: number;
  readonly percent: number;
  readonly tag?: string;
}

export interface TrafficChange {
  readonly generation: number;
  readonly targets: readonly TrafficTarget[];
  readonly actor?: string;
  readonly reason: string;
  readonly at: string;
}

export interface Traffic {
  readonly generation: number;
  readonly targets: readonly TrafficTarget[];
  readonly history?: readonly TrafficChange[];
  readonly reason?: string;
  readonly actor?: string;
  readonly at?: string;
}

export interface Revision {
  readonly number: number;
  readonly modelVersion: number;
  readonly scaling: Readonly<Record<string, unknown>>;
  readonly runtime: Readonly<Record<string, unknown>>;
  readonly placement: Readonly<Record<string, unknown>>;
  readonly createdAt: string;
  readonly reason: string;
  readonly status?: {
    readonly ready: number;
    readonly starting: number;
    readonly busy?: number;
    readonly waiting?: number;
    readonly message?: string;
    readonly replicas?: readonly { readonly device?: string; readonly notes?: readonly string[] }[];
  };
  readonly stats1m?: {
    readonly requests: number;
    readonly errors: number;
    readonly p50Ms: number | null;
    readonly p95Ms: number | null;
    readonly p99Ms: number | null;
  };
}

/** A gate as it was set; what it checks depends on its kind. */
export interface Gate {
  readonly kind: string;
  readonly [setting: string]: string | number;
}

export interface Policy {
  readonly auto: boolean;
  readonly gates: readonly Gate[];
  readonly rollout: {
    readonly steps: readonly { readonly percent: number; readonly holdSec: number }[];
    readonly bakeSec: number;
  };
}

export interface EndpointSummary {
  readonly id: string;
  readonly name: string;
  readonly model: string;
  readonly access: string;
  readonly traffic: readonly TrafficTarget[];
  readonly createdAt: string;
}

export interface Endpoint extends EndpointSummary {
  readonly scaling: Readonly<Record<string, unknown>>;
  readonly routing: Readonly<Record<string, unknown>>;
  readonly policy: Policy;
  readonly runtime: Readonly<Record<string, unknown>>;
  readonly placement: Readonly<Record<string, unknown>>;
  readonly payloadLog: Readonly<Record<string, unknown>> | null;
  readonly responseCache: Readonly<Record<string, unknown>>;
  readonly generation: number;
  readonly revisions: readonly Revision[];
  readonly rollout: string | null;
}

export interface Promotion {
  readonly id: string;
  readonly endpoint: string;
  readonly model: string;
  readonly version: number;
  readonly state: string;
  readonly gates: readonly { readonly gate: string; readonly passed: boolean; readonly reason: string }[];
  readonly reason: string;
  readonly rolloutId: string | null;
  readonly createdAt: string;
  readonly endedAt: string | null;
}

export interface ArmStats {
  readonly requests: number;
  readonly errors: number;
  readonly p50Ms?: number | null;
  readonly p95Ms?: number | null;
  readonly p99Ms?: number | null;
}

export interface RolloutSummary {
  readonly id: string;
  readonly endpoint: string;
  readonly candidate: number;
  readonly stable: number;
  readonly state: string;
  readonly step: number;
  readonly plan: { readonly steps: readonly { readonly percent: number; readonly holdSec: number }[] };
  readonly reason: string;
  readonly createdAt: string;
  readonly endedAt: string | null;
}

export interface Rollout extends RolloutSummary {
  readonly events: readonly { readonly at: string; readonly kind: string; readonly message: string }[];
  readonly stats?: { readonly stable: ArmStats; readonly candidate: ArmStats };
  readonly analysis?: {
    readonly kind: string;
    readonly metrics: readonly { readonly metric: string; readonly kind: string; readonly words: string }[];
  } | null;
}

export interface JobSummary {
  readonly id: string;
  readonly name: string;
  readonly state: string;
  readonly phase: string;
  readonly attempt: number;
  readonly reason: string;
  readonly model?: string | null;
  readonly version: number | null;
  readonly createdAt: string;
  readonly startedAt: string | null;
  readonly endedAt: string | null;
}

export interface Job extends JobSummary {
  readonly exitCode: number | null;
  readonly metrics: Readonly<Record<string, number>>;
  readonly promotions: readonly { readonly id: string; readonly endpoint: string; readonly state: string }[];
}

export interface LogLine {
  readonly seq: number;
  readonly attempt: number;
  readonly stream: string;
  readonly text: string;
  readonly at: string;
}

export interface BatchSummary {
  readonly id: string;
  readonly name: string;
  readonly endpoint: string;
  readonly state: string;
  readonly phase: string;
  readonly attempt: number;
  readonly reason: string;
  readonly revision: number | null;
  readonly rowsTotal: number | null;
  readonly rowsDone: number;
  readonly rowsBad: number;
  readonly createdAt: string;
  readonly startedAt: string | null;
  readonly endedAt: string | null;
}

export interface Batch extends BatchSummary {
  readonly rowsPerSecond: number;
  readonly result: { readonly bytes: number; readonly rows: number; readonly format: string } | null;
}

export interface DatasetVersion {
  readonly version: number;
  readonly digest: string;
  readonly bytes: number;
  readonly createdAt: string;
}

export interface Dataset {
  readonly name: string;
  /** Newest first. */
  readonly versions: readonly DatasetVersion[];
}

export interface Key {
  readonly id: string;
  readonly name: string;
  readonly role: string;
  readonly hint?: string;
  readonly createdAt?: string;
  readonly expiresAt?: string | null;
  readonly revokedAt?: string | null;
}

/** The resource, or undefined where the API says that there is none. */
export async function orMissing<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return undefined;
    throw error;
  }
}

/** `3=90 %, 4=10 %`, largest share first. */
export function trafficText(targets: readonly TrafficTarget[]): string {
  return [...targets]
    .sort((a, b) => b.percent - a.percent)
    .map(({ revision, percent, tag }) => `${revision}=${percent} %${tag ? ` (${tag})` : ''}`)
    .join(', ');
}

/** The entries of a list answer. */
export function listOf<T>(body: unknown, name: string): readonly T[] {
  const found =
    typeof body === 'object' && body !== null && name in body ? (body as Record<string, unknown>)[name] : body;
  return Array.isArray(found) ? (found as T[]) : [];
}
