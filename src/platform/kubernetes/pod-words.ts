/** What a pod is doing, in words: why it does not start, or keeps ending. Pure. */
import { type ContainerState, type ContainerStatus, conditionOf, type Pod } from './objects.js';

export interface PodWords {
  /** `failing`: not likely to get ready without somebody changing something. */
  readonly state: 'ready' | 'starting' | 'failing' | 'ending';
  readonly words: string;
  /** Of one that starts: something stands in its way that may go by itself, such as a cluster without room. */
  readonly held?: boolean | undefined;
  /** A container that ended: its last output says more. */
  readonly ended?: { readonly container: string; readonly previous: boolean } | undefined;
}

/** `lastLines`: the last output of the container that ended, as far as it was read. */
export function podWords(pod: Pod, lastLines: readonly string[] = []): PodWords {
  const { metadata, status } = pod;
  if (metadata.deletionTimestamp !== undefined) return { state: 'ending', words: 'is ending' };
  if (conditionOf(pod, 'Ready')?.status === 'True') return { state: 'ready', words: 'ready' };
  if (status?.phase === 'Failed' && status.reason !== undefined)
    return { state: 'failing', words: failedWords(status.reason, status.message) };
  const scheduled = conditionOf(pod, 'PodScheduled');
  if (scheduled?.status === 'False') {
    const why = scheduled.message ?? scheduled.reason ?? 'no reason given';
    return { state: 'starting', words: `no node can take it: ${why}`, held: true };
  }
  const containers = [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])];
  const spoken = containers.map((container) => containerWords(pod, container, lastLines));
  return (
    spoken.find(({ state }) => state === 'failing') ??
    spoken.find(({ state }) => state === 'starting') ?? { state: 'starting', words: 'waits for its node to take it up' }
  );
}

function failedWords(reason: string, message: string | undefined): string {
  const said = message ? `: ${message}` : '';
  if (reason === 'Evicted') return `its node evicted it${said}`;
  return `it failed (${reason})${said}`;
}

/** The kubelet's reasons why there is no image: those that may pass, and those that no wait helps. */
export const NOT_PULLED = new Set([
  'ErrImagePull',
  'ImagePullBackOff',
  'RegistryUnavailable',
  'ImageInspectError',
  'ErrInspectImage',
]);
export const NEVER_PULLED = new Set(['InvalidImageName', 'ErrImageNeverPull', 'SignatureValidationFailed']);
/** Reasons of waiting that are the way of every start. */
const USUAL = new Set(['ContainerCreating', 'PodInitializing']);

function containerWords(pod: Pod, container: ContainerStatus, lastLines: readonly string[]): PodWords {
  const { name, image, state, lastState, ready } = container;
  const { waiting, running, terminated } = state ?? {};
  if (ready) return { state: 'ready', words: 'ready' };
  if (waiting) {
    const { reason = 'waiting', message } = waiting;
    if (NOT_PULLED.has(reason) || NEVER_PULLED.has(reason))
      return { state: 'failing', words: `image ${image} cannot be pulled: ${message ?? reason}` };
    if (USUAL.has(reason)) return { state: 'starting', words: 'its container is being made' };
    if (lastState?.terminated) {
      const words = endWords(pod, name, lastState, lastLines);
      return { state: 'failing', words: `container ${name} keeps ending: ${words}`, ended: ended(name, true) };
    }
    return { state: 'failing', words: `container ${name} does not start (${reason})${message ? `: ${message}` : ''}` };
  }
  if (terminated) {
    const words = `container ${name} ended: ${endWords(pod, name, state, lastLines)}`;
    return { state: terminated.exitCode === 0 ? 'starting' : 'failing', words, ended: ended(name, false) };
  }
  if (running) {
    if (!lastState?.terminated) return { state: 'starting', words: `container ${name} runs, and is not ready yet` };
    const words = endWords(pod, name, lastState, lastLines);
    return {
      state: 'failing',
      words: `container ${name} was started again, and is not ready yet: before, ${words}`,
      ended: ended(name, true),
    };
  }
  return { state: 'starting', words: 'its container is being made' };
}

function ended(container: string, previous: boolean): NonNullable<PodWords['ended']> {
  return { container, previous };
}

function endWords(pod: Pod, name: string, state: ContainerState | undefined, lastLines: readonly string[]): string {
  const { exitCode = 0, reason, signal, message } = state?.terminated ?? {};
  const said = lastLines.length > 0 ? lastLines.join(' | ') : message?.trim();
  const tail = said ? `: ${said}` : '';
  if (reason === 'OOMKilled') {
    const limit = pod.spec?.containers.find((one) => one.name === name)?.resources?.limits?.memory;
    return `it was out of memory${limit ? ` (its limit is ${limit})` : ''}${tail}`;
  }
  if (signal) return `it was ended by signal ${signal}${tail}`;
  return `exit code ${exitCode}${tail}`;
}
