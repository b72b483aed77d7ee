/** The Jobs and TrainJobs of this cluster and their pods, as last heard; one watch of each kind for all attempts. */
import type { Clock } from '../../../clock.js';
import type { Log } from '../../../log.js';
import type { KubernetesApi } from '../api.js';
import { Mirror } from '../mirror.js';
import { type KubeObject, PODS, type Pod, type ResourceKind } from '../objects.js';
import { JOBS, type Job, OUR_JOBS, podLabelOf, rankOf } from './objects.js';

export class JobView {
  private readonly jobs = new Map<ResourceKind, Mirror<Job>>();
  private readonly pods: Mirror<Pod>;
  private readonly wakers = new Set<() => void>();
  private changes = 0;

  constructor(
    private readonly api: KubernetesApi,
    private readonly clock: Clock,
    private readonly log: Log,
  ) {
    this.jobs.set(JOBS, this.mirror<Job>(JOBS));
    this.pods = this.mirror<Pod>(PODS);
  }

  /** The first question for a kind begins its watch: not every cluster knows each. */
  job(kind: ResourceKind, name: string): Job | undefined {
    const known = this.jobs.get(kind) ?? this.mirror<Job>(kind);
    this.jobs.set(kind, known);
    return known.get(name);
  }

  /** The pods of a Job or a TrainJob, by their rank. */
  podsOf(kind: ResourceKind, jobName: string): Pod[] {
    const label = podLabelOf(kind);
    return [...this.pods.all()]
      .filter(({ metadata }) => metadata.labels?.[label] === jobName)
      .sort((a, b) => rankOf(a) - rankOf(b));
  }

  pod(name: string): Pod | undefined {
    return this.pods.get(name);
  }

  /** How often something has changed. */
  get version(): number {
    return this.changes;
  }

  /** Resolves when something has changed since `version`, after `withinMs`, or with an abort. */
  async changedSince(version: number, withinMs: number, signal: AbortSignal): Promise<void> {
    if (this.changes !== version || signal.aborted) return;
    const woken = new AbortController();
    const wake = () => woken.abort();
    this.wakers.add(wake);
    signal.addEventListener('abort', wake, { once: true });
    await this.clock.sleep(withinMs, woken.signal).catch(() => {});
    this.wakers.delete(wake);
    signal.removeEventListener('abort', wake);
  }

  async close(): Promise<void> {
    await Promise.all([...this.jobs.values(), this.pods].map((mirror) => mirror.close()));
  }

  private mirror<T extends KubeObject>(kind: ResourceKind): Mirror<T> {
    const { api, clock, log } = this;
    const onChange = () => this.wake();
    return new Mirror<T>({ api, kind, selection: { labelSelector: OUR_JOBS }, clock, log, onChange });
  }

  private wake(): void {
    this.changes += 1;
    for (const waker of this.wakers) waker();
  }
}
