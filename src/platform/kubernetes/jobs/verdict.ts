/** How an attempt ended, told from its Job, its pods and what their wrappers left as termination messages. */
import { z } from 'zod';
import type { Digest } from '../../../core/blobs.js';
import type { Attempt, AttemptEnd } from '../../../core/training/runner.js';
import { exitWords } from '../../training/exit-words.js';
import { type ContainerState, conditionOf, type Pod } from '../objects.js';
import { type Job, rankOf, stateOf, statusOf } from './objects.js';

export type Verdict =
  | { readonly kind: 'collect'; readonly outputs: Digest }
  | {
      readonly kind: 'ended';
      readonly end: Exclude<AttemptEnd, { kind: 'succeeded' }>;
      /** Whether its pods end by themselves, so that they can be heard to their end. */
      readonly over: boolean;
      /** Whose end it is. */
      readonly pod?: Pod;
    };

const messageSchema = z.object({
  end: z.enum(['succeeded', 'failed', 'timed_out', 'interrupted', 'out_of_memory', 'not_run']),
  exitCode: z.number().int().nullable(),
  lastError: z.string().default(''),
  reason: z.string().default(''),
  retryable: z.boolean().default(false),
  outputs: z.string().nullish(),
});

/** Whether the Job goes on no more. */
export function isOver(job: Job): boolean {
  return is(job, 'Complete') || is(job, 'Failed') || is(job, 'FailureTarget');
}

/** Undefined while the Job goes on. `pods`: as they are when it does no more. */
export function verdictOf(job: Job, pods: readonly Pod[], attempt: Attempt): Verdict | undefined {
  if (is(job, 'Complete')) return collected(pods);
  if (isOver(job)) return failed(job, pods, attempt);
  // a runtime of the Kubeflow Trainer may begin anew what has ended; retries are counted by Sluice
  const again = pods.find(failedBefore);
  return again && { kind: 'ended', end: failureOf(again, attempt, failedBefore(again)), over: false, pod: again };
}

function is(job: Job, type: string): boolean {
  return conditionOf(job, type)?.status === 'True';
}

function collected(pods: readonly Pod[]): Verdict {
  const first = pods.find((pod) => rankOf(pod) === 0 && pod.status?.phase === 'Succeeded');
  const outputs = first && readMessage(terminated(first)?.message)?.outputs;
  if (outputs) return { kind: 'collect', outputs };
  return taken('what it yielded is not known: its pod was removed before it was asked');
}

function failed(job: Job, pods: readonly Pod[], attempt: Attempt): Verdict {
  const failures = pods.filter((pod) => pod.status?.phase === 'Failed').sort((a, b) => endOf(a) - endOf(b));
  // those that were ended because another failed say nothing of why
  const own = failures.find((pod) => !isTaken(pod) && readMessage(terminated(pod)?.message)?.end !== 'interrupted');
  if (own) return { kind: 'ended', end: failureOf(own, attempt), over: true, pod: own };
  const lost = failures.find(isTaken);
  if (lost)
    return taken(conditionOf(lost, 'DisruptionTarget')?.message ?? lost.status?.message ?? 'its pod was evicted');
  if (failures.length > 0) return taken('its pod was stopped from outside');
  const why = conditionOf(job, 'Failed') ?? conditionOf(job, 'FailureTarget');
  if (why?.reason === 'TrainingRuntimeNotSupported') {
    const reason = `the Kubeflow Trainer cannot run it: ${why.message ?? why.reason}`;
    return { kind: 'ended', end: { kind: 'failed', reason, exitCode: null, retryable: false }, over: false };
  }
  return taken(`its pod is gone (${why?.message ?? why?.reason ?? 'the Job failed'})`);
}

function failureOf(pod: Pod, attempt: Attempt, state = terminated(pod)): Exclude<AttemptEnd, { kind: 'succeeded' }> {
  const said = readMessage(state?.message);
  const whose = attempt.replicas === 1 ? '' : `replica ${rankOf(pod)}: `;
  const fail = (reason: string, exitCode: number | null, retryable: boolean) =>
    ({ kind: 'failed', reason: whose + reason, exitCode, retryable }) as const;
  if (state?.reason === 'OOMKilled' || said?.end === 'out_of_memory') {
    const words = `the script used more memory than resources.memoryMb allows, ${attempt.resources.memoryMb} MiB`;
    return fail(words, said?.exitCode ?? state?.exitCode ?? null, false);
  }
  if (!state) {
    const { reason = 'Failed', message = '' } = pod.status ?? {};
    return fail(`its pod failed, ${reason}${message === '' ? '' : `: ${message}`}`, null, false);
  }
  if (/^(StartError|ContainerCannotRun)$/.test(state.reason ?? '')) {
    return fail(`the container cannot be started: ${state.message ?? state.reason}`, null, false);
  }
  if (!said) return fail(exitWords(state.exitCode, null, ''), state.exitCode, true);
  if (said.end === 'not_run') return fail(said.reason, null, said.retryable);
  if (said.end === 'timed_out') {
    return { kind: 'timed_out', reason: `${whose}the script ran longer than its limit of ${attempt.timeLimitSec} s` };
  }
  // Python gives a signal as a negative code
  const code = said.exitCode ?? state.exitCode;
  return fail(exitWords(code < 0 ? 128 - code : code, null, said.lastError), code < 0 ? 128 - code : code, true);
}

function taken(reason: string): Verdict {
  return { kind: 'ended', end: { kind: 'preempted', reason }, over: true };
}

/** Whether a pod was taken away: preempted, evicted from a node in need, or lost with it. */
export function isTaken(pod: Pod): boolean {
  return conditionOf(pod, 'DisruptionTarget')?.status === 'True';
}

export function terminated(pod: Pod): ContainerState['terminated'] {
  return stateOf(pod)?.terminated;
}

/** How the container ended that the kubelet has begun anew in the same pod. */
function failedBefore(pod: Pod): ContainerState['terminated'] {
  return statusOf(pod)?.lastState?.terminated;
}

function endOf(pod: Pod): number {
  return Date.parse(terminated(pod)?.finishedAt ?? '') || Number.POSITIVE_INFINITY;
}

function readMessage(text: string | undefined): z.infer<typeof messageSchema> | undefined {
  try {
    return messageSchema.safeParse(JSON.parse(text ?? '')).data;
  } catch {
    // whatever ended it left no message
    return undefined;
  }
}
