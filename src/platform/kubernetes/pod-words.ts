/** What is wrong with a pod, in words that say what to do about it. Pure. */
import { type ContainerStatus, conditionOf, type Pod } from './objects.js';

export interface PodLook {
  readonly state: 'starting' | 'ready' | 'draining' | 'ended';
  /** Why it does not get ready; undefined while nothing is wrong. */
  readonly problem: string | undefined;
  /** Whether all that is wrong is that no node has room for it. */
  readonly unschedulable: boolean;
  /** A container that ended and whose own last words are worth reading. */
  readonly ended: string | undefined;
}

const NO_IMAGE = new Set(['ErrImagePull', 'ImagePullBackOff', 'InvalidImageName', 'ErrImageNeverPull']);
const OUT_OF_MEMORY = 137;

export function lookAtPod(pod: Pod): PodLook {
  const { metadata, status } = pod;
  const nothing = { problem: undefined, unschedulable: false, ended: undefined };
  if (metadata.deletionTimestamp !== undefined) return { state: 'draining', ...nothing };
  const ready = conditionOf(pod, 'Ready')?.status === 'True';
  if (ready) return { state: 'ready', ...nothing };
  if (status?.phase === 'Failed' || status?.phase === 'Succeeded') {
    const said = [status.reason, status.message].filter(Boolean).join(': ');
    const end = endOf(pod);
    return { state: 'ended', problem: said || end?.words || 'it ended', unschedulable: false, ended: end?.name };
  }
  const end = endOf(pod);
  const homeless = unschedulable(pod);
  return {
    state: 'starting',
    problem: homeless ?? unpullable(pod) ?? end?.words,
    unschedulable: homeless !== undefined,
    ended: end?.name,
  };
}

function unschedulable(pod: Pod): string | undefined {
  const scheduled = conditionOf(pod, 'PodScheduled');
  if (scheduled?.status !== 'False' || scheduled.reason !== 'Unschedulable') return undefined;
  return `no node takes it: ${scheduled.message ?? 'Kubernetes does not say why'}`;
}

function unpullable(pod: Pod): string | undefined {
  for (const { image, state } of containersOf(pod)) {
    const { reason = '', message = '' } = state?.waiting ?? {};
    if (NO_IMAGE.has(reason)) return `image ${image} cannot be pulled: ${message || reason}`;
    if (reason === 'CreateContainerConfigError' || reason === 'CreateContainerError' || reason === 'RunContainerError')
      return `its container cannot be made: ${message || reason}`;
  }
  return undefined;
}

/** How the last container that ended did so. */
function endOf(pod: Pod): { readonly name: string; readonly words: string } | undefined {
  for (const { name, state, lastState, restartCount } of containersOf(pod)) {
    const ended = state?.terminated ?? lastState?.terminated;
    if (!ended || (ended.exitCode === 0 && restartCount === 0)) continue;
    const times = restartCount > 0 ? ` (${restartCount + 1} times)` : '';
    if (ended.reason === 'OOMKilled') return { name, words: `out of memory: it took more than ${limitOf(pod, name)}` };
    const how = ended.exitCode === OUT_OF_MEMORY ? 'was killed (code 137)' : `ended with code ${ended.exitCode}`;
    const said = ended.message?.trim();
    return { name, words: `its program ${how}${times}${said ? `: ${said}` : ''}` };
  }
  return undefined;
}

function limitOf(pod: Pod, container: string): string {
  return pod.spec?.containers.find(({ name }) => name === container)?.resources?.limits?.memory ?? 'it was given';
}

function containersOf({ status }: Pod): readonly ContainerStatus[] {
  return [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])];
}
