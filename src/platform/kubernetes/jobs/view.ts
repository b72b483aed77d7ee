/** The Jobs of this cluster and their pods, as last heard; one pair of watches for all attempts. */
import type { Clock } from '../../../clock.js';
import type { Log } from '../../../log.js';
import type { KubernetesApi } from '../api.js';
import { Mirror } from '../mirror.js';
import { PODS, type Pod } from '../objects.js';
import { JOB_NAME_LABEL, JOBS, type Job, OUR_JOBS, rankOf } from './objects.js';

export class JobView {
  private readonly jobs: Mirror<Job>;
  private readonly pods: Mirror<Pod>;
  private readonly wakers = new Set<() => void>();
  private changes = 0;

  constructor(
    api: KubernetesApi,
    private readonly clock: Clock,
    log: Log,
  ) {
    const selection = { labelSelector: OUR_JOBS };
    const onChange = () => this.wake();
    this.jobs = new Mirror<Job>({ api, kind: JOBS, selection, clock, log, onChange });
    this.pods = new Mirror<Pod>({ api, kind: PODS, selection, clock, log, onChange });
  }

  job(name: string): Job | undefined {
    return this.jobs.get(name);
  }

  /** The pods of a Job, by their rank. */
  podsOf(jobName: string): Pod[] {
    return [...this.pods.all()]
      .filter(({ metadata }) => metadata.labels?.[JOB_NAME_LABEL] === jobName)
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
    await Promise.all([this.jobs.close(), this.pods.close()]);
  }

  private wake(): void {
    this.changes += 1;
    for (const waker of this.wakers) waker();
  }
}
