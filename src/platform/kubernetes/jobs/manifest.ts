/** What an attempt is on the cluster: an Indexed Job, and for a group a Service for each of its replicas. */

import { JOB_ACCOUNT, jobName, TOKEN_AUDIENCE } from '../../../core/cluster-names.js';
import type { Attempt } from '../../../core/training/runner.js';
import { type KubeObject, MANAGED_BY, MANAGER } from '../objects.js';
import { ATTEMPT_LABEL, CONTAINER, HELD_BY, INDEX_LABEL, JOB_LABEL, JOB_NAME_LABEL, type Job } from './objects.js';

export interface JobSettings {
  /** Image of jobs that name none. */
  readonly image: string;
  /** Where pods reach the gateways. */
  readonly podsUrl: string;
  readonly kueueQueue: string | undefined;
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
/** The Job of an attempt. */
export function jobManifest(attempt: Attempt, settings: JobSettings): object {
  const name = jobName(attempt.jobId, attempt.number);
  const labels = {
    [MANAGED_BY]: MANAGER,
    'sluice.dev/project': attempt.project,
    [JOB_LABEL]: attempt.jobId,
    [ATTEMPT_LABEL]: String(attempt.number),
  };
  const alone = attempt.replicas === 1;
  return {
    metadata: {
      name,
      labels: { ...labels, ...(settings.kueueQueue ? { 'kueue.x-k8s.io/queue-name': settings.kueueQueue } : {}) },
      annotations: { [HELD_BY]: String(attempt.number) },
    },
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
      // Kueue starts it when its quota has room
      suspend: settings.kueueQueue !== undefined,
      template: { metadata: { labels }, spec: podSpec(attempt, settings) },
    },
  };
}

/** Services by which the replicas of a group know each other: by their pods' own host names, before they are ready. */
export function serviceManifests(attempt: Pick<Attempt, 'jobId' | 'project' | 'replicas'>, job: Job): KubeObject[] {
  if (attempt.replicas === 1) return [];
  const { name, uid = '' } = job.metadata;
  return hostsOf(name, attempt.replicas).map((host, index) => ({
    metadata: {
      name: host,
      labels: {
        [MANAGED_BY]: MANAGER,
        'sluice.dev/project': attempt.project,
        [JOB_LABEL]: attempt.jobId,
      },
      // gone with the Job
      ownerReferences: [{ apiVersion: 'batch/v1', kind: 'Job', name, uid }],
    },
    spec: {
      clusterIP: 'None',
      publishNotReadyAddresses: true,
      selector: { [JOB_NAME_LABEL]: name, [INDEX_LABEL]: String(index) },
    },
  }));
}

/** The host names that an Indexed Job gives its pods. */
function hostsOf(job: string, replicas: number): string[] {
  return Array.from({ length: replicas }, (_, index) => `${job}-${index}`);
}

function podSpec(attempt: Attempt, settings: JobSettings): object {
  const { cpus, memoryMb, gpus } = attempt.resources;
  const amounts = {
    cpu: `${Math.max(1, Math.round(cpus * 1000))}m`,
    memory: `${memoryMb}Mi`,
    ...(gpus > 0 ? { 'nvidia.com/gpu': String(gpus) } : {}),
  };
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
    containers: [
      {
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
      },
    ],
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
