/** The tables, as the query builder sees them. The SQL that makes them is in platform/db/migrations. */
import type { ColumnType, Generated, Kysely, Transaction } from 'kysely';
import type { ErrorCode } from '../errors.js';
import type { Signature } from '../protocol/signature.js';
import type { BatchPlan, BatchSpec } from './batch/spec.js';
import type { Json, MaybeJson, MaybeWhen, When, WorkColumns } from './columns.js';
import type { EndpointRouting, PromotionPolicy, Scaling, TrafficTarget } from './endpoints/endpoint.js';
import type { Placement } from './endpoints/placement.js';
import type { RuntimeSettings } from './endpoints/runtime.js';
import type { ResponseCacheSettings } from './inference/response-cache/settings.js';
import type { Artifact, Lineage } from './models/model.js';
import type { ServerSpec } from './models/server.js';
import type { PayloadLogSettings } from './payload-log/settings.js';
import type { StoredRequest } from './predictions/spec.js';
import type { GateResult, PromotionState } from './promotions/promotion.js';
import type { RolloutPlan, RolloutState } from './rollouts/rollout.js';
import type { AnalysisColumns, MeasurementsTable } from './rollouts/tables.js';
import type { OutputColumn } from './tables/outputs.js';
import type { LogStream } from './training/runner.js';
import type { JobSpec, JobState } from './training/spec.js';
import type { DeliveryState } from './webhooks/delivery-state.js';

export interface Schema {
  projects: { name: string; created_at: When };
  api_keys: {
    id: string;
    project: string;
    name: string;
    /** Lower-case hex of the key's SHA-256; the key itself is never kept. */
    hash: string;
    /** First characters of the key, to tell keys apart. */
    hint: string;
    role: 'admin' | 'predict';
    created_at: When;
    expires_at: MaybeWhen;
    revoked_at: MaybeWhen;
    /** Made by the platform for itself; short-lived, and shown to nobody. */
    internal: ColumnType<boolean, boolean | undefined, boolean>;
  };
  blobs: { project: string; digest: string; bytes: number; created_at: When };
  datasets: { project: string; name: string; version: number; digest: string; bytes: number; created_at: When };
  models: { project: string; name: string; description: string; last_version: number; created_at: When };
  model_versions: {
    project: string;
    model: string;
    version: number;
    artifact: Json<Artifact>;
    framework: string;
    signature: Json<Signature>;
    /** Of a version that is served by somebody else's server. */
    server: MaybeJson<ServerSpec>;
    metrics: Json<Record<string, number>>;
    lineage: Json<Lineage>;
    /** What the version was made from; a second registration of the same source is the same version. */
    source: string;
    created_at: When;
  };
  model_aliases: { project: string; model: string; alias: string; version: number; updated_at: When };
  alias_changes: {
    id: Generated<number>;
    project: string;
    model: string;
    alias: string;
    from_version: number | null;
    to_version: number | null;
    actor: string;
    reason: string;
    at: When;
  };
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
    plan: Json<RolloutPlan>;
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
  promotions: {
    id: string;
    project: string;
    endpoint_id: string;
    endpoint: string;
    model: string;
    version: number;
    job_id: string | null;
    state: PromotionState;
    gates: Json<GateResult[]>;
    reason: string;
    rollout_id: string | null;
    /** How often a worker began with its gates. */
    tries: Generated<number>;
    /** Which worker is taking it through its gates, and when it last said so. */
    owner: string | null;
    heartbeat_at: MaybeWhen;
    created_at: When;
    ended_at: MaybeWhen;
  };
  revision_status: {
    endpoint_id: string;
    revision: number;
    gateway: string;
    ready: number;
    starting: number;
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
  jobs: {
    id: string;
    project: string;
    name: string;
    spec: Json<JobSpec>;
    state: JobState;
    phase: string;
    attempt: number;
    /** Attempts that ended with their worker; they do not count against the retries. */
    lost_attempts: number;
    /** The worker that runs the current attempt; every write of an attempt names it. */
    owner: string | null;
    heartbeat_at: MaybeWhen;
    cancel_requested_at: MaybeWhen;
    reason: string;
    exit_code: number | null;
    /** The last checkpoint, of a job whose attempts share no folder. */
    checkpoint_digest: ColumnType<string | null, string | null | undefined, string | null>;
    /** What the pods of a job on a cluster yielded, until it was read and the job has ended. */
    outputs_digest: ColumnType<string | null, string | null | undefined, string | null>;
    version: number | null;
    /** The submitter's idempotency key. */
    request_key: string | null;
    created_at: When;
    started_at: MaybeWhen;
    ended_at: MaybeWhen;
  };
  job_logs: { seq: Generated<number>; job_id: string; attempt: number; stream: LogStream; text: string; at: When };
  job_metrics: {
    seq: Generated<number>;
    job_id: string;
    attempt: number;
    name: string;
    value: number;
    step: number | null;
    at: When;
  };
  /** Where workers reach the gateways that live. */
  gateways: { id: string; url: string; seen_at: When };
  predictions: WorkColumns & {
    project: string;
    endpoint_id: string;
    endpoint: string;
    request: Json<StoredRequest>;
    body_digest: string;
    body_bytes: number;
    /** The client's idempotency key. */
    request_key: string | null;
    /** Whom to tell of its end. */
    webhook: string | null;
    /** W3C `traceparent` of the one who asked. */
    trace: string | null;
    /** HTTP status of the answer; null while there is none, and where it ended without one. */
    status: number | null;
    headers: MaybeJson<Record<string, string>>;
    result_digest: string | null;
    result_bytes: number | null;
    /** Why it ended without an answer. */
    error_code: ErrorCode | null;
  };
  batch_predictions: WorkColumns & {
    project: string;
    name: string;
    endpoint_id: string;
    endpoint: string;
    spec: Json<BatchSpec>;
    input_digest: string;
    input_bytes: number;
    request_key: string | null;
    /** What its worker does now. */
    phase: Generated<string>;
    /** How its input is read; null until the first worker looked. */
    plan: MaybeJson<BatchPlan>;
    /** What the model gives, as the first answer said. */
    outputs: MaybeJson<OutputColumn[]>;
    /** The revision that answers all rows. */
    revision: number | null;
    rows_total: number | null;
    rows_done: Generated<number>;
    rows_bad: Generated<number>;
    result_digest: string | null;
    result_bytes: number | null;
  };
  batch_parts: {
    batch_id: string;
    number: number;
    /** Of its first row, from 0. */
    row: number;
    rows: number;
    /** Where it lies in the input: bytes, or rows of a Parquet file. */
    start: number;
    stop: number;
    /** Of its first line, from 1. */
    line: number;
    output_digest: string | null;
    output_bytes: number | null;
    bad: Generated<number>;
    done_at: MaybeWhen;
  };
  webhook_secrets: { project: string; secret: string; created_at: When };
  webhook_deliveries: {
    id: string;
    project: string;
    /** What it tells of, such as `prediction/pr_…`. */
    subject: string;
    url: string;
    body: string;
    state: ColumnType<DeliveryState, DeliveryState | undefined, DeliveryState>;
    attempt: Generated<number>;
    /** Of the last answer. */
    status: number | null;
    reason: ColumnType<string, string | undefined, string>;
    created_at: When;
    ended_at: MaybeWhen;
    due_at: When;
    look_at: Date;
  };
  /** Blobs that nothing may refer to any more. */
  blob_garbage: { digest: string; since: When };
  events: {
    seq: Generated<number>;
    project: string;
    kind: string;
    subject: string;
    data: Json<Record<string, unknown>>;
    at: When;
  };
}

export type Db = Kysely<Schema>;
/** A handle on which reads and writes go together or not at all. */
export type Tx = Transaction<Schema>;
