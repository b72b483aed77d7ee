/** Runs attempts as Jobs of Kubernetes, or as TrainJobs of the Kubeflow Trainer. Their pods outlive the worker: whoever has the job next takes its Job over. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../../clock.js';
import type { Blobs } from '../../../core/blobs.js';
import { type Attempt, type AttemptEnd, type AttemptSink, LetGo, type Runner } from '../../../core/training/runner.js';
import { AppError, messageOf, WIRE } from '../../../errors.js';
import type { Log } from '../../../log.js';
import { normaliseRequirements } from '../../python/requirements.js';
import { unpackBlob } from '../../training/code.js';
import { cancelReason } from '../../training/script.js';
import { jobFolder } from '../../training/workspace.js';
import type { KubernetesApi } from '../api.js';
import { PODS, type Pod, type ResourceKind } from '../objects.js';
import { queueWords, whyStopped, workloadOf } from './admission.js';
import { heldBy, isPassing, JobHolder, ofJob } from './hold.js';
import type { JobSettings } from './manifest.js';
import {
  EVENTS,
  JOB_LABEL,
  type Job,
  type KubeEvent,
  kindOf,
  OUR_JOBS,
  podLabelOf,
  QUEUE_LABEL,
  rankOf,
  stateOf,
} from './objects.js';
import { Progress } from './progress.js';
import { isOver, isTaken, type Verdict, verdictOf } from './verdict.js';
import { JobView } from './view.js';
import { startProblem, waitingWords } from './waiting.js';

export interface KubernetesRunnerOptions extends JobSettings {
  readonly api: KubernetesApi;
  readonly blobs: Blobs;
  /** Folder for what jobs yielded. */
  readonly workFolder: string;
  readonly maxLogBytes: number;
  readonly clock: Clock;
  readonly log: Log;
  /** How long an image that cannot be pulled is waited for, in milliseconds. Default five minutes. */
  readonly imagePatienceMs?: number;
}

/** Beside the watches: for what changes without an event, such as a wait's length. */
const LOOK_MS = 5000;

type Unsuccessful = Exclude<AttemptEnd, { kind: 'succeeded' }>;

export class KubernetesRunner implements Runner {
  private view: JobView | undefined;
  private readonly holder: JobHolder;

  constructor(private readonly options: KubernetesRunnerOptions) {
    this.holder = new JobHolder(options.api, options.clock, options);
  }

  async run(attempt: Attempt, sink: AttemptSink, signal: AbortSignal): Promise<AttemptEnd> {
    const { api, clock, log, maxLogBytes } = this.options;
    this.view ??= new JobView(api, clock, log);
    const { view } = this;
    const progress = new Progress({ api, clock, log, sink, maxLogBytes, pod: (name) => view.pod(name) });
    let job: Job | undefined;
    try {
      // refused here as on one machine: lines that reach into files and options of pip's
      normaliseRequirements(attempt.requirements);
      const held = await this.holder.hold(attempt, sink, signal);
      job = held.job;
      if (held.adopted) {
        await progress.say(
          `goes on with ${job.metadata.name}, which ran when its worker was lost; its output from the beginning:`,
        );
      }
      const verdict = await this.watch(attempt, job, view, progress, signal);
      return await this.conclude(attempt, job, verdict, progress, signal);
    } catch (error) {
      progress.check();
      if (signal.aborted) return await this.leave(job, progress, signal);
      // the platform's own failure, such as a store that is away: the Job is left as it is and taken over again
      if (!(error instanceof AppError) || isPassing(error)) throw error;
      const end = { kind: 'failed', reason: error.message, exitCode: null, retryable: WIRE[error.code].retry } as const;
      if (job) await this.removeOwn(attempt, job, signal);
      return end;
    } finally {
      await progress.close();
    }
  }

  async clean(jobId: string): Promise<void> {
    const folder = jobFolder(this.options.workFolder, jobId);
    await rm(folder, { recursive: true, force: true, maxRetries: 3 });
    for (const job of await this.holder.jobsOf(ofJob(jobId))) {
      if (!job.metadata.deletionTimestamp) await this.holder.end(job);
    }
  }

  async leftovers(): Promise<string[]> {
    const all = await this.holder.jobsOf(OUR_JOBS);
    const staying = all.filter(({ metadata }) => !metadata.deletionTimestamp);
    return [...new Set(staying.flatMap(({ metadata }) => metadata.labels?.[JOB_LABEL] ?? []))];
  }

  /** Pods are meant to outlive their worker; those of jobs that ended are left to `clean`. */
  async sweep(): Promise<number> {
    return 0;
  }

  /** Watches nothing any more; what runs goes on. */
  async close(): Promise<void> {
    await this.view?.close();
  }

  /** Looks at the Job and its pods until they have ended. */
  private async watch(
    attempt: Attempt,
    held: Job,
    view: JobView,
    progress: Progress,
    signal: AbortSignal,
  ): Promise<Verdict> {
    const { clock, imagePatienceMs = 300_000 } = this.options;
    const kind = kindOf(held);
    const { name, uid = '' } = held.metadata;
    const takenAway = new Set<string>();
    let stuckSince: number | undefined;
    let ran = false;
    for (;;) {
      signal.throwIfAborted();
      progress.check();
      const { version } = view;
      const job = await this.present(view, kind, name, uid);
      if (!job) return ended({ kind: 'cancelled', reason: `its ${kind.kind} ${name} was deleted on the cluster` });
      if (heldBy(job) > attempt.number) throw new AppError('conflict', 'a later attempt has taken its Job over');
      // the watch of pods may be behind that of Jobs: how one ended is asked, not remembered
      const pods = isOver(job) ? await this.podsNow(kind, name) : view.podsOf(kind, name);
      if (!pods) {
        await view.changedSince(version, LOOK_MS, signal);
        continue;
      }
      const first = pods.filter((pod) => rankOf(pod) === 0);
      for (const pod of first) if (hasStarted(pod)) await progress.started(pod);
      for (const pod of pods.filter((one) => isTaken(one) && !takenAway.has(one.metadata.name))) {
        takenAway.add(pod.metadata.name);
        await progress.say(`its pod ${pod.metadata.name} was taken away`);
      }
      if (ran && job.spec?.suspend) await progress.say(await this.whySuspended(job));
      ran = !job.spec?.suspend && first.some(hasStarted);
      const verdict = verdictOf(job, pods, attempt);
      if (verdict) return verdict;

      const problem = pods.map(startProblem).find(Boolean);
      stuckSince = problem ? (stuckSince ?? clock.now()) : undefined;
      if (problem && (problem.final || clock.now() - (stuckSince ?? 0) >= imagePatienceMs)) {
        return ended({ kind: 'failed', reason: problem.words, exitCode: null, retryable: false });
      }
      if (job.spec?.suspend || first.length === 0 || !first.every(hasStarted)) {
        await progress.waiting(await this.whyWaiting(job, pods));
      }
      await view.changedSince(version, LOOK_MS, signal);
    }
  }

  /** The Job as last heard of; undefined when it is gone, for which the API server's word is needed. */
  private async present(view: JobView, kind: ResourceKind, name: string, uid: string): Promise<Job | undefined> {
    const known = view.job(kind, name);
    if (known?.metadata.uid === uid) return known;
    try {
      const job = await this.options.api.get<Job>(kind, name);
      return job?.metadata.uid === uid ? job : undefined;
    } catch (error) {
      if (!isPassing(error)) throw error;
      return { metadata: { name, uid } };
    }
  }

  /** Undefined while the API server is away. */
  private async podsNow(kind: ResourceKind, jobName: string): Promise<Pod[] | undefined> {
    try {
      const { items } = await this.options.api.list<Pod>(PODS, { labelSelector: `${podLabelOf(kind)}=${jobName}` });
      return items.sort((a, b) => rankOf(a) - rankOf(b));
    } catch (error) {
      if (!isPassing(error)) throw error;
      return undefined;
    }
  }

  private async whySuspended(job: Job): Promise<string> {
    const workload = await workloadOf(this.options.api, job);
    const why = workload && whyStopped(workload);
    return why ? `Kueue took its room away: ${why}` : `its ${kindOf(job).kind} was suspended`;
  }

  private async whyWaiting(job: Job, pods: readonly Pod[]): Promise<string> {
    const queue = job.metadata.labels?.[QUEUE_LABEL];
    if (job.spec?.suspend && queue !== undefined) return queueWords(queue, await workloadOf(this.options.api, job));
    return waitingWords(job, pods, await this.eventsOf(job, pods));
  }

  private async eventsOf(job: Job, pods: readonly Pod[]): Promise<KubeEvent[]> {
    const uid = (pods.find((pod) => !hasStarted(pod)) ?? job).metadata.uid ?? '';
    try {
      return (await this.options.api.list<KubeEvent>(EVENTS, { fieldSelector: `involvedObject.uid=${uid}` })).items;
    } catch {
      // they only explain
      return [];
    }
  }

  private async conclude(
    attempt: Attempt,
    job: Job,
    verdict: Verdict,
    progress: Progress,
    signal: AbortSignal,
  ): Promise<AttemptEnd> {
    if (verdict.kind === 'collect') {
      await progress.drained(signal);
      const folder = join(jobFolder(this.options.workFolder, attempt.jobId), `attempt-${attempt.number}`, 'output');
      return { kind: 'succeeded', outputPath: await unpackBlob(this.options.blobs, verdict.outputs, folder, 'output') };
    }
    const { end, over, pod } = verdict;
    if (pod && rankOf(pod) > 0) await progress.tail(pod, rankOf(pod), signal);
    if (over) await progress.drained(signal);
    await this.removeOwn(attempt, job, signal);
    await progress.drained(signal);
    return end;
  }

  /** Removes the Job of an attempt that did not succeed, that it is gone being the record of its end; unless it is a later one's. */
  private async removeOwn(attempt: Attempt, job: Job, signal: AbortSignal): Promise<void> {
    const now = await this.options.api.get<Job>(kindOf(job), job.metadata.name).catch(() => undefined);
    if (!now || heldBy(now) <= attempt.number) await this.holder.remove(job, signal);
  }

  /** The attempt was aborted: its Job is left to the next worker, or ended with its script's grace. */
  private async leave(job: Job | undefined, progress: Progress, signal: AbortSignal): Promise<AttemptEnd> {
    const end = { kind: 'cancelled', reason: cancelReason(signal) } as const;
    if (signal.reason instanceof LetGo || !job) return end;
    await this.holder.remove(job);
    this.options.log.info('ended a job on the cluster', { job: job.metadata.name, reason: end.reason });
    // its pod is gone, so this is its last word
    await progress.drained().catch((error) => {
      this.options.log.warn('the last lines of a job were lost', { error: messageOf(error) });
    });
    return end;
  }
}

function ended(end: Unsuccessful): Verdict {
  return { kind: 'ended', end, over: false };
}

function hasStarted(pod: Pod): boolean {
  const state = stateOf(pod);
  return state?.running !== undefined || state?.terminated !== undefined;
}
