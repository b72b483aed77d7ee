/** The tables of what is served: endpoints, their revisions and traffic, and rollouts. */
import type { ColumnType, Generated } from 'kysely';
import type { Json, MaybeJson, MaybeWhen, When } from './columns.js';
import type { EndpointRouting, PromotionPolicy, Scaling, TrafficTarget } from './endpoints/endpoint.js';
import type { Placement } from './endpoints/placement.js';
import type { RuntimeSettings } from './endpoints/runtime.js';
import type { ResponseCacheSettings } from './inference/response-cache/settings.js';
import type { Artifact } from './models/model.js';
import type { ServerSpec } from './models/server.js';
import type { PayloadLogSettings } from './payload-log/settings.js';
import type { RolloutPlan } from './rollouts/plan.js';
import type { RolloutKind, RolloutState } from './rollouts/rollout.js';
import type { AnalysisColumns, MeasurementsTable } from './rollouts/tables.js';

export interface ServingTables {
  endpoints: {
    id: string;
    project: string;
    name: string;
    model: string;
    access: 'key' | 'public';
    scaling: Json<Scaling>;
    routing: Json<EndpointRouting>;
    policy: Json<PromotionPolicy>;
    runtime: Json<RuntimeSettings>;
    placement: ColumnType<Partial<Placement>, string | undefined, string>;
    /** Null where nothing is recorded. */
    payload_log: MaybeJson<PayloadLogSettings>;
    response_cache: ColumnType<Partial<ResponseCacheSettings>, string | undefined, string>;
    /** Unloaded by hand: it keeps everything and answers nothing. */
    suspended: ColumnType<boolean, boolean | undefined, boolean>;
    traffic: Json<TrafficTarget[]>;
    /** Counts every change of traffic; a change names the generation it was decided on. */
    generation: number;
    last_revision: number;
    /** What its feedback tokens are signed with; leaves the gateways never. */
    feedback_secret: Generated<string>;
    created_at: When;
    deleted_at: MaybeWhen;
  };
  revisions: {
    endpoint_id: string;
    number: number;
    model: string;
    model_version: number;
    artifact: Json<Artifact>;
    framework: string;
    scaling: Json<Scaling>;
    runtime: Json<RuntimeSettings>;
    placement: ColumnType<Partial<Placement>, string | undefined, string>;
    server: MaybeJson<ServerSpec>;
    /** Kept warm (at least one replica) until then, whatever its traffic. */
    warm_until: MaybeWhen;
    /** Replicas that it is kept warm with. */
    warm_replicas: ColumnType<number, number | undefined, number>;
    /** Most replicas that it may have now, none with 0: a rollout that has no room for two revisions says so. */
    replica_limit: ColumnType<number | null, number | null | undefined, number | null>;
    reason: string;
    created_at: When;
  };
  traffic_changes: {
    id: Generated<number>;
    endpoint_id: string;
    generation: number;
    traffic: Json<TrafficTarget[]>;
    actor: string;
    reason: string;
    at: When;
  };
  rollouts: AnalysisColumns & {
    id: string;
    project: string;
    endpoint_id: string;
    endpoint: string;
    candidate: number;
    stable: number;
    kind: ColumnType<RolloutKind, RolloutKind | undefined, never>;
    /** The rollout that this one tries again. */
    retry_of: ColumnType<string | null, string | null | undefined, never>;
    plan: Json<RolloutPlan>;
    /** Replicas that the stable revision had when it began. */
    replicas: ColumnType<number, number | undefined, number>;
    state: RolloutState;
    /** Index into the plan's steps; -1 while the candidate is being brought up. */
    step: number;
    step_started_at: When;
    /** When the candidate first got traffic: both arms are compared from then on. */
    compared_since: MaybeWhen;
    /** What counts as a slow request in this rollout, in milliseconds. */
    slow_ms: number | null;
    reason: string;
    promotion_id: string | null;
    created_at: When;
    ended_at: MaybeWhen;
    /** When it wants to be looked at next; the reconcile pass finds what is overdue. */
    next_at: When;
  };
  rollout_events: {
    id: Generated<number>;
    rollout_id: string;
    at: When;
    kind: string;
    message: string;
    data: Json<Record<string, unknown>>;
  };
  rollout_measurements: MeasurementsTable;
  revision_status: {
    endpoint_id: string;
    revision: number;
    gateway: string;
    ready: number;
    starting: number;
    draining: ColumnType<number, number | undefined, number>;
    failing: boolean;
    message: string;
    updated_at: When;
  };
  /** Where a cluster's revisions answer. A machine's own have no row. */
  revision_addresses: {
    endpoint_id: string;
    revision: number;
    /** Null until it answered for the first time. */
    url: string | null;
    /** The name to ask for where `url` is an ingress. */
    host: string | null;
    /** Why it does not answer, in words; empty when it does or nothing is known. */
    problem: ColumnType<string, string | undefined, string>;
    updated_at: When;
  };
  revision_stats: {
    endpoint_id: string;
    revision: number;
    gateway: string;
    /** Start of the second that these counts are of. */
    second: Date;
    requests: number;
    errors: number;
    /** Counts per bucket of LATENCY_BOUNDS_MS, the last one open. */
    latency: number[];
  };
  /** What was observed of a revision's answers in one second, beside their status and latency. */
  revision_observations: {
    endpoint_id: string;
    revision: number;
    gateway: string;
    second: Date;
    /** Such as `shadow.disagreement`, `reward`, `accuracy`, `output.NAME`. */
    metric: string;
    count: number;
    /** Of values from 0 to 1. */
    sum: number;
    /** Counts per bucket, of what is no number from 0 to 1 but one of several kinds. */
    buckets: ColumnType<number[], number[] | undefined, number[]>;
  };
}
