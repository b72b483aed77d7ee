/** What Knative and its pods say of an endpoint's revisions: where they answer, how many, and what is wrong. Pure. */
import { revisionName, revisionTag } from '../../core/cluster-names.js';
import type { RevisionStatus } from '../../core/fleet.js';
import type { EndpointRoute, RevisionAddress, RevisionRoute } from '../../core/inference/route.js';
import { conditionOf, type Pod } from '../kubernetes/objects.js';
import { lookAtPod, type PodLook } from '../kubernetes/pod-words.js';
import { type KnativeRevision, type KnativeService, LABELS } from './kinds.js';

export interface Observed {
  readonly service: KnativeService | undefined;
  revision(name: string): KnativeRevision | undefined;
  /** Of this endpoint. */
  readonly pods: readonly Pod[];
}

export interface Ways {
  readonly namespace: string;
  /** Undefined: by the cluster's own names. */
  readonly ingressUrl: string | undefined;
}

/** Where a revision answers: its tag is routed, and its Revision was ready at least once. */
export function addressOf(
  service: string,
  route: RevisionRoute,
  observed: Observed,
  { namespace, ingressUrl }: Ways,
): RevisionAddress | undefined {
  if (route.server?.url !== undefined) return { url: route.server.url, host: undefined };
  const tag = revisionTag(route.number);
  const name = revisionName(service, route.number);
  const entry = observed.service?.status?.traffic?.find((one) => one.tag === tag && one.revisionName === name);
  const revision = observed.revision(name);
  const ready = revision !== undefined && conditionOf(revision, 'Ready')?.status === 'True';
  // once it answered, a pod that fails is Knative's to replace: the way to it stays
  if (!entry || !(ready || route.address !== undefined)) return undefined;
  if (ingressUrl === undefined)
    return { url: `http://${tag}-${service}.${namespace}.svc.cluster.local`, host: undefined };
  return entry.url === undefined ? undefined : { url: ingressUrl, host: new URL(entry.url).host };
}

export interface RevisionLook {
  readonly status: RevisionStatus;
  /** Why it does not answer; empty when it does, or nothing is known. */
  readonly problem: string;
  /** A pod and container whose last words are worth reading. */
  readonly ended: { readonly pod: string; readonly container: string } | undefined;
}

/** `refusal`: why the cluster would not have it made. `words`: the last words of what ended. */
export function lookAtRevision(
  endpoint: EndpointRoute,
  route: RevisionRoute,
  observed: Observed,
  said: { readonly service: string; readonly refusal: string; readonly words: (pod: string) => string },
): RevisionLook {
  const pods = observed.pods.filter((pod) => pod.metadata.labels?.[LABELS.revision] === String(route.number));
  const looks = pods.map((pod) => ({ pod, look: lookAtPod(pod) }));
  const count = (state: PodLook['state']) => looks.filter(({ look }) => look.state === state).length;
  const [ready, starting] = [count('ready'), count('starting')];
  const wrong = looks.find(({ look }) => look.problem !== undefined);
  const revision = observed.revision(revisionName(said.service, route.number));
  const condition = revision && conditionOf(revision, 'Ready');
  const words = wrong ? said.words(wrong.pod.metadata.name) : '';
  const podProblem = wrong && `${wrong.look.problem}${words ? `; it said: ${words}` : ''}`;
  const made = revision ? condition : observed.service && conditionOf(observed.service, 'ConfigurationsReady');
  const knative = made?.status === 'False' ? (made.message ?? made.reason ?? 'Knative gave it up') : '';
  const problem = ready > 0 ? '' : (podProblem ?? (said.refusal || knative));
  // a node may still come for what no node takes: that is a wait, which rollouts bound
  const waits = made?.reason === 'Unschedulable' || (wrong?.look.unschedulable ?? false);
  const failing = ready === 0 && !waits && (knative !== '' || said.refusal !== '' || (wrong?.look.ended ?? '') !== '');
  return {
    problem: failing || podProblem !== undefined ? problem : '',
    ended: wrong?.look.ended ? { pod: wrong.pod.metadata.name, container: wrong.look.ended } : undefined,
    status: {
      endpointId: endpoint.id,
      endpoint: endpoint.name,
      revision: route.number,
      ready,
      starting,
      busy: 0,
      waiting: 0,
      message: problem || (ready + starting === 0 ? 'scaled to zero; Knative starts a pod when a request comes' : ''),
      failing,
      replicas: looks.flatMap(({ pod, look }) =>
        look.state === 'ended' ? [] : [{ id: pod.metadata.name, pid: null, state: look.state }],
      ),
    },
  };
}
