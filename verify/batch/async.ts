/** Asynchronous predictions that are accepted right before something dies. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { SluiceClient } from '../../src/cli/client.js';
import { startRedis } from '../../tests/support/redis-server.js';
import { patiently } from '../faults/api.js';
import type { Installation } from '../faults/installation.js';
import { killNow, type ProcessKind } from '../faults/processes.js';

/** The endpoint that answers 2 id + 1. */
export const ENDPOINT = 'linear';
const START_MS = 60_000;
const COUNT = 50;
/** A Redis that was killed is started again after this long. */
const REDIS_AWAY_MS = 1000;

export interface Survived {
  readonly right: number;
  readonly tookMs: number;
  readonly problems: readonly string[];
}

/** The gateway is killed as soon as it has accepted them. */
export async function throughGatewaysDeath(installation: Installation, client: SluiceClient): Promise<Survived> {
  const accepted = await acceptMany(client);
  const killedAt = Date.now();
  kill(installation, 'gateway');
  return checkAnswers(client, accepted, killedAt);
}

/** On a queue that lives in Redis: it is killed together with the worker, and comes back a second later. */
export async function throughRedisDeath(installation: Installation, client: SluiceClient): Promise<Survived> {
  const redis = await startRedis();
  try {
    await installation.stop();
    installation.start(redis.url);
    await patiently('the start on Redis', START_MS, () => client.get('/readyz'));
    const accepted = await acceptMany(client);
    const killedAt = Date.now();
    await redis.kill();
    kill(installation, 'worker');
    // accepted while there is no queue
    accepted.push(...(await acceptMany(client)));
    await sleep(REDIS_AWAY_MS);
    await redis.start();
    return await checkAnswers(client, accepted, killedAt);
  } finally {
    await redis.stop();
  }
}

function kill(installation: Installation, kind: ProcessKind): void {
  const victim = installation.processes().find((found) => found.kind === kind);
  if (victim) killNow(victim.pid);
}

interface Accepted {
  readonly id: number;
  readonly location: string;
}

async function acceptMany(client: SluiceClient): Promise<Accepted[]> {
  return Promise.all(
    Array.from({ length: COUNT }, async (_, id) => {
      const json = { inputs: [{ name: 'id', datatype: 'INT64', shape: [1], data: [id] }] };
      const headers = { prefer: 'respond-async' };
      const answer = await patiently('an asynchronous prediction', START_MS, () =>
        client.post<{ location: string }>(`/v2/models/${ENDPOINT}/infer`, { json, headers }),
      );
      return { id, location: answer.body.location };
    }),
  );
}

async function checkAnswers(client: SluiceClient, accepted: readonly Accepted[], killedAt: number): Promise<Survived> {
  const problems: string[] = [];
  let right = 0;
  for (const { id, location } of accepted) {
    const value = await answerAt(client, location);
    if (value === 2 * id + 1) right++;
    else problems.push(`the prediction at ${location} answered ${value} instead of ${2 * id + 1}`);
  }
  return { right, tookMs: Date.now() - killedAt, problems };
}

async function answerAt(client: SluiceClient, location: string): Promise<number | undefined> {
  for (const until = Date.now() + START_MS; Date.now() < until; await sleep(50)) {
    const answer = await client.get<{ outputs?: { data: number[] }[] }>(location).catch(() => undefined);
    if (answer?.status === 200) return answer.body.outputs?.[0]?.data[0];
  }
  return undefined;
}
