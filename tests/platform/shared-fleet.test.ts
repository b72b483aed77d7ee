/** Slots of one fleet of real model servers, lent to others over a Unix socket. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { Fleet } from '../../src/core/fleet.js';
import type { RevisionRoute } from '../../src/core/inference/route.js';
import { AppError } from '../../src/errors.js';
import { BorrowingFleet } from '../../src/platform/fleet/shared/borrowing-fleet.js';
import { openLeaseDoor } from '../../src/platform/fleet/shared/lease-door.js';
import { eventually } from '../support/children.js';
import { addCall, endpointOf, makeFleet, revisionOf, slowCall } from '../support/fleet-bench.js';
import { leaseOf, predictionOf } from '../support/predictions.js';
import { quietLog } from '../support/quiet-log.js';

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** A fleet that lends, and as many that borrow from it. */
async function shared(count: number, revision: RevisionRoute) {
  const { fleet } = makeFleet();
  cleanups.push(() => fleet.close());
  const folder = await mkdtemp(join(tmpdir(), 'sluice-leases-'));
  cleanups.push(() => rm(folder, { recursive: true }));
  const path = join(folder, 'leases');
  const door = await openLeaseDoor(path, {
    fleet,
    log: quietLog,
    find: (key) => (key === revision.key ? revision : undefined),
  });
  cleanups.push(() => door.close());
  const news = { status: async () => fleet.status(), replicas: async (key: string) => fleet.replicasOf(key) };
  const borrowers = await Promise.all(Array.from({ length: count }, () => BorrowingFleet.open(path, news)));
  for (const borrower of borrowers) cleanups.push(() => borrower.close());
  return { fleet, borrowers, closeDoor: () => door.close() };
}

const patient = { timeoutMs: 50_000, idempotent: true };

async function answers(fleet: Fleet, revision: RevisionRoute, count: number, call = addCall) {
  const seen: Record<string, number> = {};
  const one = async () => {
    const outcome = await predictionOf(fleet, revision, call, patient).reply.then(
      ({ status }) => String(status),
      (error: AppError) => `${error.code}: ${error.message}`,
    );
    seen[outcome] = (seen[outcome] ?? 0) + 1;
  };
  await Promise.all(Array.from({ length: count }, one));
  return seen;
}

const slot = (fleet: Fleet, revision: RevisionRoute) => {
  const place = leaseOf((waiter) => fleet.lease(revision, waiter));
  if ('replica' in place) throw new Error('a place in the queue was expected');
  return place;
};

describe('a shared fleet', () => {
  it('answers for several at once, and starts what they ask for', async () => {
    const revision = revisionOf('add.onnx', { maxReplicas: 1 });
    const { fleet, borrowers } = await shared(3, revision);
    const all = await Promise.all(borrowers.map((borrower) => answers(borrower, revision, 200)));
    expect(all).toEqual([{ '200': 200 }, { '200': 200 }, { '200': 200 }]);
    await eventually(() => fleet.status()[0]?.busy === 0);
    const [replica] = await (borrowers[0] as BorrowingFleet).replicas(revision);
    expect(replica).toMatchObject({ id: 'r1', address: { kind: 'socket' } });
  });

  it('lends no slot twice', async () => {
    const revision = revisionOf('slow.onnx', { concurrency: 2, maxReplicas: 1 });
    const { fleet, borrowers } = await shared(2, revision);
    const [a, b] = borrowers as [BorrowingFleet, BorrowingFleet];
    const held = await Promise.all([slot(a, revision).lease, slot(b, revision).lease]);
    expect(fleet.status()[0]).toMatchObject({ busy: 2, waiting: 0 });
    const third = slot(a, revision);
    const fourth = slot(b, revision);
    await eventually(() => fleet.status()[0]?.waiting === 2);
    // the one who waits longest is next, whoever gave the slot back
    held[1]?.release(0);
    const lease = await third.lease;
    fourth.cancel();
    await eventually(() => fleet.status()[0]?.waiting === 0);
    lease.release();
    held[0]?.release();
    await eventually(() => fleet.status()[0]?.busy === 0);
    const most = await Promise.all(borrowers.map((borrower) => answers(borrower, revision, 30, slowCall(20))));
    expect(most).toEqual([{ '200': 30 }, { '200': 30 }]);
  });

  it('takes back what a borrower held that is gone', async () => {
    const revision = revisionOf('add.onnx', { concurrency: 1, maxReplicas: 1 });
    const { fleet, borrowers } = await shared(2, revision);
    const [a, b] = borrowers as [BorrowingFleet, BorrowingFleet];
    await slot(a, revision).lease;
    const waiting = [slot(a, revision), slot(a, revision)];
    const next = slot(b, revision);
    await eventually(() => fleet.status()[0]?.waiting === 3);
    await a.close();
    await expect(waiting[0]?.lease).rejects.toMatchObject({ code: 'not_ready' });
    (await next.lease).release();
    await eventually(() => fleet.status()[0]?.busy === 0 && fleet.status()[0]?.waiting === 0);
  });

  it('passes on why there is no slot', async () => {
    const revision = revisionOf('corrupt.onnx');
    const { borrowers } = await shared(1, revision);
    const [borrower] = borrowers as [BorrowingFleet];
    const refusal = await slot(borrower, revision).lease.catch((error: AppError) => error);
    expect(refusal).toBeInstanceOf(AppError);
    expect((refusal as AppError).message).toContain('does not start');
    const unknown = await slot(borrower, revisionOf('add.onnx', {}, 7)).lease.catch((error: AppError) => error);
    expect(unknown).toMatchObject({ code: 'not_ready', retryAfterSec: 1 });
  });

  it('answers all when a replica is killed', async () => {
    const revision = revisionOf('slow.onnx', { concurrency: 4, minReplicas: 2, maxReplicas: 2 });
    const { fleet, borrowers } = await shared(2, revision);
    fleet.sync(endpointOf(revision));
    const pids = () => fleet.status().flatMap(({ replicas }) => replicas.flatMap(({ pid }) => pid ?? []));
    await eventually(() => pids().length === 2, 20_000);
    const all = Promise.all(borrowers.map((borrower) => answers(borrower, revision, 30, slowCall(50))));
    await eventually(() => (fleet.status()[0]?.busy ?? 0) === 8);
    process.kill(pids()[0] ?? 0, 'SIGKILL');
    expect(await all).toEqual([{ '200': 30 }, { '200': 30 }]);
  });

  it('refuses at once when the lender is gone', async () => {
    const revision = revisionOf('add.onnx', { concurrency: 1, maxReplicas: 1 });
    const { borrowers, closeDoor } = await shared(1, revision);
    const [borrower] = borrowers as [BorrowingFleet];
    await slot(borrower, revision).lease;
    const waiting = slot(borrower, revision);
    await closeDoor();
    await expect(waiting.lease).rejects.toMatchObject({ code: 'not_ready', retryAfterSec: 1 });
    expect(() => borrower.lease(revision, { granted() {}, refused() {} })).toThrow('is away');
  });
});
