/** How a revision fares on Knative: where it answers, how many pods it has, and what is wrong, in words. Pure. */

import { revisionTag } from '../../core/cluster-names.js';
import type { RevisionStatus } from '../../core/fleet.js';
import type { EndpointRoute, RevisionAddress, RevisionRoute } from '../../core/inference/route.js';
import { conditionOf, type Pod } from '../kubernetes/objects.js';
import type { PodWords } from '../kubernetes/pod-words.js';
import { serviceOf } from './names.js';
import type { KnativeRevision, KnativeService } from './objects.js';
import { isReady } from './plan.js';
import type { KnativeSettings } from './template.js';

export interface SeenPod {
  readonly pod: Pod;
  readonly words: PodWords;
}

export interface SeenRevision {
  readonly service: KnativeService | undefined;
  readonly revision: KnativeRevision | undefined;
  readonly pods: readonly SeenPod[];
  /** What the API server, or we, said against it; undefined where nobody did. */
  readonly refused: string | undefined;
}

export interface RevisionReport {
  /** Undefined as long as it does not answer there. */
  readonly address: RevisionAddress | undefined;
  /** Empty when it answers, or nothing is known against it. */
  readonly problem: string;
  readonly status: RevisionStatus;
}

export function reportOf(
  endpoint: EndpointRoute,
  route: RevisionRoute,
  seen: SeenRevision,
  settings: KnativeSettings,
): RevisionReport {
  const alive = seen.pods.filter(({ words }) => words.state !== 'ending');
  const ready = alive.filter(({ words }) => words.state === 'ready').length;
  const against = ready > 0 ? undefined : problemOf(seen, alive);
  // a node may still come for what no node can take: that is a wait, which rollouts bound
  const held = ready > 0 ? undefined : alive.find(({ words }) => words.held);
  const problem = seen.refused ?? against ?? held?.words.words;
  return {
    address: addressOf(endpoint, route, seen, settings),
    problem: problem ?? '',
    status: {
      endpointId: route.endpointId,
      endpoint: route.endpoint,
      revision: route.number,
      ready,
      starting: alive.length - ready,
      busy: 0,
      waiting: 0,
      message: problem ?? messageOf(seen, alive, ready),
      failing: ready === 0 && (seen.refused ?? against) !== undefined,
      replicas: seen.pods.map(({ pod, words }) => ({
        id: pod.metadata.name,
        pid: null,
        state: words.state === 'ready' ? 'ready' : words.state === 'ending' ? 'draining' : 'starting',
        ...(words.state === 'failing' ? { notes: [words.words] } : {}),
      })),
    },
  };
}

/** What is wrong with a revision of which no pod is ready: a pod's words say more than Knative's. */
function problemOf({ revision }: SeenRevision, alive: readonly SeenPod[]): string | undefined {
  const failing = alive.find(({ words }) => words.state === 'failing');
  if (failing) return failing.words.words;
  // one that starts may yet get ready, whatever is said of those before it
  if (alive.length > 0 || !revision) return undefined;
  const condition = conditionOf(revision, 'Ready');
  if (condition?.status !== 'False') return undefined;
  return `Knative says of it: ${condition.message ?? condition.reason ?? 'not ready'}`;
}

function messageOf({ revision }: SeenRevision, alive: readonly SeenPod[], ready: number): string {
  if (ready > 0) return `${ready} of ${alive.length} pods ready`;
  const [first] = alive;
  if (first) return `a pod starts: ${first.words.words}`;
  if (!revision) return 'to be made on the cluster';
  return isReady(revision) ? 'scaled to zero: the next request starts a pod' : 'Knative starts it';
}

/** Where it answers: once it was ready, and Knative says that its tag leads to it. */
function addressOf(
  endpoint: EndpointRoute,
  { number }: RevisionRoute,
  { service, revision }: SeenRevision,
  { ingressUrl, namespace }: KnativeSettings,
): RevisionAddress | undefined {
  if (!service || !isReady(revision) || conditionOf(service, 'RoutesReady')?.status !== 'True') return undefined;
  // what is ready may be the traffic of before the last change
  if ((service.status?.observedGeneration ?? 0) < (service.metadata.generation ?? 0)) return undefined;
  const tag = revisionTag(number);
  const url = service.status?.traffic?.find((target) => target.tag === tag)?.url;
  if (url === undefined) return undefined;
  if (ingressUrl !== undefined) return { url: ingressUrl, host: new URL(url).host };
  return { url: `http://${tag}-${serviceOf(endpoint)}.${namespace}.svc.cluster.local`, host: undefined };
}
