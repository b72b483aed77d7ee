import { describe, expect, it } from 'vitest';
import type { Attempt } from '../../../core/training/runner.js';
import type { Pod } from '../objects.js';
import { CONTAINER, INDEX_LABEL, type Job } from './objects.js';
import { verdictOf } from './verdict.js';
import { startProblem, waitingWords } from './waiting.js';

const ATTEMPT = { replicas: 1, timeLimitSec: 5, resources: { cpus: 1, memoryMb: 64, gpus: 0 } } as Attempt;

function job(type?: string, message?: string): Job {
  const conditions = type ? [{ type, status: 'True' as const, ...(message ? { message } : {}) }] : [];
  return { metadata: { name: 'sluice-job-1-1' }, status: { conditions } };
}

function pod(
  phase: 'Pending' | 'Running' | 'Succeeded' | 'Failed',
  {
    message,
    reason,
    exitCode = 1,
    rank = 0,
    at = 1,
    taken = false,
    status = {},
  }: {
    message?: object;
    reason?: string;
    exitCode?: number;
    rank?: number;
    at?: number;
    taken?: boolean;
    status?: object;
  } = {},
): Pod {
  const terminated = {
    exitCode,
    reason: reason ?? 'Error',
    finishedAt: `2026-11-24T20:00:0${at}Z`,
    ...(message ? { message: JSON.stringify(message) } : {}),
  };
  return {
    metadata: { name: `pod-${rank}-${at}`, labels: { [INDEX_LABEL]: String(rank) } },
    status: {
      phase,
      conditions: taken ? [{ type: 'DisruptionTarget', status: 'True', message: 'node is gone' }] : [],
      ...(phase === 'Pending'
        ? {}
        : {
            containerStatuses: [{ name: CONTAINER, image: '', ready: false, restartCount: 0, state: { terminated } }],
          }),
      ...status,
    },
  };
}

const failed = (...pods: Pod[]) => verdictOf(job('Failed', 'backoff limit'), pods, ATTEMPT);

describe('verdictOf', () => {
  it('has none while the Job goes on', () => {
    expect(verdictOf(job(), [pod('Running')], ATTEMPT)).toBeUndefined();
  });

  it('collects what the first replica handed in', () => {
    const message = { end: 'succeeded', exitCode: 0, outputs: 'sha256:1' };
    expect(verdictOf(job('Complete'), [pod('Succeeded', { message })], ATTEMPT)).toEqual({
      kind: 'collect',
      outputs: 'sha256:1',
    });
    expect(verdictOf(job('Complete'), [], ATTEMPT)).toMatchObject({ end: { kind: 'preempted' } });
  });

  it.each([
    [
      pod('Failed', { message: { end: 'failed', exitCode: -11, lastError: 'boom' } }),
      {
        kind: 'failed',
        exitCode: 139,
        retryable: true,
        reason:
          'the script ended with exit code 139 (killed by SIGSEGV, a native library accessed memory that is not its own): boom',
      },
    ],
    [
      pod('Failed', { reason: 'OOMKilled', exitCode: 137 }),
      {
        kind: 'failed',
        exitCode: 137,
        retryable: false,
        reason: 'the script used more memory than resources.memoryMb allows, 64 MiB',
      },
    ],
    [
      pod('Failed', { message: { end: 'timed_out', exitCode: -15 } }),
      { kind: 'timed_out', reason: 'the script ran longer than its limit of 5 s' },
    ],
    [
      pod('Failed', { message: { end: 'not_run', exitCode: null, reason: 'pip failed', retryable: true } }),
      { kind: 'failed', exitCode: null, retryable: true, reason: 'pip failed' },
    ],
    [
      pod('Failed', { message: { end: 'interrupted', exitCode: 0 } }),
      { kind: 'preempted', reason: 'its pod was stopped from outside' },
    ],
    [pod('Failed', { taken: true }), { kind: 'preempted', reason: 'node is gone' }],
    [
      pod('Failed', { status: { containerStatuses: [], reason: 'Evicted', message: 'used too much of the disk' } }),
      {
        kind: 'failed',
        exitCode: null,
        retryable: false,
        reason: 'its pod failed, Evicted: used too much of the disk',
      },
    ],
  ])('says how a pod failed: %#', (one, end) => {
    expect(failed(one)).toMatchObject({ kind: 'ended', end });
  });

  it('names the first of a group that failed by itself', () => {
    const verdict = verdictOf(
      job('FailureTarget'),
      [
        pod('Failed', { rank: 0, at: 1, message: { end: 'interrupted', exitCode: -15 } }),
        pod('Failed', { rank: 2, at: 3, message: { end: 'failed', exitCode: 2, lastError: 'peer is gone' } }),
        pod('Failed', { rank: 1, at: 2, message: { end: 'failed', exitCode: 1, lastError: 'bad data' } }),
      ],
      { ...ATTEMPT, replicas: 3 },
    );
    expect(verdict).toMatchObject({ end: { reason: 'replica 1: the script ended with exit code 1: bad data' } });
  });
});

describe('a pod of a TrainJob', () => {
  const node = (status: object): Pod => ({
    metadata: { name: 'p', labels: { 'jobset.sigs.k8s.io/jobset-name': 'x', [INDEX_LABEL]: '0' } },
    status: {
      phase: 'Running',
      containerStatuses: [
        { name: 'sidecar', image: '', ready: true, restartCount: 0, state: { running: {} } },
        { name: 'node', image: '', ready: false, restartCount: 0, ...status },
      ],
    },
  });
  const message = JSON.stringify({ end: 'failed', exitCode: 3, lastError: 'bad data' });
  const ended = { terminated: { exitCode: 1, message } };

  it('that its runtime begins anew has failed: retries are not the runtime’s', () => {
    expect(verdictOf(job(), [node({ state: { waiting: {} }, lastState: ended })], ATTEMPT)).toMatchObject({
      kind: 'ended',
      end: { kind: 'failed', reason: 'the script ended with exit code 3: bad data', exitCode: 3, retryable: true },
      over: false,
    });
    expect(verdictOf(job(), [node({ state: { running: {} } })], ATTEMPT)).toBeUndefined();
  });

  it('is read by the container of the runtime', () => {
    const pod: Pod = { ...node({ state: ended }), status: { ...node({ state: ended }).status, phase: 'Failed' } };
    expect(verdictOf(job('Failed'), [pod], ATTEMPT)).toMatchObject({ end: { exitCode: 3 } });
  });

  it('is none where the Trainer cannot make one', () => {
    const condition = {
      type: 'Failed',
      status: 'True',
      reason: 'TrainingRuntimeNotSupported',
      message: 'no such',
    } as const;
    const failed = { metadata: { name: 'x' }, status: { conditions: [condition] } };
    expect(verdictOf(failed, [], ATTEMPT)).toMatchObject({
      end: { kind: 'failed', reason: 'the Kubeflow Trainer cannot run it: no such', retryable: false },
    });
  });
});

describe('waitingWords', () => {
  it.each([
    [{ ...job(), spec: { suspend: true } }, [], 'its Job is suspended'],
    [job(), [], 'no pod could be made: account sluice-job not found'],
    [
      job(),
      [
        pod('Pending', {
          status: { conditions: [{ type: 'PodScheduled', status: 'False', message: '0/3 nodes are available' }] },
        }),
      ],
      'no node has room: 0/3 nodes are available',
    ],
  ])('says what it waits for: %#', (one, pods, words) => {
    const events = [{ metadata: { name: 'e' }, type: 'Warning', message: 'account sluice-job not found' }];
    expect(waitingWords(one, pods, events)).toBe(words);
  });
});

describe('startProblem', () => {
  it('tells a name that is none from an image that may yet come', () => {
    const waiting = (reason: string) =>
      startProblem(
        pod('Pending', {
          status: {
            containerStatuses: [
              { name: CONTAINER, image: '', ready: false, restartCount: 0, state: { waiting: { reason } } },
            ],
          },
        }),
      );
    expect(waiting('ContainerCreating')).toBeUndefined();
    expect(waiting('ImagePullBackOff')).toMatchObject({ final: false });
    expect(waiting('InvalidImageName')).toMatchObject({ final: true });
  });
});
