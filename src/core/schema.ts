/** The tables, as the query builder sees them. The SQL that makes them is in platform/db/migrations. */
import type { ColumnType, Generated, Kysely, Transaction } from 'kysely';
import type { ErrorCode } from '../errors.js';
import type { Signature } from '../protocol/signature.js';
import type { BatchPlan, BatchSpec } from './batch/spec.js';
import type { Json, MaybeJson, MaybeWhen, When, WorkColumns } from './columns.js';
import type { FeedbackTables } from './feedback/tables.js';
import type { Artifact, Lineage } from './models/model.js';
import type { ServerSpec } from './models/server.js';
import type { StoredRequest } from './predictions/spec.js';
import type { PromotionTables } from './promotions/tables.js';
import type { ServingTables } from './serving-tables.js';
import type { OutputColumn } from './tables/outputs.js';
import type { LogStream } from './training/runner.js';
import type { JobSpec, JobState } from './training/spec.js';
import type { WebhookTables } from './webhooks/tables.js';

export interface Schema extends ServingTables, PromotionTables, FeedbackTables, WebhookTables {
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
