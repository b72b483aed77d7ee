import { beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock.js';
import { recordBlob } from '../../src/core/datasets/store.js';
import type { Enqueue } from '../../src/core/jobs.js';
import { requestPromotion } from '../../src/core/promotions/open.js';
import { listPromotions } from '../../src/core/promotions/store.js';
import { startRollout } from '../../src/core/rollouts/moves.js';
import { rolloutPlanSchema } from '../../src/core/rollouts/plan.js';
import type { Db } from '../../src/core/schema.js';
import {
  type AttemptKey,
  beat,
  claimJob,
  finishSucceeded,
  finishUnsuccessful,
  recoverJobs,
  releaseJob,
  releasePreempted,
  setPhase,
} from '../../src/core/training/attempts.js';
import {
  appendLogs,
  appendMetrics,
  lastMetrics,
  logsAfter,
  metricsAfter,
} from '../../src/core/training/output-store.js';
import { type JobSpec, jobSpecSchema } from '../../src/core/training/spec.js';
import { cancelJob, getJob, submitJob } from '../../src/core/training/store.js';
import { createAttemptSink } from '../../src/workers/attempt-sink.js';
import { reconcile, takeBack } from '../../src/workers/reconcile.js';
import { addEndpoint, migratedDatabase, outcomes } from '../support/store-bench.js';

const CODE = `sha256:${'c'.repeat(64)}`;
const AT = new Date();

let db: Db;
beforeAll(async () => {
  db = await migratedDatabase();
  await recordBlob(db, 'default', CODE, 10);
});

const spec = (more: Partial<JobSpec> = {}) =>
  jobSpecSchema.parse({ name: 'fit', code: CODE, entrypoint: 'train.py', ...more });
const submit = async (more: Partial<JobSpec> = {}) => (await submitJob(db, 'default', spec(more))).id;
const job = (id: string) => getJob(db, 'default', id);

async function running(owner = 'w1', more: Partial<JobSpec> = {}): Promise<AttemptKey> {
  const id = await submit(more);
  const claimed = await claimJob(db, id, owner);
  return { id, attempt: claimed?.attempt ?? 0, owner };
}

const failed = { state: 'failed', reason: 'exit 1', exitCode: 1, retryable: true } as const;

/** What happened to a job, in events. */
async function told(id: string): Promise<string[]> {
  const rows = await db.selectFrom('events').select('kind').where('subject', '=', `job/${id}`).orderBy('seq').execute();
  return rows.map((row) => row.kind);
}

describe('submitJob', () => {
  it('under one key is one job, however often and at once', async () => {
    const made = await Promise.all(
      Array.from({ length: 10 }, () => submitJob(db, 'default', spec({ params: { a: 1, b: 'x' } }), 'key-1')),
    );
    expect(new Set(made.map((one) => one.id)).size).toBe(1);
    expect(made.filter((one) => one.created).length).toBe(1);
    // the order of parameters makes no other job, a value does
    expect((await submitJob(db, 'default', spec({ params: { b: 'x', a: 1 } }), 'key-1')).created).toBe(false);
    const other = submitJob(db, 'default', spec({ params: { a: 2 } }), 'key-1');
    await expect(other).rejects.toMatchObject({ code: 'conflict' });
  });

  it('without a key is a new job each time', async () => {
    expect(await submit()).not.toBe(await submit());
  });

  it('refuses code that nobody uploaded', async () => {
    const foreign = submitJob(db, 'default', spec({ code: `sha256:${'d'.repeat(64)}` }));
    await expect(foreign).rejects.toMatchObject({ code: 'invalid' });
  });
});

describe('an attempt', () => {
  it('is claimed by one worker of many', async () => {
    const id = await submit();
    const claims = await Promise.all(Array.from({ length: 8 }, (_, at) => claimJob(db, id, `w${at}`)));
    expect(claims.filter(Boolean).length).toBe(1);
    expect((await job(id)).attempt).toBe(1);
  });

  it('writes while it is its own, and nothing once it is lost', async () => {
    const lost = await running('w1');
    await appendLogs(db, lost, [
      { stream: 'stdout', text: 'one, {"two"}', at: AT },
      { stream: 'stderr', text: '\\ "three" \n', at: AT },
    ]);
    await appendMetrics(db, lost, [
      { name: 'loss', value: 0.5, step: 1, at: AT },
      { name: 'loss', value: Number.NaN, step: null, at: AT },
    ]);
    await recoverJobs(db, 0, 'w1');
    const next = await claimJob(db, lost.id, 'w2');
    expect(next?.attempt).toBe(2);
    for (const stale of [lost, { ...lost, attempt: 2 }, { ...lost, owner: 'w2' }]) {
      expect(await beat(db, stale)).toEqual({ mine: false, cancelRequested: false });
      await setPhase(db, stale, 'running');
      await appendLogs(db, stale, [{ stream: 'stdout', text: 'late', at: AT }]);
      await appendMetrics(db, stale, [{ name: 'late', value: 1, step: null, at: AT }]);
      await releaseJob(db, stale, 'late');
      expect(await finishSucceeded(db, stale, { version: null, reason: 'late' })).toBe(false);
      expect(await finishUnsuccessful(db, stale, failed)).toBe('not_mine');
    }
    expect(await job(lost.id)).toMatchObject({ state: 'running', phase: 'starting', attempt: 2, owner: 'w2' });
    expect((await logsAfter(db, lost.id, 0)).map((line) => line.text)).toEqual(['one, {"two"}', '\\ "three" \n']);
    const metrics = await metricsAfter(db, lost.id, 0);
    expect(metrics.map(({ name, value, step }) => [name, value, step])).toEqual([
      ['loss', 0.5, 1],
      ['loss', Number.NaN, null],
    ]);
    expect(Object.keys(await lastMetrics(db, lost.id, 1))).toEqual(['loss']);
    expect(await beat(db, { id: lost.id, attempt: 2, owner: 'w2' })).toEqual({ mine: true, cancelRequested: false });
  });

  it.each([
    { why: 'no retries', retries: 0, ends: ['ended'] },
    { why: 'two retries', retries: 2, ends: ['requeued', 'requeued', 'ended'] },
  ])('with $why fails in the end', async ({ retries, ends }) => {
    const id = await submit({ retries });
    const seen: string[] = [];
    for (let attempt = 1; attempt <= ends.length; attempt++) {
      await claimJob(db, id, 'w1');
      seen.push(await finishUnsuccessful(db, { id, attempt, owner: 'w1' }, failed));
    }
    expect(seen).toEqual(ends);
    expect(await job(id)).toMatchObject({ state: 'failed', exit_code: 1, reason: 'exit 1' });
    expect(await claimJob(db, id, 'w1')).toBeUndefined();
  });

  it('lost with its worker does not count against the retries', async () => {
    const id = await submit({ retries: 1 });
    let attempt = 0;
    for (const how of ['released', 'recovered', 'failed', 'released', 'failed again']) {
      await claimJob(db, id, 'w1');
      const key = { id, attempt: ++attempt, owner: 'w1' };
      if (how === 'released') await releaseJob(db, key, 'stop');
      else if (how === 'recovered') await recoverJobs(db, 60_000, 'w1');
      else expect(await finishUnsuccessful(db, key, failed)).toBe(how === 'failed' ? 'requeued' : 'ended');
    }
    expect((await job(id)).state).toBe('failed');
  });

  it('taken away does not count against the retries, but not for ever', async () => {
    const id = await submit({ retries: 0 });
    for (let attempt = 1; attempt <= 20; attempt++) {
      expect((await job(id)).state).toBe('queued');
      await claimJob(db, id, 'w1');
      await releasePreempted(db, { id, attempt, owner: 'w1' }, 'its node went away');
    }
    expect(await job(id)).toMatchObject({
      state: 'failed',
      reason: 'attempt 20 was taken away: its node went away',
    });
  });

  it('that is lost with every worker that takes it fails in the end, and says why', async () => {
    const id = await submit({ retries: 0 });
    for (let lost = 0; lost < 20; lost++) {
      expect((await claimJob(db, id, 'w1'))?.attempt).toBe(lost + 1);
      await recoverJobs(db, 60_000, 'w1');
    }
    expect(await job(id)).toMatchObject({ state: 'failed', reason: 'attempt 20 was lost with its worker' });
    expect((await told(id)).at(-1)).toBe('job.failed');
  });

  it('that nothing can help is not repeated', async () => {
    const key = await running('w1', { retries: 5 });
    expect(await finishUnsuccessful(db, key, { ...failed, retryable: false })).toBe('ended');
  });

  it('ends as succeeded together with its promotions', async () => {
    await addEndpoint(db, 'fitted', 1);
    const key = await running('w1', { model: 'fitted' });
    expect(await finishSucceeded(db, key, { version: 1, reason: 'ok' })).toBe(true);
    expect(await finishSucceeded(db, key, { version: 1, reason: 'ok' })).toBe(false);
    expect(await listPromotions(db, 'default', { job: key.id, limit: 5 })).toMatchObject([
      { endpoint: 'fitted', version: 1, state: 'pending' },
    ]);
    expect(await job(key.id)).toMatchObject({ state: 'succeeded', version: 1 });
  });
});

describe('recoverJobs', () => {
  it('takes back what is silent and leaves what lives', async () => {
    const silent = await running('w-silent');
    const alive = await running('w-alive');
    await db
      .updateTable('jobs')
      .set({ heartbeat_at: new Date(Date.now() - 20_000) })
      .where('id', '=', silent.id)
      .execute();
    const waiting = await recoverJobs(db, 15_000);
    expect(waiting).toContainEqual({ id: silent.id, attempt: 1 });
    expect(waiting.map((one) => one.id)).not.toContain(alive.id);
    expect(await job(silent.id)).toMatchObject({
      state: 'queued',
      owner: null,
      reason: 'attempt 1 was lost with its worker',
    });
    expect((await job(alive.id)).state).toBe('running');
  });

  it('at once from several sides takes each back once', async () => {
    const key = await running('w-gone');
    await outcomes(Array.from({ length: 5 }, () => recoverJobs(db, 15_000, 'w-gone')));
    expect((await job(key.id)).lost_attempts).toBe(1);
    expect((await told(key.id)).filter((kind) => kind === 'job.recovered').length).toBe(1);
  });
});

describe('cancelJob', () => {
  const cancel = (id: string) => cancelJob(db, 'default', id, 'ada');

  it('ends a waiting job at once', async () => {
    const id = await submit();
    expect(await cancel(id)).toBe('cancelled');
    expect(await claimJob(db, id, 'w1')).toBeUndefined();
    expect(await told(id)).toEqual(['job.submitted', 'job.cancelled']);
  });

  it('tells a running one, which then is not repeated', async () => {
    const key = await running('w1', { retries: 5 });
    expect(await cancel(key.id)).toBe('running');
    expect(await beat(db, key)).toEqual({ mine: true, cancelRequested: true });
    expect(await finishUnsuccessful(db, key, failed)).toBe('ended');
    expect((await job(key.id)).state).toBe('cancelled');
  });

  it.each([
    { why: 'is lost', part: (_: AttemptKey) => recoverJobs(db, 60_000, 'w-cancel') },
    { why: 'stops', part: (key: AttemptKey) => releaseJob(db, key, 'its worker was stopped') },
  ])('ends a running one whose worker $why before it heard', async ({ part }) => {
    const key = await running('w-cancel');
    await cancel(key.id);
    await part(key);
    expect(await job(key.id)).toMatchObject({ state: 'cancelled', phase: '', owner: null, ended_at: expect.any(Date) });
    expect((await told(key.id)).at(-1)).toBe('job.cancelled');
    expect(await claimJob(db, key.id, 'w2')).toBeUndefined();
  });

  it('leaves what has ended as it is', async () => {
    const key = await running();
    await finishSucceeded(db, key, { version: null, reason: 'ok' });
    expect(await cancel(key.id)).toBe('succeeded');
    await expect(cancel('job_none')).rejects.toMatchObject({ code: 'not_found' });
  });

  it('races a claim to one of two ends', async () => {
    for (let round = 0; round < 10; round++) {
      const id = await submit();
      const [claimed, state] = await Promise.all([claimJob(db, id, 'w1'), cancel(id)]);
      expect(state).toBe(claimed ? 'running' : 'cancelled');
      expect((await job(id)).cancel_requested_at).not.toBeNull();
    }
  });
});

describe('createAttemptSink', () => {
  it('keeps order and loses nothing, in batches', async () => {
    const key = await running();
    const sink = createAttemptSink(db, key);
    await sink.phase('running', 'train.py');
    for (let at = 0; at < 1234; at++) {
      await sink.log(at % 2 ? 'stdout' : 'stderr', `line ${at}`);
      if (at % 100 === 0) await sink.metric({ name: 'loss', value: at, step: at });
    }
    await sink.close();
    const lines = await logsAfter(db, key.id, 0, 5000);
    expect(lines.map((line) => line.text)).toEqual(Array.from({ length: 1234 }, (_, at) => `line ${at}`));
    expect((await metricsAfter(db, key.id, 0)).length).toBe(13);
    expect((await job(key.id)).phase).toBe('running: train.py');
  });

  it('writes by itself soon, also after a lone line', async () => {
    const key = await running();
    const sink = createAttemptSink(db, key);
    await sink.log('stdout', 'alone');
    const end = Date.now() + 5000;
    while ((await logsAfter(db, key.id, 0)).length === 0 && Date.now() < end) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect((await logsAfter(db, key.id, 0)).length).toBe(1);
    await sink.close();
  });
});

describe('reconcile', () => {
  it('finds what was written and never enqueued, and what a dead worker held', async () => {
    const waiting = await submit();
    const held = await running('m1/wk_old');
    await addEndpoint(db, 'found', 2);
    const { id: promotion } = await requestPromotion(db, {
      project: 'default',
      endpoint: 'found',
      version: 2,
      actor: 'ada',
    });
    const { id: endpointId } = await db
      .selectFrom('endpoints')
      .select('id')
      .where('name', '=', 'found')
      .executeTakeFirstOrThrow();
    const rollout = await db.transaction().execute((tx) =>
      startRollout(
        tx,
        {
          project: 'default',
          endpointId,
          endpoint: 'found',
          stable: 1,
          candidate: 2,
          plan: rolloutPlanSchema.parse({}),
          promotionId: null,
        },
        Date.now(),
      ),
    );
    const queued = new Map<string, string>();
    const enqueue: Enqueue = async (name, data, { id }) => void queued.set(id, `${name} ${Object.values(data)[0]}`);
    await takeBack(db, 'm1/');
    // what this life of the machine's worker took since is its own
    const own = await running('m1/wk_new');
    await reconcile({ db, enqueue, clock: systemClock });
    expect((await getJob(db, 'default', own.id)).owner).toBe('m1/wk_new');
    expect(queued.get(`${waiting}-0`)).toBe(`training.run ${waiting}`);
    expect(queued.get(`${held.id}-1`)).toBe(`training.run ${held.id}`);
    expect([...queued.values()]).toContain(`promotion.decide ${promotion}`);
    // a rollout that is looked at in time is left alone
    expect([...queued.values()]).not.toContain(`rollout.advance ${rollout}`);
    await db
      .updateTable('rollouts')
      .set({ next_at: new Date(Date.now() - 5000) })
      .where('id', '=', rollout)
      .execute();
    queued.clear();
    await reconcile({ db, enqueue, clock: systemClock });
    expect([...queued.values()]).toContain(`rollout.advance ${rollout}`);
  });
});
