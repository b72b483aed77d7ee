import { expect, test } from 'vitest';
import type { ContainerState, ContainerStatus, Pod } from './objects.js';
import { podWords } from './pod-words.js';

function pod(status: Pod['status'] & object, metadata: object = {}): Pod {
  return {
    metadata: { name: 'p', ...metadata },
    spec: { containers: [{ name: 'model', image: 'm:1', resources: { limits: { memory: '64Mi' } } }] },
    status,
  };
}

const container = (state: ContainerState, more: Partial<ContainerStatus> = {}): Pod =>
  pod({ containerStatuses: [{ name: 'model', image: 'm:1', ready: false, restartCount: 0, state, ...more }] });

const condition = (type: string, status: 'True' | 'False', message?: string): Pod =>
  pod({ conditions: [{ type, status, ...(message ? { message } : {}) }] });

test.each<[string, Pod, string, string | RegExp]>([
  ['being deleted', pod({}, { deletionTimestamp: 'now' }), 'ending', 'is ending'],
  ['ready', condition('Ready', 'True'), 'ready', 'ready'],
  ['new', pod({}), 'starting', 'waits for its node to take it up'],
  [
    'evicted',
    pod({ phase: 'Failed', reason: 'Evicted', message: 'low on memory' }),
    'failing',
    'its node evicted it: low on memory',
  ],
  ['failed', pod({ phase: 'Failed', reason: 'NodeLost' }), 'failing', 'it failed (NodeLost)'],
  [
    'homeless',
    condition('PodScheduled', 'False', '0/3 nodes have a GPU'),
    'starting',
    'no node can take it: 0/3 nodes have a GPU',
  ],
  ['being made', container({ waiting: { reason: 'ContainerCreating' } }), 'starting', 'its container is being made'],
  [
    'without an image',
    container({ waiting: { reason: 'ImagePullBackOff', message: 'Back-off pulling' } }),
    'failing',
    'image m:1 cannot be pulled: Back-off pulling',
  ],
  [
    'without its configuration',
    container({ waiting: { reason: 'CreateContainerConfigError', message: 'secret "x" not found' } }),
    'failing',
    'container model does not start (CreateContainerConfigError): secret "x" not found',
  ],
  [
    'crashing',
    container(
      { waiting: { reason: 'CrashLoopBackOff' } },
      { lastState: { terminated: { exitCode: 3, reason: 'Error' } }, restartCount: 2 },
    ),
    'failing',
    'container model keeps ending: exit code 3: boom | at line 1',
  ],
  [
    'out of memory',
    container({ terminated: { exitCode: 137, reason: 'OOMKilled' } }),
    'failing',
    'container model ended: it was out of memory (its limit is 64Mi): boom | at line 1',
  ],
  ['killed', container({ terminated: { exitCode: 137, signal: 9 } }), 'failing', /it was ended by signal 9/],
  ['done', container({ terminated: { exitCode: 0 } }), 'starting', /exit code 0/],
  ['loading', container({ running: {} }), 'starting', 'container model runs, and is not ready yet'],
  [
    'running again',
    container({ running: {} }, { lastState: { terminated: { exitCode: 1 } }, restartCount: 1 }),
    'failing',
    /was started again, and is not ready yet: before, exit code 1/,
  ],
])('a pod that is %s', (_, given, state, words) => {
  const said = podWords(given, given.status?.containerStatuses ? ['boom', 'at line 1'] : []);
  expect(said.state).toBe(state);
  if (typeof words === 'string') expect(said.words).toBe(words);
  else expect(said.words).toMatch(words);
});

test('of two containers the one that fails is told of', () => {
  const statuses = [
    { name: 'queue-proxy', image: 'q', ready: false, restartCount: 0, state: { running: {} } },
    { name: 'model', image: 'm:1', ready: false, restartCount: 0, state: { waiting: { reason: 'ErrImagePull' } } },
  ];
  expect(podWords(pod({ containerStatuses: statuses })).words).toBe('image m:1 cannot be pulled: ErrImagePull');
});
