/** A gateway of several processes: one port, one fleet, one set of metrics. */
import { readdir, readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../support/children.js';
import { type GatewayProcess, startGatewayProcess } from '../support/gateway-process.js';
import { modelPath } from '../support/runtime.js';

let gateway: GatewayProcess;
const PROCESSES = 2;

beforeAll(async () => {
  gateway = await startGatewayProcess({ env: { SLUICE_GATEWAY_PROCESSES: String(PROCESSES) } });
  const version = await gateway.upload('add', await readFile(modelPath('add.onnx')));
  await gateway.serve('add', 'add', version, { scaling: { concurrency: 1, maxReplicas: 1 } });
}, 120_000);

afterAll(() => gateway?.stop());

const input = (name: string, data: number[]) => ({ name, datatype: 'FP32', shape: [1, 2], data });
const BODY = JSON.stringify({ inputs: [input('a', [1, 2]), input('b', [3, 4])] });

/** Each call on a connection of its own, as they are dealt out among the processes. */
async function predict(): Promise<number> {
  const headers = { authorization: `Bearer ${gateway.key}`, connection: 'close' };
  const reply = await fetch(`${gateway.url}/v2/models/add/infer`, { method: 'POST', headers, body: BODY });
  const { outputs } = (await reply.json()) as { outputs?: { data: number[] }[] };
  if (reply.status === 200) expect(outputs?.[0]?.data).toEqual([4, 6]);
  return reply.status;
}

/** The gateway's processes that answer: its children that run its own program. */
async function doors(): Promise<number[]> {
  const found: number[] = [];
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const stat = await readFile(`/proc/${name}/stat`, 'utf8').catch(() => '');
    const command = await readFile(`/proc/${name}/cmdline`, 'utf8').catch(() => '');
    const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
    if (parent === gateway.pid && command.includes('gateway.js')) found.push(Number(name));
  }
  return found;
}

async function metric(name: string): Promise<number> {
  const text = await (await fetch(`${gateway.url}/metrics`)).text();
  return text
    .split('\n')
    .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
    .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

describe.skipIf(process.platform !== 'linux')('several gateway processes', () => {
  it('answer on one port, over one replica that takes one request at a time', async () => {
    expect(await doors()).toHaveLength(PROCESSES);
    const statuses = await Promise.all(Array.from({ length: 200 }, predict));
    expect(statuses.every((status) => status === 200)).toBe(true);
    expect(await metric('sluice_predictions_total')).toBe(200);
    expect(await metric('sluice_replicas')).toBe(1);
    const { body } = await gateway.client.get<object>('/api/v1/endpoints/add');
    expect(body).toMatchObject({ revisions: [{ status: { ready: 1 } }] });
    const stats = await gateway.client.get<{ model_stats: { inference_count: number }[] }>('/v2/models/add/stats');
    expect(stats.body.model_stats[0]?.inference_count).toBeGreaterThanOrEqual(200);
  });

  it('hear of changes all', async () => {
    await gateway.client.post('/v2/repository/models/add/unload', { json: {} });
    const all = async (status: number) => {
      const seen = await Promise.all(Array.from({ length: 20 }, predict));
      return seen.every((one) => one === status);
    };
    await eventually(() => all(503));
    await gateway.client.post('/v2/repository/models/add/load', { json: {} });
    await eventually(() => all(200));
  });

  it('go on when one of them is killed, which is started again', async () => {
    const [victim = 0] = await doors();
    process.kill(victim, 'SIGKILL');
    await eventually(async () => {
      const now = await doors();
      return now.length === PROCESSES && !now.includes(victim);
    }, 20_000);
    await eventually(async () => {
      const statuses = await Promise.all(Array.from({ length: 20 }, () => predict().catch(() => 0)));
      return statuses.every((status) => status === 200);
    });
  });

  it('end together', async () => {
    const all = await doors();
    await gateway.end();
    for (const pid of all) expect(() => process.kill(pid, 0)).toThrow();
    await gateway.begin();
    expect(await predict()).toBe(200);
  });
});
