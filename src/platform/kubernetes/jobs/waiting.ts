/** Why an attempt does not run yet, in words. */
import { type Condition, conditionOf, type Pod } from '../objects.js';
import { NEVER_PULLED, NOT_PULLED } from '../pod-words.js';
import { containerOf, type Job, type KubeEvent, kindOf, stateOf } from './objects.js';

/** A pod whose container cannot start as things are. */
export interface StartProblem {
  readonly words: string;
  /** True when no wait helps. */
  readonly final: boolean;
}

const CREATE = /^(CreateContainerConfigError|CreateContainerError|RunContainerError)$/;

/** What keeps the container of a pod from starting: its image most often. */
export function startProblem(pod: Pod): StartProblem | undefined {
  const script = containerOf(pod);
  const { reason = '', message = '' } = stateOf(pod)?.waiting ?? {};
  const image = pod.spec?.containers.find(({ name }) => name === script)?.image ?? '';
  const said = message === '' ? reason : message;
  const never = NEVER_PULLED.has(reason);
  if (never || NOT_PULLED.has(reason)) return { words: `the image ${image} cannot be pulled: ${said}`, final: never };
  if (CREATE.test(reason)) return { words: `the container cannot be started: ${said}`, final: false };
  return undefined;
}

/** What a waiting attempt waits for. Events are asked for only where the objects themselves do not say it. */
export function waitingWords(job: Job, pods: readonly Pod[], events: readonly KubeEvent[]): string {
  if (job.spec?.suspend) return `its ${kindOf(job).kind} is suspended`;
  const told = lastWarning(events);
  if (pods.length === 0) return told === undefined ? 'no pod was made yet' : `no pod could be made: ${told}`;
  for (const pod of pods) {
    const scheduled: Condition | undefined = conditionOf(pod, 'PodScheduled');
    if (scheduled?.status === 'False') {
      return `no node has room: ${scheduled.message ?? scheduled.reason ?? 'it is not scheduled'}`;
    }
    const problem = startProblem(pod);
    if (problem) return problem.words;
  }
  const starting = pods.find((pod) => pod.status?.phase === 'Pending');
  if (!starting) return 'its pod starts';
  return told === undefined ? `its pod starts on ${starting.spec?.nodeName ?? 'a node'}` : `its pod starts: ${told}`;
}

function lastWarning(events: readonly KubeEvent[]): string | undefined {
  const at = ({ lastTimestamp, eventTime, metadata }: KubeEvent) =>
    Date.parse(lastTimestamp ?? eventTime ?? metadata.creationTimestamp ?? '') || 0;
  const warnings = events.filter(({ type }) => type === 'Warning').sort((a, b) => at(b) - at(a));
  return warnings[0]?.message;
}
