/**
 * The whole path on real data: four training jobs of handwritten digits and what becomes of each, under live traffic.
 * Talks to a running Sluice through its HTTP API alone.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Job } from '../../src/cli/api-types.js';
import type { SluiceClient } from '../../src/cli/client.js';
import { packCode } from '../../src/cli/pack/archive.js';
import type { Promotion, Rollout } from '../../src/cli/rollout-types.js';
import { playSecondAct, type Scene } from './second-act.js';
import { type DigitRows, startTraffic, type TrafficReport } from './traffic.js';

export interface StoryOptions {
  readonly client: SluiceClient;
  readonly key: string;
  /** The folder of the digits example. */
  readonly folder: string;
  /** Name of the model and endpoint; a platform that was used before needs a new one. */
  readonly name: string;
  /** Tells what happens, as it happens. */
  tell(line: string): void;
  readonly requestsPerSecond?: number;
  /** Processors that a job and, on a cluster, a model server set aside. Default 1. */
  readonly cpus?: number;
}

export interface Chapter {
  readonly title: string;
  readonly job: string;
  readonly state: string;
  readonly version: number | null;
  readonly accuracy: number | null;
  readonly decision: string;
  readonly expected: string;
  readonly reason: string;
  readonly gates: readonly { readonly gate: string; readonly passed: boolean; readonly reason: string }[];
  readonly rollout: { readonly id: string; readonly state: string; readonly steps: readonly string[] } | null;
  readonly seconds: number;
}

export interface Account {
  readonly ok: boolean;
  readonly problems: readonly string[];
  readonly chapters: readonly Chapter[];
  readonly scenes: readonly Scene[];
  readonly traffic: TrafficReport;
  /** What the endpoint serves at the end. */
  readonly serving: { readonly revision: number; readonly modelVersion: number } | null;
  readonly seconds: number;
}

interface Plan {
  readonly title: string;
  readonly name: string;
  readonly params: Readonly<Record<string, string | number | boolean>>;
  readonly expected: 'promoted' | 'rejected' | 'rolled_back';
}

const FIRST: Plan = {
  title: 'A first model goes live',
  name: 'digits-first',
  params: { model: 'logreg', train_fraction: 0.15 },
  expected: 'promoted',
};
const BETTER: Plan = {
  title: 'A better one takes over through a canary',
  name: 'digits-better',
  params: { model: 'mlp', hidden: 96, epochs: 30 },
  expected: 'promoted',
};
const WORSE: Plan = {
  title: 'A worse one is stopped by its gate',
  name: 'digits-worse',
  params: { model: 'logreg', train_fraction: 0.3, label_noise: 0.6 },
  expected: 'rejected',
};
const FRAGILE: Plan = {
  title: 'One that is as good on paper fails in serving, and is rolled back',
  name: 'digits-fragile',
  params: { model: 'mlp', hidden: 128, epochs: 30, ink_table: true, seed: 1 },
  expected: 'rolled_back',
};

const ENDPOINT = {
  scaling: { minReplicas: 0, maxReplicas: 2, concurrency: 32 },
  routing: { stickyHeader: 'x-user' },
  policy: {
    gates: [
      { kind: 'metric', name: 'accuracy', min: 0.5 },
      { kind: 'signature' },
      { kind: 'evaluation', dataset: 'digits-holdout', metric: 'accuracy', min: 0.8, maxRegression: 0.02 },
    ],
    rollout: {
      steps: [
        { percent: 10, holdSec: 2 },
        { percent: 50, holdSec: 2 },
      ],
      analysis: {
        minRequests: 100,
        metrics: [
          { kind: 'errors', maxIncrease: 0.05 },
          { kind: 'latency', maxIncrease: 0.25, slowFactor: 4 },
        ],
      },
      bakeSec: 60,
    },
  },
};

/** How long one job may take to its decision, environment and all. */
const CHAPTER_MS = 280_000;

/** Runs the story to its end and says whether all of it came as it should. */
export async function runStory(options: StoryOptions): Promise<Account> {
  const { client, name, tell } = options;
  const began = performance.now();
  const data = await readHoldout(join(options.folder, 'holdout.json'));
  const requirements = lines(await readFile(join(options.folder, 'requirements.txt'), 'utf8'));
  const code = await uploadCode(client, options.folder);
  await client.post('/api/v1/datasets/digits-holdout/versions', {
    stream: fileBody(await readFile(join(options.folder, 'holdout.json'))),
  });
  await client.post('/api/v1/models', { json: { name } });
  const endpoint = { name, model: name, ...ENDPOINT, placement: { cpus: options.cpus ?? 1, memoryMb: 512 } };
  await client.put(`/api/v1/endpoints/${name}`, { json: endpoint });
  tell(`endpoint "${name}" waits for its first model; ${data.rows.length} held-out digits judge every candidate`);

  const run = (plan: Plan) => runChapter(options, plan, code, requirements);
  const chapters: Chapter[] = [await run(FIRST)];
  const traffic = startTraffic({
    url: client.url,
    key: options.key,
    endpoint: name,
    data,
    perSecond: options.requestsPerSecond ?? 250,
    isInjected: (status, message) => status === 500 && /out of (data )?bounds|indices element/i.test(message),
  });
  const scenes: Scene[] = [];
  let report: TrafficReport;
  try {
    tell('traffic starts: one request in five is a scan twice as bright as the training data');
    chapters.push(await run(BETTER));
    // the last two are trained side by side: one never sees traffic, the other should not have
    chapters.push(...(await Promise.all([run(WORSE), run(FRAGILE)])));
    const [first, serving] = [await revisionOf(client, name, chapters[0]?.version), await servingNow(client, name)];
    if (first !== undefined && serving && first !== serving.revision)
      scenes.push(...(await playSecondAct({ client, name, endpoint, serving, earlier: first, tell })));
    // the account needs enough predictions to say something
    while (traffic.answered() < 2500) await sleep(100);
  } finally {
    report = await traffic.stop();
  }
  const serving = await servingNow(client, name);
  const problems = chapters
    .filter((chapter) => chapter.decision !== chapter.expected)
    .map(
      (chapter) => `${chapter.title}: ${chapter.expected} was expected, it was ${chapter.decision} (${chapter.reason})`,
    );
  for (const { title, problem } of scenes) if (problem) problems.push(`${title}: ${problem}`);
  if (scenes.length === 0) problems.push('there were no two revisions to show more with');
  if (report.failed > 0) problems.push(`${report.failed} predictions failed: ${report.failures.join('; ')}`);
  if (report.answered + report.injected < 2000) problems.push(`only ${report.answered} predictions were answered`);
  if (serving?.modelVersion !== chapters[1]?.version)
    problems.push(`version ${serving?.modelVersion} serves at the end, version ${chapters[1]?.version} should`);
  return {
    ok: problems.length === 0,
    problems,
    chapters,
    scenes,
    traffic: report,
    serving,
    seconds: (performance.now() - began) / 1000,
  };
}

async function runChapter(
  { client, name, tell, cpus = 1 }: StoryOptions,
  plan: Plan,
  code: string,
  requirements: readonly string[],
): Promise<Chapter> {
  const began = performance.now();
  const submitted = await client.post<{ id: string }>('/api/v1/jobs', {
    json: {
      name: plan.name,
      model: name,
      code,
      entrypoint: 'train.py',
      requirements,
      params: plan.params,
      resources: { cpus, memoryMb: 1024 },
      timeLimitSec: 240,
    },
  });
  const { id } = submitted.body;
  tell(`job ${plan.name} submitted`);
  const until = Date.now() + CHAPTER_MS;
  const job = await waitFor(until, `job ${plan.name}`, async () => {
    const { body } = await client.get<Job>(`/api/v1/jobs/${id}`);
    return body.endedAt ? body : undefined;
  });
  const accuracy = job.metrics.accuracy ?? null;
  if (job.state !== 'succeeded') tell(`job ${plan.name} ${job.state}: ${job.reason}`);
  else
    tell(
      `job ${plan.name} is version ${job.version}${accuracy === null ? '' : `, accuracy ${accuracy.toFixed(3)} by its own word`}`,
    );
  const promotion =
    job.state === 'succeeded'
      ? await waitFor(until, `the promotion of ${plan.name}`, async () => {
          const { body } = await client.get<{ promotions: Promotion[] }>('/api/v1/promotions', { query: { job: id } });
          return body.promotions.find((candidate) => candidate.endedAt);
        })
      : undefined;
  const rollout = promotion?.rolloutId
    ? (await client.get<Rollout>(`/api/v1/rollouts/${promotion.rolloutId}`)).body
    : undefined;
  const decision = promotion?.state ?? job.state;
  tell(`${plan.name}: ${decision.replace('_', ' ')}: ${promotion?.reason ?? job.reason}`);
  return {
    title: plan.title,
    job: plan.name,
    state: job.state,
    version: job.version ?? null,
    accuracy,
    decision,
    expected: plan.expected,
    reason: promotion?.reason ?? job.reason,
    gates: promotion?.gates ?? [],
    rollout: rollout
      ? {
          id: rollout.id,
          state: rollout.state,
          steps: rollout.events.map((event) => `${event.kind}: ${event.message}`),
        }
      : null,
    seconds: (performance.now() - began) / 1000,
  };
}

/** The revision that was made of a version. */
async function revisionOf(client: SluiceClient, name: string, version: number | null | undefined) {
  const { body } = await client.get<{ revisions: { number: number; modelVersion: number }[] }>(
    `/api/v1/endpoints/${name}`,
  );
  return body.revisions.find(({ modelVersion }) => modelVersion === version)?.number;
}

async function servingNow(client: SluiceClient, name: string): Promise<Account['serving']> {
  const { body } = await client.get<{
    traffic: { revision: number; percent: number }[];
    revisions: { number: number; modelVersion: number }[];
  }>(`/api/v1/endpoints/${name}`);
  const main = [...body.traffic].sort((a, b) => b.percent - a.percent)[0];
  const revision = body.revisions.find((candidate) => candidate.number === main?.revision);
  return revision ? { revision: revision.number, modelVersion: revision.modelVersion } : null;
}

async function uploadCode(client: SluiceClient, folder: string): Promise<string> {
  const archive = await packCode(folder);
  try {
    await client.put(`/api/v1/blobs/${archive.digest}`, { stream: fileBody(await readFile(archive.file)) });
    return archive.digest;
  } finally {
    await archive.remove();
  }
}

async function readHoldout(path: string): Promise<DigitRows> {
  const set = JSON.parse(await readFile(path, 'utf8')) as {
    inputs: { shape: number[]; data: number[] }[];
    expected: { data: number[] };
  };
  const flat = (set.inputs[0]?.data ?? []).flat();
  const labels = set.expected.data;
  return { labels, rows: labels.map((_, at) => flat.slice(at * 64, at * 64 + 64)) };
}

async function waitFor<T>(until: number, what: string, look: () => Promise<T | undefined>): Promise<T> {
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (Date.now() > until) throw new Error(`${what} did not come to an end in time`);
    await sleep(100);
  }
}

function fileBody(bytes: Buffer) {
  return {
    bytes: bytes.length,
    async *open() {
      yield bytes;
    },
  };
}

function lines(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
}
