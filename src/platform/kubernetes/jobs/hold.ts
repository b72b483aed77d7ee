/** Which Job an attempt has: the one that an earlier attempt left running, its own of an earlier try, or a new one. */
import type { Clock } from '../../../clock.js';
import { jobName } from '../../../core/cluster-names.js';
import type { Attempt, AttemptSink } from '../../../core/training/runner.js';
import { AppError, messageOf } from '../../../errors.js';
import type { KubernetesApi } from '../api.js';
import { PODS, type Pod, type ResourceKind } from '../objects.js';
import { type JobSettings, jobManifest, serviceManifests } from './manifest.js';
import {
  ATTEMPT_LABEL,
  HELD_BY,
  JOB_LABEL,
  JOBS,
  type Job,
  kindOf,
  podLabelOf,
  SERVICES,
  TRAIN_JOBS,
} from './objects.js';

const FIRST_BACKOFF_MS = 250;
const MAX_BACKOFF_MS = 10_000;

/** A Job or TrainJob, and whether another attempt made it. */
export interface Held {
  readonly job: Job;
  readonly adopted: boolean;
}

export class JobHolder {
  constructor(
    private readonly api: KubernetesApi,
    private readonly clock: Clock,
    private readonly settings: JobSettings,
  ) {}

  /**
   * The attempt's Job. A Job of the same job that has no recorded end goes on as this attempt's: its worker died. Waits for
   * what still ends, and for an API server that is away. Throws what the API server refuses.
   */
  async hold(attempt: Attempt, sink: AttemptSink, signal: AbortSignal): Promise<Held> {
    for (let tries = 0; ; tries++) {
      signal.throwIfAborted();
      try {
        const held = await this.try(attempt);
        if (held) {
          await this.connect(attempt, held.job);
          return held;
        }
        await sink.phase('waiting', 'an earlier attempt still stops');
      } catch (error) {
        if (!isPassing(error)) throw error;
        await sink.phase('waiting', messageOf(error));
      }
      await this.clock.sleep(Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** tries), signal).catch(() => {});
    }
  }

  /** All Jobs and TrainJobs of a job, or all that are ours. */
  async jobsOf(labelSelector: string): Promise<Job[]> {
    const [jobs, trainJobs = []] = await Promise.all([this.list(JOBS, labelSelector), this.trainJobs(labelSelector)]);
    return [...jobs, ...trainJobs];
  }

  /** Undefined where attempts are Jobs: without a runtime, or on a cluster that knows no TrainJobs. */
  private async trainJobs(labelSelector: string): Promise<Job[] | undefined> {
    if (this.settings.trainJobRuntime === undefined) return undefined;
    try {
      return await this.list(TRAIN_JOBS, labelSelector);
    } catch (error) {
      if (error instanceof AppError && error.code === 'not_found') return undefined;
      throw error;
    }
  }

  private async list({ kind, ...rest }: ResourceKind, labelSelector: string): Promise<Job[]> {
    const { items } = await this.api.list<Job>({ kind, ...rest }, { labelSelector });
    return items.map((item) => ({ ...item, kind }));
  }

  /** Removes a Job and waits for its pods; they are told to stop and have their grace. */
  async remove(job: Job, signal?: AbortSignal): Promise<void> {
    const kind = kindOf(job);
    const { name, uid = '' } = job.metadata;
    const pods = `${podLabelOf(kind)}=${name}`;
    for (let tries = 0; !signal?.aborted; tries++) {
      try {
        const there = await this.api.get<Job>(kind, name);
        if (there && there.metadata.uid !== uid) return;
        if (!there && (kind === JOBS || !(await this.hasPods(pods)))) return;
        if (there && !there.metadata.deletionTimestamp) await this.end(job);
      } catch (error) {
        if (!isPassing(error)) throw error;
      }
      await this.clock.sleep(Math.min(2000, FIRST_BACKOFF_MS * 2 ** tries), signal).catch(() => {});
    }
  }

  /**
   * Begins the end of a Job or TrainJob. While a TrainJob waited for the end of its JobSet, as in the foreground, the Trainer
   * would make it a new one.
   */
  async end(job: Job): Promise<void> {
    const kind = kindOf(job);
    const { name, uid } = job.metadata;
    const propagation = kind === TRAIN_JOBS ? 'Background' : 'Foreground';
    await this.api.delete(kind, name, { ...(uid === undefined ? {} : { uid }), propagation });
  }

  private async hasPods(labelSelector: string): Promise<boolean> {
    return (await this.api.list<Pod>(PODS, { labelSelector })).items.length > 0;
  }

  /** Services of a group; those that are there stay. */
  private async connect(attempt: Attempt, job: Job): Promise<void> {
    await Promise.all(
      serviceManifests(attempt, job).map((service) =>
        this.api.create(SERVICES, service).catch((error) => {
          if (!(error instanceof AppError && error.code === 'conflict')) throw error;
        }),
      ),
    );
  }

  private async try(attempt: Attempt): Promise<Held | undefined> {
    const selector = ofJob(attempt.jobId);
    const [jobs, trainJobs] = await Promise.all([this.list(JOBS, selector), this.trainJobs(selector)]);
    const all = [...jobs, ...(trainJobs ?? [])];
    const living = all.filter(({ metadata }) => !metadata.deletionTimestamp).sort((a, b) => numberOf(b) - numberOf(a));
    const [latest, ...older] = living;
    // two of one job must not train side by side
    for (const job of older) await this.end(job);
    if (latest) {
      if (heldBy(latest) > attempt.number) throw new AppError('conflict', 'a later attempt has taken its Job over');
      const change = { metadata: { annotations: { [HELD_BY]: String(attempt.number) } } };
      const job = await this.api.patch<Job>(kindOf(latest), latest.metadata.name, change);
      return { job, adopted: job.metadata.name !== jobName(attempt.jobId, attempt.number) };
    }
    // a TrainJob is gone before its pods
    if (all.length > 0 || (trainJobs && (await this.hasPods(selector)))) return undefined;
    try {
      const kind = trainJobs === undefined ? JOBS : TRAIN_JOBS;
      const manifest = jobManifest(attempt, this.settings, kind);
      return { job: await this.api.create<Job>(kind, manifest, { strict: true }), adopted: false };
    } catch (error) {
      // our own earlier try, whose answer was lost; it is found by the next look
      if (error instanceof AppError && error.code === 'conflict') return undefined;
      throw error;
    }
  }
}

/** Selects what a job has on the cluster. */
export function ofJob(jobId: string): string {
  return `${JOB_LABEL}=${jobId}`;
}

function numberOf(job: Job): number {
  return Number(job.metadata.labels?.[ATTEMPT_LABEL] ?? 0);
}

/** The number of the attempt that has a Job now. */
export function heldBy(job: Job): number {
  return Number(job.metadata.annotations?.[HELD_BY] ?? numberOf(job));
}

/** Whether the API server is only away, or busy. */
export function isPassing(error: unknown): boolean {
  return error instanceof AppError && /^(upstream_failed|overloaded|timeout|unauthenticated)$/.test(error.code);
}
