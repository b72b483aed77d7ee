/** Runs `load.mjs` in a pod, as clients inside the cluster do. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Kubectl } from './kubectl.js';

export interface LoadPlan {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** Either at a rate for a time… */
  readonly perSecond?: number;
  readonly seconds?: number;
  /** … or so many, over so many connections. */
  readonly count?: number;
  readonly connections?: number;
}

export interface LoadReport {
  readonly sent: number;
  readonly answered: number;
  readonly failed: number;
  /** Made a second time because their connection was closed as they came. */
  readonly again: number;
  readonly byVersion: Readonly<Record<string, number>>;
  readonly byStatus: Readonly<Record<string, number>>;
  readonly failures: readonly string[];
  /** When somebody waited for more than a second, and for how long at most. */
  readonly waits: readonly { readonly fromSec: number; readonly toSec: number; readonly ms: number }[];
  readonly seconds: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

interface PodView {
  readonly status: { readonly phase: string };
}

export interface LoadPods {
  /** Where the pods go; it is made, and removed by `close`. */
  readonly namespace: string;
  /** An image with Node. */
  readonly image: string;
}

/** A load under way. */
export interface Load {
  readonly report: Promise<LoadReport>;
}

export class Loads {
  private serial = 0;

  constructor(
    private readonly kubectl: Kubectl,
    private readonly pods: LoadPods,
  ) {}

  async open(): Promise<void> {
    const { namespace } = this.pods;
    const script = await readFile(join('verify', 'cluster', 'load.mjs'), 'utf8');
    await this.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
    await this.apply({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'load', namespace },
      data: { 'load.mjs': script },
    });
  }

  /** Resolves when it sends. */
  async start(plan: LoadPlan): Promise<Load> {
    const { namespace, image } = this.pods;
    const name = `load-${++this.serial}`;
    await this.apply({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace },
      spec: {
        restartPolicy: 'Never',
        automountServiceAccountToken: false,
        containers: [
          {
            name: 'load',
            image,
            imagePullPolicy: 'IfNotPresent',
            command: ['node', '/load/load.mjs', JSON.stringify(plan)],
            volumeMounts: [{ name: 'load', mountPath: '/load' }],
          },
        ],
        volumes: [{ name: 'load', configMap: { name: 'load' } }],
      },
    });
    const get = ['-n', namespace, 'get', 'pod', name];
    await this.kubectl.until<PodView>(`load ${name} starts`, get, ({ status }) => status.phase !== 'Pending');
    return { report: this.finished(name, get, (plan.seconds ?? 600) + 120) };
  }

  async run(plan: LoadPlan): Promise<LoadReport> {
    return (await this.start(plan)).report;
  }

  async close(): Promise<void> {
    await this.kubectl.run(['delete', 'namespace', this.pods.namespace, '--ignore-not-found', '--wait=true']);
  }

  private async finished(name: string, get: readonly string[], seconds: number): Promise<LoadReport> {
    const over = ({ status }: PodView) => status.phase === 'Succeeded' || status.phase === 'Failed';
    await this.kubectl.until<PodView>(`load ${name} ends`, get, over, seconds);
    const log = await this.kubectl.run(['-n', this.pods.namespace, 'logs', name]);
    const last = log.trim().split('\n').at(-1) ?? '';
    if (!last.startsWith('{')) throw new Error(`load ${name} failed: ${log.slice(-2000)}`);
    return JSON.parse(last) as LoadReport;
  }

  private async apply(object: object): Promise<void> {
    await this.kubectl.run(['apply', '--server-side', '-f', '-'], JSON.stringify(object));
  }
}
