/** The first answer of an endpoint without a single pod: how long it takes, and whose share of it that is. */
import { setTimeout as sleep } from 'node:timers/promises';
import { CONTAINER } from '../../src/platform/knative/template.js';
import type { LoadPlan, Loads } from './load.js';
import { type Cluster, MODELS } from './setup.js';

export interface ColdStart {
  /** What the client waited. */
  readonly totalMs: number;
  /** From the request to the pod: Knative's autoscaler and activator, and the scheduler. */
  readonly knativeMs: number;
  /** From the pod to its running container: scheduler, kubelet, image and sandbox; Kubernetes tells whole seconds. */
  readonly containerMs: number;
  /** Of the model server's own phases: process and library, model files, load and warm-up. */
  readonly serverMs: Readonly<Record<string, number>>;
}

interface Pods {
  readonly items: readonly {
    readonly metadata: { readonly name: string; readonly creationTimestamp: string };
    readonly status: {
      readonly containerStatuses?: readonly {
        readonly name: string;
        readonly state: { readonly running?: { readonly startedAt: string } };
      }[];
    };
  }[];
}

const ZERO_MS = 240_000;

export async function fromZero(
  { kubectl }: Cluster,
  loads: Loads,
  plan: LoadPlan,
  endpoint: string,
): Promise<ColdStart> {
  const list = ['-n', MODELS, 'get', 'pods', '-l', `sluice.dev/endpoint=${endpoint}`];
  await kubectl.until<Pods>('no pod is left', list, ({ items }) => items.length === 0, ZERO_MS / 1000);
  await sleep(1000);
  const { maxMs, failed, failures } = await loads.run({ ...plan, count: 1, connections: 1 });
  if (failed > 0) throw new Error(`the first request failed: ${failures.join('; ')}`);
  const { items } = await kubectl.json<Pods>(list);
  const pod = items[0];
  if (!pod) throw new Error('the request was answered without a pod');
  const log = await kubectl.run(['-n', MODELS, 'logs', pod.metadata.name, '-c', CONTAINER]);
  const phases = phasesOf(log);
  // library and files come at the same time: the sum of the phases is more than the whole
  const { total: server = 0 } = phases;
  const created = Date.parse(pod.metadata.creationTimestamp);
  const started = Date.parse(
    pod.status.containerStatuses?.find(({ name }) => name === CONTAINER)?.state.running?.startedAt ?? '',
  );
  const containerMs = Math.max(0, started - created);
  return { totalMs: maxMs, containerMs, serverMs: phases, knativeMs: Math.max(0, maxMs - containerMs - server) };
}

/** What the model server says of its start when it is ready: `processMs`, `fetchMs`, `loadMs`, `totalMs` and so on. */
function phasesOf(log: string): Record<string, number> {
  for (const line of log.split('\n').reverse()) {
    if (!line.includes('"message":"ready"')) continue;
    const fields = Object.entries(JSON.parse(line) as Record<string, unknown>);
    return Object.fromEntries(
      fields.flatMap(([name, value]) =>
        name.endsWith('Ms') && typeof value === 'number' ? [[name.slice(0, -2), value]] : [],
      ),
    );
  }
  return {};
}
