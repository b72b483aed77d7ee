/** Rollouts of every shape through the whole program, under requests that must not notice. */
import { beforeAll, describe, expect, it } from 'vitest';
import type { Rollout } from '../../src/cli/rollout-types.js';
import { eventually } from '../support/children.js';
import { type PlatformProcess, startPlatformProcess } from '../support/platform-process.js';

let platform: PlatformProcess;
beforeAll(async () => {
  platform = await startPlatformProcess();
}, 90_000);

const ADD = JSON.stringify({
  inputs: ['a', 'b'].map((name) => ({ name, datatype: 'FP32', shape: [1, 2], data: [1, 2] })),
});

const ANALYSIS = {
  minRequests: 50,
  metrics: [
    { kind: 'errors', maxIncrease: 0.2 },
    { kind: 'latency', maxIncrease: 0.8, slowFactor: 100 },
  ],
};

/** Requests one after the other, from four clients, until they are told to stop. Answers how many of each outcome. */
function clients(endpoint: string) {
  let stopped = false;
  const outcomes: Record<string, number> = {};
  let answered = 0;
  const one = async () => {
    while (!stopped) {
      const answer = await fetch(`${platform.url}/v2/models/${endpoint}/infer`, {
        method: 'POST',
        body: ADD,
        headers: { authorization: `Bearer ${platform.key}`, 'content-type': 'application/json' },
      });
      const text = await answer.text();
      const outcome = answer.status === 200 ? `revision ${answer.headers.get('sluice-revision')}` : text;
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
      answered++;
    }
  };
  const all = Promise.all([one(), one(), one(), one()]);
  return {
    /** Resolves when so many were answered, in seconds that are over. */
    async answered(count: number) {
      await eventually(() => answered >= count, 20_000);
      const second = Math.floor(Date.now() / 1000);
      await eventually(() => Math.floor(Date.now() / 1000) > second + 1, 5000);
    },
    async stop() {
      stopped = true;
      await all;
      return outcomes;
    },
  };
}

async function rollOut(endpoint: string, revision: number, plan: object): Promise<Rollout> {
  const { client } = platform;
  const { body } = await client.post<{ rollout: string }>(`/api/v1/endpoints/${endpoint}/rollouts`, {
    json: { revision, plan: { analysis: ANALYSIS, ...plan } },
  });
  const look = async () => (await client.get<Rollout>(`/api/v1/rollouts/${body.rollout}`)).body;
  await eventually(async () => (await look()).endedAt !== null, 40_000).catch(async () => {
    throw new Error(JSON.stringify(await look()));
  });
  return look();
}

describe.each([
  { shape: 'canary', plan: { steps: [{ percent: 30, holdSec: 1 }] } },
  {
    shape: 'a canary that begins with replicas, copies and a pause',
    plan: {
      steps: [
        { scale: { replicas: 1 } },
        { shadowPercent: 50, holdSec: 1 },
        { pause: { durationSec: 1 } },
        { percent: 50, holdSec: 0 },
        { analysis: { minRequests: 60 } },
      ],
    },
  },
  { shape: 'blue/green', plan: { strategy: 'blue_green', blueGreen: { holdSec: 1 } } },
  { shape: 'recreate', plan: { surge: 'recreate', steps: [{ percent: 50, holdSec: 1 }] } },
  { shape: 'in place', plan: { surge: 'in_place', steps: [{ percent: 50, holdSec: 1 }] } },
])('$shape', ({ shape, plan }) => {
  const name = shape.replace(/[^a-z]+/g, '-');

  it('ends in a promotion that no request notices, and one call leads back', async () => {
    const { client } = platform;
    await platform.serve(name, 'add.onnx', { scaling: { minReplicas: 1, maxReplicas: 2, queueTimeoutSec: 20 } });
    await client.post(`/api/v1/endpoints/${name}/revisions`, { json: { version: 1 } });
    const load = clients(name);
    let outcomes: Record<string, number> = {};
    let rollout: Rollout | undefined;
    let back: { revision: number } | undefined;
    try {
      // what the candidate is compared with
      await load.answered(200);
      rollout = await rollOut(name, 2, plan);
      back = (await client.post<{ revision: number }>(`/api/v1/endpoints/${name}/rollback`, { json: { force: true } }))
        .body;
      // the way back answers, too
      const { status, headers } = await fetch(`${platform.url}/v2/models/${name}/infer`, {
        method: 'POST',
        body: ADD,
        headers: { authorization: `Bearer ${platform.key}`, 'content-type': 'application/json' },
      });
      expect([status, headers.get('sluice-revision')]).toEqual([200, '1']);
    } finally {
      outcomes = await load.stop();
    }
    expect(rollout).toMatchObject({ state: 'promoted' });
    expect(back).toMatchObject({ revision: 1 });
    expect(Object.keys(outcomes).sort()).toEqual(['revision 1', 'revision 2']);
  }, 90_000);
});
