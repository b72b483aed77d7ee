import { readdir, readFile } from 'node:fs/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../src/clock.js';
import { DEFAULT_RUNTIME } from '../../src/core/endpoints/runtime.js';
import type { Fleet } from '../../src/core/fleet.js';
import { ask } from '../../src/core/inference/forward.js';
import type { Lease, LeaseWaiter, Waiting } from '../../src/core/inference/pool.js';
import type { RevisionRoute } from '../../src/core/inference/route.js';
import type { AppError } from '../../src/errors.js';
import type { ProcessFleet } from '../../src/platform/fleet/process-fleet.js';
import { createSandbox } from '../../src/platform/fleet/sandbox.js';
import { isRunning } from '../../src/platform/processes.js';
import { bundle } from '../support/bundle.js';
import { eventually, runNode } from '../support/children.js';
import {
  addCall,
  endpointOf,
  type FleetBench,
  makeFleet,
  makeSpares,
  revisionOf,
  slowCall,
} from '../support/fleet-bench.js';
import { artifactsAt, launcherOf } from '../support/launcher.js';
import { leaseOf, predictionOf } from '../support/predictions.js';
import { modelPath, RUNTIME_SCRIPT } from '../support/runtime.js';

const benches: FleetBench[] = [];
afterEach(async () => {
  for (const { fleet } of benches.splice(0)) await fleet.close();
});

function bench(options: Parameters<typeof makeFleet>[0] = {}): FleetBench {
  const made = makeFleet(options);
  benches.push(made);
  return made;
}

const patient = { timeoutMs: 50_000, idempotent: true };
const pids = (fleet: ProcessFleet) =>
  fleet
    .status()
    .flatMap(({ replicas }) => replicas.flatMap(({ pid, state }) => (pid && state === 'ready' ? [pid] : [])));

/** How many of the requests got which status or error. */
async function answers(fleet: Fleet, revision: RevisionRoute, count: number, call = addCall) {
  const seen: Record<string, number> = {};
  const one = async () => {
    const outcome = await predictionOf(fleet, revision, call, patient).reply.then(
      (reply) => String(reply.status),
      (error) => `${error.code}: ${error.message}`,
    );
    seen[outcome] = (seen[outcome] ?? 0) + 1;
  };
  await Promise.all(Array.from({ length: count }, one));
  return seen;
}

/** The same fleet, counting what is in flight on each replica. */
function counting(fleet: Fleet) {
  const now = new Map<string, number>();
  const most = new Map<string, number>();
  const count = (lease: Lease): Lease => {
    const { id } = lease.replica;
    now.set(id, (now.get(id) ?? 0) + 1);
    most.set(id, Math.max(most.get(id) ?? 0, now.get(id) ?? 0));
    const release = () => {
      now.set(id, (now.get(id) ?? 0) - 1);
      lease.release();
    };
    return { replica: lease.replica, release };
  };
  const lease = (revision: RevisionRoute, waiter: LeaseWaiter): Lease | Waiting => {
    const granted = (given: Lease) => waiter.granted(count(given));
    const got = fleet.lease(revision, { granted, refused: (error) => waiter.refused(error) });
    return 'replica' in got ? count(got) : got;
  };
  return { fleet: { lease } as unknown as Fleet, most };
}

describe('a cold start', () => {
  test.each([{ spares: 0 }, { spares: 1 }])('answers all of 200 requests at once, with %j', async ({ spares }) => {
    const { fleet, coldStarts } = bench({ spares });
    if (spares > 0) await new Promise((resolve) => setTimeout(resolve, 1500));
    expect(await answers(fleet, revisionOf('add.onnx'), 200)).toEqual({ '200': 200 });
    expect(coldStarts.length).toBe(1);
    expect(pids(fleet).length).toBe(1);
  });

  test('of a model that does not load refuses who waits, and who comes, with the words of the engine', async () => {
    const { fleet } = bench();
    const revision = revisionOf('corrupt.onnx', { queueTimeoutSec: 30 });
    const began = Date.now();
    const first = await answers(fleet, revision, 5);
    expect(Object.keys(first).length).toBe(1);
    expect(Object.keys(first)[0]).toMatch(/^not_ready: revision 1 does not start: .{10,}/);
    expect(Date.now() - began).toBeLessThan(15_000);
    expect(Object.keys(await answers(fleet, revision, 1))[0]).toContain('does not start');
    expect(fleet.status()).toMatchObject([{ ready: 0, starting: 0, failing: true }]);
  });
});

test('an endpoint’s runtime settings reach the engine, and what the engine has to say of them comes back', async () => {
  const { fleet } = bench();
  const runtime = { ...DEFAULT_RUNTIME, instances: 2, options: { executionProviders: ['coreml', 'cpu'] } };
  const revision = { ...revisionOf('add.onnx', { minReplicas: 1, maxReplicas: 1 }), runtime };
  fleet.sync(endpointOf(revision));
  await eventually(() => pids(fleet).length === 1, 20_000);
  expect(fleet.status()[0]?.replicas).toMatchObject([
    { device: 'cpu', notes: [expect.stringContaining('Core ML was wanted')] },
  ]);
  const picky = { ...revisionOf('add.onnx'), key: 'picky/1', runtime: { ...DEFAULT_RUNTIME, device: 'gpu' as const } };
  const options = { executionProviders: ['coreml'] };
  const refused = await answers(fleet, { ...picky, runtime: { ...picky.runtime, options } }, 1);
  expect(Object.keys(refused)[0]).toMatch(/does not start: the model is to compute with Core ML, but/);
});

test('a replica never has more in flight than its concurrency, and every slot is used', async () => {
  const { fleet } = bench();
  const revision = revisionOf('slow.onnx', { concurrency: 3, minReplicas: 2, maxReplicas: 2 });
  fleet.sync(endpointOf(revision));
  await eventually(() => pids(fleet).length === 2, 20_000);
  const watched = counting(fleet);
  expect(await answers(watched.fleet, revision, 60, slowCall(20))).toEqual({ '200': 60 });
  expect([...watched.most.values()]).toEqual([3, 3]);
});

test('SIGKILL of one of two replicas with requests in flight: all are answered, and it is replaced', async () => {
  const { fleet } = bench();
  const revision = revisionOf('slow.onnx', { concurrency: 4, minReplicas: 2, maxReplicas: 2 });
  fleet.sync(endpointOf(revision));
  await eventually(() => pids(fleet).length === 2, 20_000);
  const all = answers(fleet, revision, 40, slowCall(50));
  await new Promise((resolve) => setTimeout(resolve, 30));
  const [victim = 0] = pids(fleet);
  process.kill(victim, 'SIGKILL');
  expect(await all).toEqual({ '200': 40 });
  await eventually(() => pids(fleet).length === 2 && !pids(fleet).includes(victim), 20_000);
});

test('a replica that keeps dying is started ever more slowly, however many requests ask', async () => {
  const clock = new ManualClock(1_000_000);
  const { fleet } = bench({ clock });
  const revision = revisionOf('add.onnx', { maxReplicas: 1 });
  const starts: number[] = [];
  const seen = new Set<number>();
  const requests = answers(fleet, revision, 3);
  await eventually(() => pids(fleet).length === 1, 20_000);
  await requests;
  for (let death = 0; death < 4; death++) {
    const [pid = 0] = pids(fleet);
    seen.add(pid);
    const died = clock.now();
    process.kill(pid, 'SIGKILL');
    await eventually(() => pids(fleet).length === 0);
    const more = answers(fleet, revision, 3);
    // time stands still: nobody starts anything, not even at the hundredth request
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(fleet.status()[0]).toMatchObject({ ready: 0, starting: 0, waiting: 3 });
    while (fleet.status()[0]?.starting === 0) await clock.advance(50);
    starts.push(clock.now() - died);
    expect(await more).toEqual({ '200': 3 });
  }
  expect(seen.size).toBe(4);
  expect(starts).toEqual([200, 400, 800, 1600]);
});

test('scaling down drains: no request fails', async () => {
  const { fleet } = bench();
  const busy = revisionOf('slow.onnx', { concurrency: 2, minReplicas: 3, maxReplicas: 3 });
  fleet.sync(endpointOf(busy));
  await eventually(() => pids(fleet).length === 3, 20_000);
  const all = answers(fleet, busy, 60, slowCall(40));
  await new Promise((resolve) => setTimeout(resolve, 40));
  // the traffic moves to another revision, and this one is gone from the endpoint: its replicas drain
  const before = pids(fleet);
  fleet.sync(endpointOf(revisionOf('add.onnx', {}, 2)));
  const outcome = await all;
  // who waited is refused, politely; who had a slot is answered
  const refused = outcome['not_ready: revision 1 is going away'] ?? 0;
  expect((outcome['200'] ?? 0) + refused).toBe(60);
  expect(outcome['200']).toBeGreaterThanOrEqual(6);
  await eventually(() => before.every((pid) => !isRunning(pid)), 20_000);
});

test('forget refuses who waits and ends the replicas', async () => {
  const { fleet } = bench();
  const revision = revisionOf('slow.onnx', { concurrency: 1, maxReplicas: 1 });
  await answers(fleet, revision, 1, slowCall(1));
  const [pid = 0] = pids(fleet);
  const all = answers(fleet, revision, 3, slowCall(5000));
  await new Promise((resolve) => setTimeout(resolve, 20));
  fleet.forget('ep');
  expect(await all).toEqual({ '200': 1, 'not_ready: revision 1 is going away': 2 });
  await eventually(() => !isRunning(pid), 20_000);
  expect(fleet.status()).toEqual([]);
});

test.each([
  { why: 'serving', wait: true },
  { why: 'in the midst of a start', wait: false },
])('close while $why leaves no process', async ({ wait }) => {
  const { fleet, spares } = makeFleet({ spares: 2 });
  const started: number[] = [];
  const take = spares.take.bind(spares);
  spares.take = async () => {
    const runtime = await take();
    started.push(runtime.pid);
    return runtime;
  };
  const all = answers(fleet, revisionOf('add.onnx'), 3);
  if (wait) await all;
  else await new Promise((resolve) => setTimeout(resolve, 60));
  await fleet.close();
  await all;
  expect(started.filter(isRunning)).toEqual([]);
  const children = await childrenOfThisProcess();
  expect(children).toEqual([]);
  expect(() => leaseOf((waiter) => fleet.lease(revisionOf('add.onnx'), waiter))).toThrowError(
    expect.objectContaining({ code: 'not_ready' }),
  );
});

/** Model servers that this process has started and that still run. */
async function childrenOfThisProcess(): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const stat = await readFile(`/proc/${entry}/stat`, 'utf8').catch(() => '');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (fields[1] !== String(process.pid) || fields[0] === 'Z') continue;
    const command = await readFile(`/proc/${entry}/cmdline`, 'utf8').catch(() => '');
    if (command.includes('runtime.js')) found.push(entry);
  }
  return found;
}

test('spares end wherever they are when they are closed: starting, getting warm, or ready', async () => {
  for (const waitMs of [0, 20, 60, 90, 120, 160, 200, 250, 300, 400, 600]) {
    const spares = makeSpares(2);
    spares.start();
    await new Promise((resolve) => setTimeout(resolve, waitMs));
    await spares.close();
    expect(await childrenOfThisProcess(), `closed after ${waitMs} ms`).toEqual([]);
  }
});

test('a spare that dies is replaced, and is never handed out dead', async () => {
  const spares = makeSpares(1);
  try {
    spares.start();
    await new Promise((resolve) => setTimeout(resolve, 1500));
    const first = await spares.take();
    process.kill(first.pid, 'SIGKILL');
    await first.exited;
    for (let round = 0; round < 2; round++) {
      await eventually(async () => (await childrenOfThisProcess()).length === 1, 20_000);
      const [pid] = await childrenOfThisProcess();
      await new Promise((resolve) => setTimeout(resolve, 1000));
      process.kill(Number(pid), 'SIGKILL');
      await eventually(async () => !(await childrenOfThisProcess()).includes(pid ?? ''), 20_000);
    }
    const taken = await spares.take();
    expect(isRunning(taken.pid)).toBe(true);
    taken.kill();
  } finally {
    await spares.close();
  }
});

test('the sandbox says why a model does not load, and leaves no server behind', async () => {
  const corrupt = revisionOf('corrupt.onnx');
  const spares = makeSpares(0);
  const sandbox = createSandbox(launcherOf(spares, artifactsAt(modelPath)));
  await expect(sandbox.withModel(corrupt, async () => 'used')).rejects.toMatchObject({
    code: 'invalid',
    message: expect.stringMatching(/.{10,}/),
  });
  expect(await childrenOfThisProcess()).toEqual([]);
  const good = revisionOf('add.onnx');
  const broken = sandbox.withModel(good, async ({ signature, forward }) => {
    expect(signature.inputs.map(({ name }) => name)).toEqual(['a', 'b']);
    const reply = await ask(forward, { ...addCall, path: '/v2/models/{model}/infer' }).reply;
    expect(reply.status).toBe(200);
    throw new Error('the caller fails');
  });
  await expect(broken).rejects.toThrow('the caller fails');
  expect(await childrenOfThisProcess()).toEqual([]);
  await sandbox.close();
});

test('kill -9 of the gateway ends its model servers, spares too', async () => {
  const child = runNode(await bundle(new URL('programs/own-fleet.ts', import.meta.url).pathname), [
    RUNTIME_SCRIPT,
    modelPath('add.onnx'),
  ]);
  try {
    const line = await child.line(/^pids .* status 200$/, 40_000);
    const servers = line.split(' ').slice(1, -2).map(Number);
    expect(servers.length).toBe(2);
    expect(servers.every(isRunning)).toBe(true);
    await child.kill();
    await eventually(() => servers.every((pid) => !isRunning(pid)), 10_000);
  } finally {
    await child.kill();
  }
});

describe('more than all replicas can do', () => {
  test('is refused once requests stand in a queue, and no longer when it is over', async () => {
    const { fleet } = bench();
    const revision = revisionOf('slow.onnx', { maxReplicas: 1, maxQueueDelayMs: 1 });
    expect(await answers(fleet, revision, 1, slowCall(1))).toEqual({ '200': 1 });
    let refused: AppError | undefined;
    let others = 0;
    const client = async () => {
      while (!refused) {
        await predictionOf(fleet, revision, slowCall(50), patient).reply.catch((error: AppError) => {
          if (error.code === 'overloaded') refused = error;
          else others++;
        });
      }
    };
    await Promise.all(Array.from({ length: 40 }, client));
    expect(refused?.message).toContain('stand in a queue for more than 1 ms');
    expect(refused?.retryAfterSec).toBe(1);
    expect(others).toBe(0);
    expect(await answers(fleet, revision, 1, slowCall(1))).toEqual({ '200': 1 });
  });

  test('is not refused as long as there may be more replicas', async () => {
    const { fleet } = bench();
    const revision = revisionOf('slow.onnx', { maxReplicas: 50, maxQueueDelayMs: 1 });
    expect(await answers(fleet, revision, 200, slowCall(20))).toEqual({ '200': 200 });
  });
});
