/** What every fleet does, whatever runs its replicas. */
import { expect, it } from 'vitest';
import type { Fleet } from '../../src/core/fleet.js';
import type { EndpointRoute, RevisionRoute } from '../../src/core/inference/route.js';
import { AppError } from '../../src/errors.js';
import { leaseOf, predictionOf } from '../support/predictions.js';

export interface FleetUnderTest {
  readonly fleet: Fleet;
  /** A fresh endpoint of so many revisions that answer `call`; the first has all the traffic. Nothing of it runs yet. */
  endpoint(name: string, revisions: number, scaling: object): Promise<EndpointRoute>;
  /** One whose only revision cannot start. */
  broken(name: string): Promise<EndpointRoute>;
  /** The endpoint as it is routed now. */
  route(name: string): EndpointRoute;
  /** Moves all traffic to a revision. */
  move(name: string, revision: number): Promise<void>;
  /** Takes it away. */
  remove(name: string): Promise<void>;
  /** Which of the revisions gave this answer; undefined where answers do not tell. */
  answeredBy(body: string): number | undefined;
  call(name: string, workMs: number): { method: string; path: string; headers: Record<string, string>; body: Buffer };
}

const PATIENT = { timeoutMs: 60_000, idempotent: true };

export function fleetCases(open: () => FleetUnderTest): void {
  const revision = (name: string, number = 1): RevisionRoute => {
    const found = open().route(name).revisions.get(number);
    if (!found) throw new Error(`no revision ${number} of ${name}`);
    return found;
  };
  const ask = (route: RevisionRoute, workMs = 0, options = PATIENT) =>
    predictionOf(open().fleet, route, open().call(route.endpoint, workMs), options).reply;

  it('holds the first requests through a cold start, and answers all of them', async () => {
    await open().endpoint('cold', 1, {});
    const replies = await Promise.all(Array.from({ length: 20 }, () => ask(revision('cold'))));
    expect(replies.map(({ status }) => status)).toEqual(new Array(20).fill(200));
    expect(await open().fleet.replicas(revision('cold'))).toHaveLength(1);
  });

  it('knows what is under way', async () => {
    await open().endpoint('busy', 1, {});
    await ask(revision('busy'));
    const lease = leaseOf((waiter) => open().fleet.lease(revision('busy'), waiter));
    if (!('replica' in lease)) throw new Error('a slot is free');
    const status = (await open().fleet.status()).find(({ endpoint }) => endpoint === 'busy');
    expect(status).toMatchObject({ revision: 1, ready: 1, busy: 1, waiting: 0, failing: false });
    lease.release();
  });

  it('lets wait as many as it may, and refuses one more at once', async () => {
    await open().endpoint('bounded', 1, { concurrency: 1, maxReplicas: 1 });
    await ask(revision('bounded'));
    const outcomes = await Promise.all(
      Array.from({ length: QUEUE_LIMIT + 20 }, () =>
        ask(revision('bounded'), 5).then(
          ({ status }) => String(status),
          (error: AppError) => error.code,
        ),
      ),
    );
    const count = (outcome: string) => outcomes.filter((one) => one === outcome).length;
    expect(count('overloaded')).toBeGreaterThan(0);
    expect(count('overloaded') + count('200')).toBe(outcomes.length);
  });

  it('never has more under way than its slots, and gives a slot to who waits', async () => {
    await open().endpoint('slots', 1, { concurrency: 2, maxReplicas: 1 });
    await ask(revision('slots'));
    const lease = () => leaseOf((waiter) => open().fleet.lease(revision('slots'), waiter));
    const [first, second, third] = [lease(), lease(), lease()];
    if (!('replica' in first) || !('replica' in second) || 'replica' in third) throw new Error('two slots, one place');
    first.release();
    const granted = await third.lease;
    expect(granted.replica.id).toBe(second.replica.id);
    granted.release();
    second.release();
  });

  it('keeps old and new revision answering while traffic moves', async () => {
    const { route, move, answeredBy } = open();
    await open().endpoint('moving', 2, {});
    const answered: (number | undefined)[] = [];
    for (const number of [1, 2]) answered.push(answeredBy(String((await ask(revision('moving', number))).body)));
    let over = false;
    const asking = [1, 2].map(async (number) => {
      while (!over) expect((await ask(revision('moving', number))).status).toBe(200);
    });
    await move('moving', 2);
    await new Promise((resolve) => setTimeout(resolve, 1000));
    over = true;
    await Promise.all(asking);
    expect(route('moving').targets[0]?.revision.number).toBe(2);
    if (answered[0] !== undefined) expect(answered).toEqual([1, 2]);
  });

  it('says in words why a revision does not start', async () => {
    await open().broken('broken');
    const refusal = await ask(revision('broken')).then(
      ({ status }) => `${status}`,
      (error: AppError) => `${error.code}: ${error.message}`,
    );
    expect(refusal).toMatch(/^not_ready: revision 1 .{20,}/);
    const status = (await open().fleet.status()).find(({ endpoint }) => endpoint === 'broken');
    expect(status).toMatchObject({ failing: true, message: expect.stringMatching(/.{10,}/) });
  });

  it('refuses who waits when the endpoint goes, and knows nothing of it any more', async () => {
    await open().endpoint('leaving', 1, { concurrency: 1, maxReplicas: 1 });
    await ask(revision('leaving'));
    const route = revision('leaving');
    const lease = leaseOf((waiter) => open().fleet.lease(route, waiter));
    const place = leaseOf((waiter) => open().fleet.lease(route, waiter));
    if (!('replica' in lease) || 'replica' in place) throw new Error('one slot, one place');
    await open().remove('leaving');
    await expect(place.lease).rejects.toThrow(AppError);
    lease.release();
    const known = (await open().fleet.status()).filter(({ endpoint }) => endpoint === 'leaving');
    expect(known).toEqual([]);
  });
}

/** Of the fleets under test. */
export const QUEUE_LIMIT = 50;
