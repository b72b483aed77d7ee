/** Measurements that a rollout's plan wants from elsewhere: a query to Prometheus, a question to a webhook. */
import { deadline, joinSignals } from '../../abort.js';
import type { Clock } from '../../clock.js';
import { messageOf } from '../../errors.js';
import type { Db } from '../schema.js';
import { signedHeaders } from '../webhooks/signature.js';
import { webhookSecret } from '../webhooks/store.js';
import { ASK_MS, type Measurement, NOT_MEASURED, withMeasurement } from './analysis/asked.js';
import { type AskedMetric, isAsked, type MetricOf, nameOf } from './analysis/plan.js';
import { fillQuery, readSample, valueVerdict } from './analysis/prometheus.js';
import { readWebhookVerdict } from './analysis/webhook.js';

/** Asks an address over HTTP and answers what it said, as text; rejects where it must not or cannot be reached. */
export type AskAddress = (request: {
  readonly method: 'GET' | 'POST';
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly signal: AbortSignal;
}) => Promise<{ readonly status: number; readonly body: string }>;

export interface MeasureDeps {
  readonly db: Db;
  readonly clock: Clock;
  /** To addresses that plans name: public ones alone, unless private ones are allowed. */
  readonly ask: AskAddress;
  /** To the Prometheus server that the operator named. */
  readonly askOwn: AskAddress;
  readonly prometheusUrl: string | undefined;
}

type Rollout = NonNullable<Awaited<ReturnType<typeof readRollout>>>;

/**
 * Makes the measurements of a rollout that are due. Outside of any transaction, because an answer may take seconds; each is
 * claimed first, so that no two workers ask for the same. Nothing is measured before the candidate has traffic.
 */
export async function measure(deps: MeasureDeps, rolloutId: string, signal: AbortSignal): Promise<void> {
  const rollout = await readRollout(deps.db, rolloutId);
  if (!rollout?.compared_since) return;
  const due = rollout.plan.analysis.metrics.filter(isAsked);
  await Promise.all(due.map((metric) => measureOne(deps, rollout, metric, signal)));
}

function readRollout(db: Db, id: string) {
  return db
    .selectFrom('rollouts')
    .select(['id', 'project', 'endpoint', 'candidate', 'stable', 'step', 'plan', 'compared_since', 'analysis'])
    .where('id', '=', id)
    .where('ended_at', 'is', null)
    .executeTakeFirst();
}

async function measureOne(
  deps: MeasureDeps,
  rollout: Rollout,
  metric: AskedMetric,
  signal: AbortSignal,
): Promise<void> {
  const name = nameOf(metric);
  const claimed = await claim(deps, rollout.id, name, metric.intervalSec * 1000);
  if (!claimed) return;
  const measurement = await ask(deps, rollout, metric, signal);
  if (signal.aborted) return;
  const measured = withMeasurement({ ...NOT_MEASURED, ...claimed.measured }, measurement, deps.clock.now());
  await deps.db
    .updateTable('rollout_measurements')
    .set({ measured: JSON.stringify(measured) })
    .where('rollout_id', '=', rollout.id)
    .where('metric', '=', name)
    .execute();
}

/** Takes a measurement that is due; nobody else gets it before the interval is over, or a try has run out of time. */
async function claim({ db, clock }: MeasureDeps, rolloutId: string, metric: string, intervalMs: number) {
  const now = clock.now();
  const next = { due_at: new Date(now + Math.max(intervalMs, ASK_MS)) };
  return db
    .insertInto('rollout_measurements')
    .values({ rollout_id: rolloutId, metric, ...next })
    .onConflict((conflict) =>
      conflict
        .columns(['rollout_id', 'metric'])
        .doUpdateSet(next)
        .where('rollout_measurements.due_at', '<=', new Date(now)),
    )
    .returning('measured')
    .executeTakeFirst();
}

/** One measurement, in time or not at all. */
async function ask(
  deps: MeasureDeps,
  rollout: Rollout,
  metric: AskedMetric,
  signal: AbortSignal,
): Promise<Measurement> {
  const late = deadline(ASK_MS);
  const joined = joinSignals([signal, late.signal]);
  try {
    return metric.kind === 'prometheus'
      ? await askPrometheus(deps, rollout, metric, joined.signal)
      : await askWebhook(deps, rollout, metric, joined.signal);
  } catch (error) {
    return { problem: late.signal.aborted ? `no answer within ${ASK_MS / 1000} s` : messageOf(error) };
  } finally {
    joined.release();
    late.release();
  }
}

async function askPrometheus(
  { ask: askTheirs, askOwn, prometheusUrl }: MeasureDeps,
  rollout: Rollout,
  metric: MetricOf<'prometheus'>,
  signal: AbortSignal,
): Promise<Measurement> {
  const url = metric.url ?? prometheusUrl;
  if (url === undefined) return { problem: 'neither the metric has a url nor is SLUICE_PROMETHEUS_URL set' };
  const sample = async (revision: number): Promise<number | undefined> => {
    const query = fillQuery(metric.query, { ...rollout, revision });
    const address = `${url.replace(/\/+$/, '')}/api/v1/query?query=${encodeURIComponent(query)}`;
    const headers = { accept: 'application/json', 'user-agent': 'sluice' };
    const asking = metric.url === undefined ? askOwn : askTheirs;
    return readSample(await asking({ method: 'GET', url: address, headers, signal }));
  };
  const candidate = await sample(rollout.candidate);
  const stable = metric.maxIncrease === undefined ? undefined : await sample(rollout.stable);
  return valueVerdict(metric, candidate, stable);
}

async function askWebhook(
  { db, clock, ask: askTheirs }: MeasureDeps,
  rollout: Rollout,
  metric: MetricOf<'webhook'>,
  signal: AbortSignal,
): Promise<Measurement> {
  const body = JSON.stringify({
    rollout: rollout.id,
    project: rollout.project,
    endpoint: rollout.endpoint,
    candidate: rollout.candidate,
    stable: rollout.stable,
    step: rollout.step,
    metric: nameOf(metric),
    analysis: rollout.analysis,
  });
  const timestampSec = Math.floor(clock.now() / 1000);
  const id = `${rollout.id}-${nameOf(metric)}-${timestampSec}`.replace(/[^\w-]/g, '_');
  const signed = signedHeaders(await webhookSecret(db, rollout.project), { id, timestampSec, body });
  const headers = { 'content-type': 'application/json', 'user-agent': 'sluice-webhooks', ...signed };
  return readWebhookVerdict(await askTheirs({ method: 'POST', url: metric.url, headers, body, signal }));
}
