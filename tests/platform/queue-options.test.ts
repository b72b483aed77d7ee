import { describe, expect, test } from 'vitest';
import { backoffMs } from '../../src/core/backoff.js';
import { createLog } from '../../src/log.js';
import { JOB_NAMES, queueId } from '../../src/platform/queue/options.js';
import { watchOutages } from '../../src/platform/queue/outage.js';
import { eventually } from '../support/children.js';

const policy = { attempts: 9, backoffMs: 1_000, maxBackoffMs: 10_000, concurrency: 1 };

describe('back-off', () => {
  test.each([
    [1, 500, 1_000],
    [2, 1_000, 2_000],
    [4, 4_000, 8_000],
    [5, 5_000, 10_000],
    [1_000_000, 5_000, 10_000],
  ])('after failure %i lies between %i and %i ms', (failures, least, most) => {
    expect(backoffMs(policy, failures, 0)).toBe(least);
    expect(backoffMs(policy, failures, 0.999_999)).toBe(most - 1);
  });
});

describe('queue ids', () => {
  test('are what BullMQ takes, whatever the resource is called', () => {
    for (const id of ['a:b', '42', '', '0', 'x'.repeat(5_000), 'ü/:%', 'plain']) {
      expect(queueId(id)).toMatch(/^[jh]-[^:]{0,200}$/);
    }
  });
  test('differ when the resources differ', () => {
    const ids = ['a:b', 'a%3Ab', 'a-b', `${'x'.repeat(5_000)}1`, `${'x'.repeat(5_000)}2`, '1', 'j-1'];
    expect(new Set(ids.map(queueId)).size).toBe(ids.length);
  });
});

test('every job has a policy', () => {
  expect([...JOB_NAMES].sort()).toEqual([
    'bandit.adjust',
    'batch.run',
    'prediction.run',
    'promotion.decide',
    'rollout.advance',
    'training.run',
    'webhook.push',
    'webhook.send',
  ]);
});

test('an outage is told once and so is its end; another error is told when it is new', async () => {
  const lines: string[] = [];
  const log = createLog({ level: 'info', format: 'text', write: (line) => lines.push(line.slice(13).trim()) });
  let away = true;
  const outage = watchOutages('Redis', () => (away ? Promise.reject(new Error('still')) : Promise.resolve()), log);
  for (let n = 0; n < 5; n++) outage.report(new Error('connect ECONNREFUSED 127.0.0.1:6379'));
  outage.report(Object.assign(new Error('terminating'), { code: '57P01' }));
  outage.report(new AggregateError([Object.assign(new Error(), { code: 'ECONNREFUSED' })]));
  outage.report(new Error('Missing lock for job 1'));
  outage.report(new Error('Missing lock for job 2'));
  outage.report(new Error('Missing lock for job 2'));
  away = false;
  await eventually(() => lines.length === 4);
  const told = ['Redis is away', 'Missing lock for job 1', 'Missing lock for job 2', 'Redis is back'];
  expect(lines).toEqual(told.map((text) => expect.stringContaining(text)));
  outage.close();
  outage.report(new Error('ECONNREFUSED'));
  expect(lines).toHaveLength(4);
});
