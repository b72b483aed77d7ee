import { describe, expect, it } from 'vitest';
import type { Attempt } from '../../../core/training/runner.js';
import { type JobSettings, jobManifest, serviceManifests } from './manifest.js';
import { JOBS, TRAIN_JOBS } from './objects.js';
import { runtimeRef } from './train-job.js';

const SETTINGS: JobSettings = {
  image: 'team/job:1',
  podsUrl: 'http://gateways',
  kueueQueue: undefined,
  trainJobRuntime: 'TrainingRuntime/sluice',
  stopGraceSec: 10,
  wrapper: 'print(1)',
};

const ATTEMPT: Attempt = {
  jobId: 'job_01abc',
  project: 'research',
  number: 2,
  code: 'sha256:0',
  entrypoint: 'train.py',
  args: [],
  requirements: [],
  params: { secret: 'in no manifest' },
  env: { TOKEN: 'in no manifest' },
  resources: { cpus: 1.5, memoryMb: 2048, gpus: 4 },
  timeLimitSec: 60,
  image: undefined,
  replicas: 3,
  distributed: { framework: 'torch', processesPerReplica: 4 },
};

describe('the TrainJob of an attempt', () => {
  it('names its runtime, its trainer and what its pods need on top', () => {
    const amounts = { cpu: '1500m', memory: '2048Mi', 'nvidia.com/gpu': '4' };
    const labels = {
      'app.kubernetes.io/managed-by': 'sluice',
      'sluice.dev/project': 'research',
      'sluice.dev/job': 'job_01abc',
      'sluice.dev/attempt': '2',
    };
    expect(jobManifest(ATTEMPT, SETTINGS, TRAIN_JOBS)).toEqual({
      metadata: { name: 'sluice-job-01abc-2', labels, annotations: { 'sluice.dev/held-by': '2' } },
      spec: {
        runtimeRef: { apiGroup: 'trainer.kubeflow.org', kind: 'TrainingRuntime', name: 'sluice' },
        suspend: false,
        trainer: {
          image: 'team/job:1',
          command: ['python3', '-c', 'print(1)'],
          env: [{ name: 'SLUICE_JOB', value: expect.stringContaining('"sluice-job-01abc-2-2"') }],
          numNodes: 3,
          numProcPerNode: 4,
          resourcesPerNode: { requests: amounts, limits: amounts },
        },
        runtimePatches: [
          {
            manager: 'sluice.dev/worker',
            trainingRuntimeSpec: {
              template: {
                spec: {
                  replicatedJobs: [
                    {
                      name: 'node',
                      template: {
                        spec: {
                          template: {
                            metadata: { labels },
                            spec: {
                              serviceAccountName: 'sluice-job',
                              securityContext: expect.objectContaining({ runAsNonRoot: true }),
                              volumes: expect.arrayContaining([expect.objectContaining({ name: 'token' })]),
                              containers: [
                                {
                                  name: 'node',
                                  securityContext: expect.objectContaining({ readOnlyRootFilesystem: true }),
                                  volumeMounts: expect.arrayContaining([
                                    { name: 'token', mountPath: '/var/run/sluice', readOnly: true },
                                  ]),
                                },
                              ],
                            },
                          },
                        },
                      },
                    },
                  ],
                },
              },
            },
          },
        ],
      },
    });
  });

  it('waits for Kueue where a queue is named', () => {
    expect(jobManifest(ATTEMPT, { ...SETTINGS, kueueQueue: 'gpus' }, TRAIN_JOBS)).toMatchObject({
      metadata: { labels: { 'kueue.x-k8s.io/queue-name': 'gpus' } },
      spec: { suspend: true },
    });
  });

  it.each([TRAIN_JOBS, JOBS])('says nothing of what the job was given, %#', (kind) => {
    expect(JSON.stringify(jobManifest(ATTEMPT, SETTINGS, kind))).not.toContain('in no manifest');
  });

  it('is a Job where the cluster knows no TrainJobs', () => {
    expect(jobManifest(ATTEMPT, SETTINGS, JOBS)).toMatchObject({ spec: { completions: 3, backoffLimit: 0 } });
  });

  it('has its replicas known by the labels of its JobSet', () => {
    const metadata = { name: 'sluice-job-01abc-2', uid: 'u' };
    const [first] = serviceManifests(ATTEMPT, { kind: 'TrainJob', metadata });
    expect(first).toMatchObject({
      metadata: { name: 'sluice-job-01abc-2-0', ownerReferences: [{ kind: 'TrainJob', uid: 'u' }] },
      spec: {
        selector: {
          'jobset.sigs.k8s.io/jobset-name': 'sluice-job-01abc-2',
          'batch.kubernetes.io/job-completion-index': '0',
        },
      },
    });
    expect(serviceManifests(ATTEMPT, { metadata })[0]).toMatchObject({
      metadata: { ownerReferences: [{ apiVersion: 'batch/v1', kind: 'Job' }] },
      spec: { selector: { 'batch.kubernetes.io/job-name': 'sluice-job-01abc-2' } },
    });
  });
});

describe('runtimeRef', () => {
  it.each([
    ['torch-distributed', 'ClusterTrainingRuntime', 'torch-distributed'],
    ['ClusterTrainingRuntime/a', 'ClusterTrainingRuntime', 'a'],
    ['TrainingRuntime/sluice', 'TrainingRuntime', 'sluice'],
  ])('%s', (text, kind, name) => {
    expect(runtimeRef(text)).toEqual({ apiGroup: 'trainer.kubeflow.org', kind, name });
  });
});
