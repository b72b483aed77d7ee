/**
 * What else can be done with two good revisions, under the same live traffic: a shadow that is compared, a switch of all
 * traffic and the way back, an A/B test by what users report, and a promotion that a person has to approve.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { SluiceClient } from '../../src/cli/client.js';
import type { Promotion, Rollout } from '../../src/cli/rollout-types.js';

export interface Scene {
  readonly title: string;
  /** What came of it, with its numbers. */
  readonly words: string;
  /** Why it is not as it should be. */
  readonly problem?: string;
  readonly seconds: number;
}

export interface Stage {
  readonly client: SluiceClient;
  readonly name: string;
  /** The endpoint as it was set. */
  readonly endpoint: Readonly<Record<string, unknown>> & { readonly policy: Policy };
  /** The revision that serves, its model version, and an earlier one that is good, too. */
  readonly serving: { readonly revision: number; readonly modelVersion: number };
  readonly earlier: number;
  tell(line: string): void;
}

interface Policy {
  readonly rollout: { readonly analysis: Readonly<Record<string, unknown>> };
}

/** How long one scene may take. */
const SCENE_MS = 120_000;
/** Compared answers, and reports of each revision, that say something. */
const ENOUGH = 300;

export async function playSecondAct(stage: Stage): Promise<Scene[]> {
  const scenes: Scene[] = [];
  for (const [title, play] of SCENES) {
    const began = performance.now();
    const scene = await play(stage).catch((error: Error) => ({ words: 'it broke off', problem: error.message }));
    const seconds = (performance.now() - began) / 1000;
    stage.tell(`${title}: ${scene.words}`);
    scenes.push({ title, seconds, ...scene });
  }
  return scenes;
}

type Came = Pick<Scene, 'words' | 'problem'>;

const SCENES: readonly (readonly [string, (stage: Stage) => Promise<Came>])[] = [
  ['A shadow gets copies, and its answers are compared', shadow],
  ['Blue/green: all traffic switches to the earlier revision', blueGreen],
  ['One call takes everything back', wayBack],
  ['A/B by user, judged by what users report', abTest],
  ['A promotion waits for a person', approval],
];

async function shadow({ client, name, serving, earlier }: Stage): Promise<Came> {
  await setTraffic(client, name, [
    { revision: serving.revision, percent: 100 },
    { revision: earlier, percent: 0, shadowPercent: 100 },
  ]);
  const seen = await until('copies were compared', async () => {
    const { body } = await client.get<{ shadows: { revision: number; compared: number; disagreed: number }[] }>(
      `/api/v1/endpoints/${name}/shadow`,
    );
    return body.shadows.find(({ revision, compared }) => revision === earlier && compared >= ENOUGH);
  });
  await setTraffic(client, name, [{ revision: serving.revision, percent: 100 }]);
  return {
    words: `revision ${earlier} would have said something else in ${seen.disagreed} of ${seen.compared} cases; nobody was told`,
  };
}

async function blueGreen({ client, name, earlier, endpoint }: Stage): Promise<Came> {
  const plan = {
    strategy: 'blue_green',
    blueGreen: { previewSec: 1, holdSec: 2 },
    analysis: endpoint.policy.rollout.analysis,
    bakeSec: 60,
  };
  const { body } = await client.post<{ rollout: string }>(`/api/v1/endpoints/${name}/rollouts`, {
    json: { revision: earlier, plan },
  });
  const end = await until('the switch was judged', async () => {
    const { body: rollout } = await client.get<Rollout>(`/api/v1/rollouts/${body.rollout}`);
    return rollout.endedAt ? rollout : undefined;
  });
  const words = `${end.steps.join('; ')}; then ${end.state.replace('_', ' ')}`;
  return end.state === 'promoted' ? { words } : { words, problem: `it ended as ${end.state}: ${end.reason}` };
}

async function wayBack({ client, name, serving }: Stage): Promise<Came> {
  const began = performance.now();
  const { body } = await client.post<{ revision: number; rollout: string | null }>(
    `/api/v1/endpoints/${name}/rollback`,
    { json: { reason: 'the demo has seen enough' } },
  );
  const words = `revision ${body.revision} has all the traffic again after ${(performance.now() - began).toFixed(0)} ms`;
  if (body.revision !== serving.revision || body.rollout !== null)
    return { words, problem: `revision ${serving.revision} was to be back at once` };
  return { words };
}

async function abTest({ client, name, serving, earlier, endpoint }: Stage): Promise<Came> {
  const routing = { ...(endpoint.routing as object), feedback: { enabled: true } };
  await client.put(`/api/v1/endpoints/${name}`, { json: { ...endpoint, routing } });
  await setTraffic(client, name, [
    { revision: serving.revision, percent: 50, tag: 'a' },
    { revision: earlier, percent: 50, tag: 'b' },
  ]);
  const [a, b] = await until('users reported enough', async () => {
    const { body } = await client.get<{ revisions: Reported[] }>(`/api/v1/endpoints/${name}/feedback`);
    const pair = [serving.revision, earlier].map((number) => body.revisions.find((one) => one.revision === number));
    return pair.every((one) => (one?.reward.count ?? 0) >= ENOUGH) ? (pair as [Reported, Reported]) : undefined;
  });
  await setTraffic(client, name, [{ revision: serving.revision, percent: 100 }]);
  await client.put(`/api/v1/endpoints/${name}`, { json: endpoint });
  return {
    words: `read right, as users say: ${[a, b].map(rewardText).join('; ')}; revision ${serving.revision} keeps it all`,
  };
}

interface Reported {
  readonly revision: number;
  readonly reward: {
    readonly count: number;
    readonly mean: number | null;
    readonly low: number;
    readonly high: number;
  };
}

function rewardText({ revision, reward: { count, mean, low, high } }: Reported): string {
  const percent = (share: number | null) => ((share ?? 0) * 100).toFixed(1);
  return `revision ${revision} ${percent(mean)} % of ${count} (${percent(low)} to ${percent(high)} %)`;
}

async function approval({ client, name, serving, endpoint }: Stage): Promise<Came> {
  const policy = { ...endpoint.policy, approval: { kind: 'one', expirySec: 600 } };
  await client.put(`/api/v1/endpoints/${name}`, { json: { ...endpoint, policy } });
  const asked = await client.post<{ promotion: string }>(`/api/v1/endpoints/${name}/promotions`, {
    json: { version: serving.modelVersion },
  });
  const path = `/api/v1/promotions/${asked.body.promotion}`;
  const look = async (wanted: (promotion: Promotion) => boolean) => {
    const { body } = await client.get<Promotion>(path);
    return wanted(body) || body.endedAt ? body : undefined;
  };
  const waiting = await until('its gates passed', () => look(({ state }) => state === 'awaiting_approval'));
  if (waiting.endedAt) return { words: waiting.state, problem: `it ended as ${waiting.state}: ${waiting.reason}` };
  await client.post(`${path}/approve`, { json: { comment: 'looks good to me' } });
  const end = await until('its rollout ended', () => look(() => false));
  await client.put(`/api/v1/endpoints/${name}`, { json: endpoint });
  const words = `version ${serving.modelVersion} passed its gates again, was approved, and was ${end.state.replace('_', ' ')}`;
  return end.state === 'promoted' ? { words } : { words, problem: `it ended as ${end.state}: ${end.reason}` };
}

function setTraffic(client: SluiceClient, name: string, targets: readonly object[]): Promise<unknown> {
  return client.put(`/api/v1/endpoints/${name}/traffic`, { json: { targets, reason: 'the demo' } });
}

async function until<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
  const end = Date.now() + SCENE_MS;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (Date.now() > end) throw new Error(`it took more than ${SCENE_MS / 1000} s until ${what}`);
    await sleep(100);
  }
}
