import { describe, expect, it } from 'vitest';
import type { Condition } from '../objects.js';
import { queueWords, type Workload, whyStopped } from './admission.js';

const NO_ROOM =
  "couldn't assign flavors to pod set main: insufficient unused quota for cpu in flavor default-flavor, 250m more needed";
const PREEMPTED = 'Preempted to accommodate a workload (UID: 7, JobUID: 8) due to prioritization in the ClusterQueue';

function workload(...conditions: Condition[]): Workload {
  return { metadata: { name: 'job-x' }, status: { conditions } };
}

describe('queueWords', () => {
  it.each<[string, Workload | undefined, string]>([
    ['before Kueue has seen it', undefined, 'waits in the queue research of Kueue, which has not taken it up yet'],
    ['without a word of why', workload(), 'waits in the queue research of Kueue'],
    [
      'for quota',
      workload({ type: 'QuotaReserved', status: 'False', reason: 'Pending', message: NO_ROOM }),
      `waits in the queue research of Kueue: ${NO_ROOM}`,
    ],
    [
      'for a check of its admission',
      workload({ type: 'QuotaReserved', status: 'True' }),
      'waits in the queue research of Kueue: its quota is reserved, and a check of its admission goes on',
    ],
    [
      'after its room was taken',
      workload(
        { type: 'QuotaReserved', status: 'False', message: NO_ROOM },
        { type: 'Evicted', status: 'True', reason: 'Preempted', message: PREEMPTED },
      ),
      `waits in the queue research of Kueue: its room was taken away (${PREEMPTED}): ${NO_ROOM}`,
    ],
    [
      'with a reason only',
      workload({ type: 'QuotaReserved', status: 'False', reason: 'Inadmissible', message: '' }),
      'waits in the queue research of Kueue: Inadmissible',
    ],
  ])('%s', (_, given, words) => {
    expect(queueWords('research', given)).toBe(words);
  });
});

describe('whyStopped', () => {
  it('is of what was evicted alone, and not of what goes on again', () => {
    expect(whyStopped(workload({ type: 'Evicted', status: 'True', message: 'The queue is stopped.' }))).toBe(
      'The queue is stopped',
    );
    expect(whyStopped(workload({ type: 'Evicted', status: 'False', message: 'Previously: x' }))).toBeUndefined();
    expect(whyStopped(workload())).toBeUndefined();
  });
});
