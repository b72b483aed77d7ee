import { Agent, request } from 'node:http';
import { mlp } from '../../bench/support/mlp.js';
import { chooseRevision } from '../../src/core/inference/route.js';
import { type GatewayProcess, startGatewayProcess } from '../../tests/support/gateway-process.js';
import type { Verification } from '../verification.js';
import { endpointWith, worstZ } from './shares.js';

const CHOICES = 100_000;
const REQUESTS = 10_000;
const CONNECTIONS = 16;
/** How many standard deviations a count may be off. By chance one of 16,000 honest counts is. */
const MAX_Z = 4;

const SPLITS: readonly (readonly number[])[] = [
  [90, 10],
  [99.5, 0.5],
  [60, 30, 10],
];
/** What a canary that is promoted, and one that is rolled back, do to the second revision's percent. */
const ROLLOUTS: readonly (readonly number[])[] = [
  [0, 10, 50, 100],
  [0, 10, 50, 0],
];

/**
 * Shares of traffic against the setting. Each revision's count of n independent choices of probability p is binomial, so
 * z = |count - n p| / sqrt(n p (1 - p)) is at most 4. Sticky choices are compared the same way over distinct keys, and
 * must move a key at most once while a canary only grows, and back to where it was when it is rolled back.
 */
export const splits: Verification = {
  name: 'splits',
  summary:
    'shares of traffic against the setting: chosen by chance, by sticky key, and over HTTP through a real gateway',
  async run() {
    const figures: Record<string, string | number> = {};
    let ok = true;
    const judge = (what: string, percents: readonly number[], counts: readonly number[]) => {
      const z = worstZ(percents, counts);
      figures[what] = `${counts.join(' / ')} of ${percents.join(' / ')} %, z ${z.toFixed(2)} (at most ${MAX_Z})`;
      ok &&= z <= MAX_Z;
    };
    for (const percents of SPLITS) {
      const endpoint = endpointWith(percents);
      const [byChance, byKey] = [percents.map(() => 0), percents.map(() => 0)];
      for (let at = 0; at < CHOICES; at++) {
        count(byChance, chooseRevision(endpoint, { random: Math.random() }).number);
        count(byKey, chooseRevision(endpoint, { random: 0, stickyKey: `user-${at}` }).number);
      }
      judge(`${CHOICES} choices at ${percents.join('/')}`, percents, byChance);
      judge(`${CHOICES} sticky keys at ${percents.join('/')}`, percents, byKey);
    }
    for (const steps of ROLLOUTS) {
      const { most, strays, moved } = followKeys(steps);
      const back = steps.at(-1) === 0;
      figures[`sticky keys through ${steps.join(' → ')} %`] = back
        ? `${moved} of ${CHOICES} moved, ${strays} not back where they began`
        : `${moved} of ${CHOICES} moved, at most ${most} time(s) each, ${strays} not at the new revision in the end`;
      ok &&= strays === 0 && most <= (back ? 2 : 1);
    }
    const gateway = await startGatewayProcess();
    try {
      const { counts, failed } = await throughGateway(gateway);
      judge(`${REQUESTS} HTTP requests at 90/10`, [90, 10], counts);
      figures['HTTP requests that failed'] = failed;
      ok &&= failed === 0;
    } finally {
      await gateway.stop();
    }
    return { ok, figures, notRun: [] };
  },
};

/** Follows every key through a canary's steps: how often the busiest one changed, and how many ended elsewhere than all should. */
function followKeys(steps: readonly number[]): { most: number; strays: number; moved: number } {
  const endpoints = steps.map((percent) => endpointWith([100 - percent, percent]));
  const last = steps.at(-1) === 0 ? 1 : 2;
  let [most, strays, moved] = [0, 0, 0];
  for (let key = 0; key < CHOICES; key++) {
    const path = endpoints.map((endpoint) => chooseRevision(endpoint, { random: 0, stickyKey: `user-${key}` }).number);
    const changes = path.filter((revision, at) => at > 0 && revision !== path[at - 1]).length;
    most = Math.max(most, changes);
    if (changes > 0) moved++;
    if (path.at(-1) !== last) strays++;
  }
  return { most, strays, moved };
}

async function throughGateway(gateway: GatewayProcess): Promise<{ counts: number[]; failed: number }> {
  const [first, second] = [await gateway.upload('split', mlp([32])), await gateway.upload('split', mlp([48]))];
  await gateway.serve('split', 'split', first, { scaling: { minReplicas: 1, maxReplicas: 1 } });
  const { client } = gateway;
  const added = await client.post<{ revision: number }>('/api/v1/endpoints/split/revisions', {
    json: { version: second },
  });
  const targets = [
    { revision: 1, percent: 90 },
    { revision: added.body.revision, percent: 10 },
  ];
  await client.put('/api/v1/endpoints/split/traffic', { json: { targets } });
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  const body = JSON.stringify({
    inputs: [{ name: 'X', shape: [1, 64], datatype: 'FP32', data: new Array(64).fill(1) }],
  });
  const ask = () => post(agent, `${gateway.url}/v2/models/split/infer`, gateway.key, body);
  // the gateways follow a setting by notification: from the first answer of the new revision on it is in force
  for (let tries = 0; (await ask()) !== added.body.revision; tries++) {
    if (tries === 5000) throw new Error('the new traffic setting is not in force after 5000 requests');
  }
  const counts = [0, 0];
  let [left, failed] = [REQUESTS, 0];
  const worker = async () => {
    while (left-- > 0) {
      const revision = await ask().catch(() => undefined);
      if (revision === undefined) failed++;
      else count(counts, revision);
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, worker));
  agent.destroy();
  return { counts, failed };
}

/** The revision that answered; rejects on anything but a 200. */
function post(agent: Agent, url: string, key: string, body: string): Promise<number> {
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json', 'content-length': body.length };
  return new Promise((resolve, reject) => {
    const sending = request(url, { agent, method: 'POST', headers }, (response) => {
      response.resume();
      response.on('error', reject);
      response.on('end', () => {
        if (response.statusCode === 200) resolve(Number(response.headers['sluice-revision']));
        else reject(new Error(`answered ${response.statusCode}`));
      });
    });
    sending.on('error', reject);
    sending.end(body);
  });
}

function count(counts: number[], revision: number): void {
  counts[revision - 1] = (counts[revision - 1] ?? 0) + 1;
}
