/** What an attempt is on the cluster: an Indexed Job or a TrainJob, and for a group a Service for each of its replicas. */

import { JOB_ACCOUNT, jobName, TOKEN_AUDIENCE } from '../../../core/cluster-names.js';
import type { Attempt } from '../../../core/training/runner.js';
import { type KubeObject, MANAGED_BY, MANAGER, type ResourceKind } from '../objects.js';
import {
  ATTEMPT_LABEL,
  CONTAINER,
  HELD_BY,
  INDEX_LABEL,
  JOB_LABEL,
  type Job,
  kindOf,
  podLabelOf,
  QUEUE_LABEL,
  TRAIN_JOBS,
} from './objects.js';
import { trainJobSpec } from './train-job.js';

export interface JobSettings {
  /** Image of jobs that name none. */
  readonly image: string;
  /** Where pods reach the gateways. */
  readonly podsUrl: string;
  readonly kueueQueue: string | undefined;
  /** `[KIND/]NAME` of the runtime of TrainJobs; undefined: attempts are Jobs. */
  readonly trainJobRuntime: string | undefined;
  readonly stopGraceSec: number;
  /** Text of the program that the pods run. */
  readonly wrapper: string;
  /** Seconds between looks at whether the checkpoint changed. Default 60. */
  readonly checkpointEverySec?: number;
}

/** After the script had its grace: for its checkpoint to be handed in. */
const HAND_IN_SEC = 15;
/** A Job that nobody collects is removed after a day. */
const TTL_SEC = 86_400;
/** Without root, and the owner of the folders that are mounted. */
const USER = 65_532;
const WORK = '/work';
const TOKENS = '/var/run/sluice';

/** The Job of an attempt, or its TrainJob. */
export function jobManifest(attempt: Attempt, settings: JobSettings, kind: ResourceKind): object {
  const labels = {
    [MANAGED_BY]: MANAGER,
    'sluice.dev/project': attempt.project,
    [JOB_LABEL]: attempt.jobId,
    [ATTEMPT_LABEL]: String(attempt.number),
  };
  const alone = attempt.replicas === 1;
  // Kueue starts it when its quota has room
  const suspend = settings.kueueQueue !== undefined;
  const metadata = {
    name: jobName(attempt.jobId, attempt.number),
    labels: { ...labels, ...(settings.kueueQueue ? { [QUEUE_LABEL]: settings.kueueQueue } : {}) },
    annotations: { [HELD_BY]: String(attempt.number) },
  };
  const [pod, script] = [podSpec(attempt, settings), containerSpec(attempt, settings)];
  const { trainJobRuntime: runtime } = settings;
  if (kind === TRAIN_JOBS && runtime !== undefined) {
    return {
      metadata,
      spec: { ...trainJobSpec({ ...pod, container: script }, { runtime, labels, ...attempt }), suspend },
    };
  }
  return {
    metadata,
    spec: {
      completionMode: 'Indexed',
      completions: attempt.replicas,
      parallelism: attempt.replicas,
      backoffLimit: 0,
      // one pod is replaced where it was; a group that lost one of its own cannot go on
      podFailurePolicy: {
        rules: [
          { action: alone ? 'Ignore' : 'FailJob', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] },
        ],
      },
      ttlSecondsAfterFinished: TTL_SEC,
      suspend,
      template: { metadata: { labels }, spec: { ...pod, containers: [script] } },
    },
  };
}

/** Services by which the replicas of a group know each other: by their pods' own host names, before they are ready. */
export function serviceManifests(attempt: Pick<Attempt, 'jobId' | 'project' | 'replicas'>, job: Job): KubeObject[] {
  if (attempt.replicas === 1) return [];
  const { name, uid = '' } = job.metadata;
  const kind = kindOf(job);
  return hostsOf(name, attempt.replicas).map((host, index) => ({
    metadata: {
      name: host,
      labels: {
        [MANAGED_BY]: MANAGER,
        'sluice.dev/project': attempt.project,
        [JOB_LABEL]: attempt.jobId,
      },
      // gone with the Job
      ownerReferences: [{ apiVersion: kind.apiVersion, kind: kind.kind, name, uid }],
    },
    spec: {
      clusterIP: 'None',
      publishNotReadyAddresses: true,
      selector: { [podLabelOf(kind)]: name, [INDEX_LABEL]: String(index) },
    },
  }));
}

/** The host names that an Indexed Job gives its pods; those of a TrainJob have them by their Services alone. */
function hostsOf(job: string, replicas: number): string[] {
  return Array.from({ length: replicas }, (_, index) => `${job}-${index}`);
}

function podSpec(attempt: Attempt, settings: JobSettings) {
  const { memoryMb } = attempt.resources;
  return {
    restartPolicy: 'Never',
    serviceAccountName: JOB_ACCOUNT,
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    terminationGracePeriodSeconds: settings.stopGraceSec + HAND_IN_SEC,
    securityContext: {
      runAsNonRoot: true,
      runAsUser: USER,
      runAsGroup: USER,
      fsGroup: USER,
      seccompProfile: { type: 'RuntimeDefault' },
    },
    volumes: [
      { name: 'work', emptyDir: {} },
      { name: 'tmp', emptyDir: {} },
      // loaders of training data share memory; what they take counts as the container's
      { name: 'shm', emptyDir: { medium: 'Memory', sizeLimit: `${memoryMb}Mi` } },
      {
        name: 'token',
        projected: {
          sources: [{ serviceAccountToken: { path: 'token', audience: TOKEN_AUDIENCE, expirationSeconds: 600 } }],
        },
      },
    ],
  };
}

function containerSpec(attempt: Attempt, settings: JobSettings) {
  const { cpus, memoryMb, gpus } = attempt.resources;
  const amounts = {
    cpu: `${Math.max(1, Math.round(cpus * 1000))}m`,
    memory: `${memoryMb}Mi`,
    ...(gpus > 0 ? { 'nvidia.com/gpu': String(gpus) } : {}),
  };
  return {
    name: CONTAINER,
    image: attempt.image ?? settings.image,
    command: ['python3', '-c', settings.wrapper],
    workingDir: WORK,
    env: [{ name: 'SLUICE_JOB', value: wrapperInput(attempt, settings) }],
    resources: { requests: amounts, limits: amounts },
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    },
    volumeMounts: [
      { name: 'work', mountPath: WORK },
      { name: 'tmp', mountPath: '/tmp' },
      { name: 'shm', mountPath: '/dev/shm' },
      { name: 'token', mountPath: TOKENS, readOnly: true },
    ],
  };
}

/** What the pod is; what it is to run it asks the gateway. */
function wrapperInput(attempt: Attempt, settings: JobSettings): string {
  return JSON.stringify({
    jobId: attempt.jobId,
    attempt: attempt.number,
    resources: attempt.resources,
    replicas: attempt.replicas,
    distributed: attempt.distributed,
    hosts: hostsOf(jobName(attempt.jobId, attempt.number), attempt.replicas),
    podsUrl: settings.podsUrl,
    stopGraceSec: settings.stopGraceSec,
    checkpointEverySec: settings.checkpointEverySec ?? 60,
    tokenFile: `${TOKENS}/token`,
    workFolder: WORK,
    terminationLog: '/dev/termination-log',
  });
}
