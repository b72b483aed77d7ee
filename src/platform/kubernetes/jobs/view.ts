/** The Jobs of this cluster and their pods, as last heard; one pair of watches for all attempts. */
import type { Clock } from '../../../clock.js';
import type { Log } from '../../../log.js';
import type { KubernetesApi } from '../api.js';
import { Mirror } from '../mirror.js';
import { PODS, type Pod } from '../objects.js';
import { JOB_LABEL, JOB_NAME_LABEL, JOBS, type Job, MANAGED, rankOf } from './objects.js';

export class JobView {
  private readonly jobs: Mirror<Job>;
  private readonly pods: Mirror<Pod>;
  private wakers: (() => void)[] = [];

  constructor(api: KubernetesApi, clock: Clock, log: Log) {
    const selection = { labelSelector: `${MANAGED},${JOB_LABEL}` };
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

  /** Resolves with the next change. */
  changed(): Promise<void> {
    return new Promise((resolve) => this.wakers.push(resolve));
  }

  async close(): Promise<void> {
    await Promise.all([this.jobs.close(), this.pods.close()]);
  }

  private wake(): void {
    const wakers = this.wakers;
    this.wakers = [];
    for (const waker of wakers) waker();
  }
}
