/** Events to subscribers: a real Postgres, real receivers that fail, hang, go away and come back. */
import { createHmac } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { emit } from '../../src/core/events/store.js';
import type { Db } from '../../src/core/schema.js';
import { pushEvents } from '../../src/core/webhooks/push.js';
import type { PostWebhook } from '../../src/core/webhooks/send.js';
import { listDeliveries, webhookSecret } from '../../src/core/webhooks/store.js';
import {
  leaseSubscription,
  listSubscriptions,
  type NewSubscription,
  nextDelivery,
  setEnabled,
  subscribe,
  testSubscription,
  unsubscribe,
  waitingSubscriptions,
} from '../../src/core/webhooks/subscriptions.js';
import { createPostWebhook } from '../../src/platform/webhooks/post.js';
import { eventServer, type TakenEvent } from '../support/event-server.js';
import { migratedDatabase } from '../support/store-bench.js';

let db: Db;
const post = createPostWebhook({ allowPrivate: true });
const never = new AbortController().signal;

beforeAll(async () => {
  db = await migratedDatabase();
});

let projects = 0;
async function newProject(): Promise<string> {
  const name = `p${++projects}`;
  await db.insertInto('projects').values({ name }).execute();
  return name;
}

const add = (project: string, url: string, more: Partial<NewSubscription> = {}) =>
  subscribe(db, { project, url, kinds: ['rollout.*'], format: 'cloudevents', enabled: true, actor: 'ada', ...more });
const happen = (project: string, kind: string, n = 0) =>
  emit(db, { project, kind, subject: `rollout/ro_${n}`, data: { n } });
const push = (id: string, by: PostWebhook = post) => pushEvents({ db, post: by }, id, never);
const numbers = (taken: readonly TakenEvent[]) => taken.map(({ body }) => JSON.parse(body.toString()).data.n as number);
const rowOf = async (project: string, id: string) =>
  (await listSubscriptions(db, project)).find((row) => row.id === id);
/** As if the time to wait were over. */
async function dueNow(id: string): Promise<void> {
  const past = new Date(Date.now() - 1000);
  await db
    .updateTable('webhook_subscriptions')
    .set({ due_at: past, leased_until: past })
    .where('id', '=', id)
    .execute();
  await db.updateTable('webhook_deliveries').set({ due_at: past }).where('subscription_id', '=', id).execute();
}

describe('a subscription', () => {
  it('gets what it wants from now on, in order, as signed CloudEvents', async () => {
    const project = await newProject();
    const server = await eventServer();
    await happen(project, 'rollout.started', 0);
    const id = await add(project, server.url);
    for (let n = 1; n <= 5; n++) await happen(project, n === 3 ? 'job.started' : 'rollout.step', n);
    expect((await waitingSubscriptions(db)).map((row) => row.id)).toContain(id);
    await push(id);
    expect(numbers(server.taken)).toEqual([1, 2, 4, 5]);
    expect((await waitingSubscriptions(db)).map((row) => row.id)).not.toContain(id);
    const [first] = server.taken as [TakenEvent];
    const event = JSON.parse(first.body.toString());
    expect(event).toMatchObject({
      specversion: '1.0',
      source: `/projects/${project}`,
      type: 'sluice.rollout.step',
      subject: 'rollout/ro_1',
      datacontenttype: 'application/json',
      data: { n: 1 },
    });
    expect(Number.isInteger(Number(event.id)) && !Number.isNaN(Date.parse(event.time))).toBe(true);
    expect(first.headers['content-type']).toBe('application/cloudevents+json');
    const { 'webhook-id': message, 'webhook-timestamp': at, 'webhook-signature': signature } = first.headers;
    const key = Buffer.from((await webhookSecret(db, project)).slice(6), 'base64');
    expect(signature).toBe(`v1,${createHmac('sha256', key).update(`${message}.${at}.${first.body}`).digest('base64')}`);
  });

  it('gets them in binary mode where it asks for that', async () => {
    const project = await newProject();
    const server = await eventServer();
    const id = await add(project, server.url, { format: 'binary' });
    await emit(db, { project, kind: 'rollout.step', subject: 'rollout/ü x', data: { n: 1 } });
    await push(id);
    const [first] = server.taken as [TakenEvent];
    expect(JSON.parse(first.body.toString())).toEqual({ n: 1 });
    expect(first.headers).toMatchObject({
      'content-type': 'application/json',
      'ce-specversion': '1.0',
      'ce-type': 'sluice.rollout.step',
      'ce-subject': 'rollout/%C3%BC%20x',
    });
  });

  it('waits for the one that fails, and goes on in order when the receiver is back', async () => {
    const project = await newProject();
    const server = await eventServer();
    const id = await add(project, server.url);
    for (let n = 1; n <= 3; n++) await happen(project, 'rollout.step', n);
    server.answer = (response) => void response.writeHead(503).end();
    await push(id);
    expect(numbers(server.taken)).toEqual([1]);
    expect((await rowOf(project, id))?.reason).toBe('try 1: answered 503');
    // before its time nothing is sent
    await push(id);
    expect(server.taken).toHaveLength(1);
    // away altogether
    server.close();
    await dueNow(id);
    await push(id);
    expect((await rowOf(project, id))?.reason).toContain('try 2:');
    const back = await eventServer(server.port);
    await happen(project, 'rollout.step', 4);
    await dueNow(id);
    await push(id);
    expect(numbers(back.taken)).toEqual([1, 2, 3, 4]);
    const ids = new Set([...server.taken, ...back.taken].map(({ headers }) => headers['webhook-id']));
    expect(ids.size).toBe(4);
    expect((await rowOf(project, id))?.reason).toBe('');
  });

  it('is not held up by a message that its receiver calls wrong, nor for longer than a day', async () => {
    const project = await newProject();
    const server = await eventServer();
    const id = await add(project, server.url);
    for (let n = 1; n <= 3; n++) await happen(project, 'rollout.step', n);
    server.answer = (response, { body }) =>
      void response.writeHead(JSON.parse(body.toString()).data.n === 1 ? 422 : 503).end();
    await push(id);
    expect(numbers(server.taken)).toEqual([1, 2]);
    const dayAgo = new Date(Date.now() - 1000);
    await db.updateTable('webhook_deliveries').set({ give_up_at: dayAgo }).where('subscription_id', '=', id).execute();
    server.answer = (response) => void response.writeHead(503).end();
    await dueNow(id);
    await push(id);
    expect(numbers(server.taken)).toEqual([1, 2, 2, 3]);
    const deliveries = await listDeliveries(db, project, { webhook: id, limit: 10 });
    expect(deliveries.map(({ state, reason }) => [state, reason]).reverse()).toEqual([
      ['failed', 'answered 422'],
      ['failed', 'given up 24 h after the event: answered 503'],
      ['failed', 'given up 24 h after the event: answered 503'],
    ]);
  });

  it('ends when its receiver says 410, and goes on from there once it is enabled', async () => {
    const project = await newProject();
    const server = await eventServer();
    const id = await add(project, server.url);
    await happen(project, 'rollout.step', 1);
    await happen(project, 'rollout.step', 2);
    server.answer = (response) => void response.writeHead(410).end();
    await push(id);
    expect(await rowOf(project, id)).toMatchObject({
      enabled: false,
      reason: 'its receiver answered 410: it wants no more',
    });
    await dueNow(id);
    await push(id);
    expect(server.taken).toHaveLength(1);
    server.answer = (response) => void response.writeHead(204).end();
    await setEnabled(db, { project, id, enabled: true, reason: 'by ada' });
    await push(id);
    expect(numbers(server.taken)).toEqual([1, 2]);
  });

  it('is sent by one worker at a time, each event once where nobody dies', async () => {
    const project = await newProject();
    const server = await eventServer();
    const id = await add(project, server.url);
    for (let n = 0; n < 120; n++) await happen(project, 'rollout.step', n);
    for (let round = 0; round < 6; round++) await Promise.all([push(id), push(id), push(id)]);
    expect(numbers(server.taken)).toEqual(Array.from({ length: 120 }, (_, n) => n));
  });

  it('loses nothing with a worker that dies: between cursor and sending, and between answer and note', async () => {
    const project = await newProject();
    const server = await eventServer();
    const id = await add(project, server.url);
    for (let n = 1; n <= 3; n++) await happen(project, 'rollout.step', n);
    // one that dies once the deliveries stand
    const lease = await leaseSubscription(db, id, 35_000);
    await nextDelivery(db, lease ?? expect.fail('not leased'));
    await push(id);
    expect(server.taken).toHaveLength(0);
    await dueNow(id);
    // one that dies with the answer in hand: what it was about to note never stands
    let dies = true;
    const dying: PostWebhook = async (request) => {
      const status = await post(request);
      if (dies)
        await db
          .updateTable('webhook_deliveries')
          .set({ attempt: 9 })
          .where('subscription_id', '=', id)
          .where('seq', '=', (e) =>
            e
              .selectFrom('webhook_deliveries')
              .select((f) => f.fn.min('seq').as('s'))
              .where('subscription_id', '=', id),
          )
          .execute();
      dies = false;
      return status;
    };
    await push(id, dying);
    await dueNow(id);
    for (let round = 0; round < 3; round++) {
      await push(id);
      await dueNow(id);
    }
    expect([...new Set(numbers(server.taken))].sort()).toEqual([1, 2, 3]);
    const deliveries = await listDeliveries(db, project, { webhook: id, limit: 10 });
    expect(deliveries.map(({ state }) => state)).toEqual(['delivered', 'delivered', 'delivered']);
  });

  it("is not delayed by another project's receiver that hangs", async () => {
    const [slow, quick] = [await newProject(), await newProject()];
    const hanging = await eventServer();
    hanging.answer = () => {};
    const answering = await eventServer();
    const [a, b] = [await add(slow, hanging.url), await add(quick, answering.url)];
    await happen(slow, 'rollout.step', 1);
    await happen(quick, 'rollout.step', 1);
    const stop = new AbortController();
    const hung = pushEvents({ db, post }, a, stop.signal);
    await push(b);
    expect(numbers(answering.taken)).toEqual([1]);
    stop.abort();
    await hung;
    expect((await rowOf(slow, a))?.reason).toContain('try 1');
  });

  it('may be tested: only its own receiver is sent that, whatever it wants', async () => {
    const project = await newProject();
    const [mine, other] = [await eventServer(), await eventServer()];
    const id = await add(project, mine.url, { kinds: ['job.*'] });
    const rest = await add(project, other.url, { kinds: ['job.*', 'webhook.*'] });
    await testSubscription(db, project, id, 'ada');
    await Promise.all([push(id), push(rest)]);
    const types = (taken: readonly TakenEvent[]) => taken.map(({ body }) => JSON.parse(body.toString()).type);
    expect(types(mine.taken)).toEqual(['sluice.webhook.test']);
    expect(types(other.taken)).not.toContain('sluice.webhook.test');
  });

  it('reaches no private address where that is not allowed', async () => {
    const project = await newProject();
    const server = await eventServer();
    const id = await add(project, server.url);
    await happen(project, 'rollout.step', 1);
    await push(id, createPostWebhook({ allowPrivate: false }));
    expect(server.taken).toHaveLength(0);
    const [delivery] = await listDeliveries(db, project, { webhook: id, limit: 1 });
    expect(delivery).toMatchObject({ state: 'failed' });
    expect(delivery?.reason).toContain('is a private address');
  });

  it('that is removed sends nothing more; there are 16 at most', async () => {
    const project = await newProject();
    const server = await eventServer();
    const id = await add(project, server.url);
    await happen(project, 'rollout.step', 1);
    await unsubscribe(db, project, id, 'ada');
    await push(id);
    expect(server.taken).toHaveLength(0);
    const made = await Promise.allSettled(Array.from({ length: 20 }, () => add(project, server.url)));
    expect(made.filter(({ status }) => status === 'fulfilled')).toHaveLength(16);
  });
});
