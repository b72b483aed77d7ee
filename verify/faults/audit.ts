/** The end of the run: every job, version, promotion and rollout of the whole installation, counted. */
import type { Promotion } from '../../src/cli/rollout-types.js';
import { type Api, type PlatformEvent, patiently } from './api.js';

export interface Audit {
  readonly figures: Record<string, number>;
  readonly problems: readonly string[];
}

const PATIENCE_MS = 30_000;
const JOB_ENDS = ['job.succeeded', 'job.failed', 'job.cancelled'];
const PROMOTION_ENDS = [
  'promotion.promoted',
  'promotion.rejected',
  'promotion.rolled_back',
  'promotion.aborted',
  'promotion.failed',
  'promotion.superseded',
];
const ROLLOUT_ENDS = ['rollout.promoted', 'rollout.rolled_back', 'rollout.aborted'];

/** `names`: every job that was accepted, by its name, and whether it was made to fail. */
export async function audit(api: Api, names: ReadonlyMap<string, boolean>): Promise<Audit> {
  const [jobs, model, rollouts, events, traffic] = await patiently('the audit', PATIENCE_MS, () =>
    Promise.all([api.jobs(), api.model(), api.rollouts(), api.events(0), api.traffic()]),
  );
  const problems: string[] = [];
  const promotions: Promotion[] = [];
  for (const job of jobs) {
    const of = await patiently('the audit', PATIENCE_MS, () => api.promotionsOf(job.id));
    promotions.push(...of);
    const fails = names.get(job.name);
    const versions = model.versions.filter((version) => version.lineage.jobId === job.id);
    const expected = fails ? 'failed' : 'succeeded';
    const yields = fails ? 0 : 1;
    const say = (words: string) => problems.push(`job ${job.name} ${job.id}: ${words}`);
    if (fails === undefined) say('nobody submitted it');
    if (job.state !== expected) say(`${job.state}, not ${expected}: ${job.reason}`);
    if (versions.length !== yields) say(`${versions.length} versions`);
    if (yields === 1 && versions[0]?.version !== job.version)
      say(`names version ${job.version}, its version is ${versions[0]?.version}`);
    if (of.length !== yields) say(`${of.length} promotions`);
    if (count(events, JOB_ENDS, 'job', job.id) !== 1) say(`${count(events, JOB_ENDS, 'job', job.id)} end events`);
    if (count(events, ['job.submitted'], 'job', job.id) !== 1)
      say(`${count(events, ['job.submitted'], 'job', job.id)} submissions in the events`);
  }
  for (const name of names.keys()) {
    const found = jobs.filter((job) => job.name === name).length;
    if (found !== 1) problems.push(`${found} jobs are named ${name}`);
  }
  for (const promotion of promotions) {
    const ends = count(events, PROMOTION_ENDS, 'promotion', promotion.id);
    if (!promotion.endedAt || ends !== 1)
      problems.push(`promotion ${promotion.id}: ${promotion.state}, ${ends} end events`);
    if (!['promoted', 'aborted'].includes(promotion.state))
      problems.push(`promotion ${promotion.id}: ${promotion.state}: ${promotion.reason}`);
  }
  for (const rollout of rollouts) {
    const ends = count(events, ROLLOUT_ENDS, 'rollout', rollout.id);
    if (!rollout.endedAt || ends !== 1) problems.push(`rollout ${rollout.id}: ${rollout.state}, ${ends} end events`);
  }
  const digests = new Set(model.versions.map((version) => version.artifact.digest));
  if (digests.size !== model.versions.length)
    problems.push(`${model.versions.length} versions have ${digests.size} artifacts`);
  if (traffic.targets.length !== 1 || traffic.targets[0]?.percent !== 100)
    problems.push(`traffic at the end: ${JSON.stringify(traffic.targets)}`);
  return {
    problems,
    figures: {
      'jobs accepted': jobs.length,
      'jobs succeeded': jobs.filter((job) => job.state === 'succeeded').length,
      'jobs failed by their own fault': jobs.filter((job) => job.state === 'failed').length,
      'attempts beyond the first': jobs.reduce((sum, job) => sum + job.attempt - 1, 0),
      'model versions': model.versions.length,
      promotions: promotions.length,
      'promotions promoted': promotions.filter((promotion) => promotion.state === 'promoted').length,
      'promotions replaced by a newer one': promotions.filter((promotion) => promotion.state === 'aborted').length,
      rollouts: rollouts.length,
      'traffic settings': traffic.generation,
      events: events.length,
    },
  };
}

function count(events: readonly PlatformEvent[], kinds: readonly string[], field: string, id: string): number {
  return events.filter(({ kind, data }) => kinds.includes(kind) && data[field] === id).length;
}
