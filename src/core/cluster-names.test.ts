import { describe, expect, it } from 'vitest';
import {
  jobName,
  readJobName,
  readJobPod,
  readRevisionName,
  readRevisionPod,
  revisionName,
  serviceName,
} from './cluster-names.js';

const id = 'ep_01hzy3k2m4n5p6q7r8s9';

/** As Kubernetes makes the name of a pod of a ReplicaSet. */
const podOf = (revision: string) => `${`${revision}-deployment-7d9c5b8f6d-`.slice(0, 58)}x2k9p`;

describe('names of endpoints on a cluster', () => {
  it.each([
    ['digits', 'digits-q7r8s9'.replace('q7r8s9', id.slice(-8))],
    ['0digits', `e-0digits-${id.slice(-8)}`],
    [`${'a'.repeat(29)}-b`, `${'a'.repeat(29)}-${id.slice(-8)}`],
    ['x'.repeat(63), `${'x'.repeat(30)}-${id.slice(-8)}`],
  ])('%s is %s', (name, service) => {
    expect(serviceName(name, id)).toBe(service);
    expect(revisionName(service, 7).length).toBeLessThan(52);
  });

  it.each([
    ['digits', 1],
    ['x'.repeat(63), 1],
    ['x'.repeat(63), 12_345],
    ['x'.repeat(63), 999_999_999],
    ['a-r1-deployment-b', 3],
    ['9', 10],
    // a name that imitates another endpoint's pod is read as what it is
    ['victim-q7r8s9t0-r1-deployment', 2],
  ])('the pod of %s revision %i is told by its name', (name, number) => {
    const service = serviceName(name, id);
    const named = { service, idEnd: id.slice(-8), number };
    expect(readRevisionName(revisionName(service, number))).toEqual(named);
    expect(readRevisionPod(podOf(revisionName(service, number)))).toEqual(named);
  });

  it.each([
    '',
    'digits',
    'digits-r1',
    'digits-r1-deployment-7d9c5b8f6d-x2k9p',
    `digits-${id.slice(-8)}-r0-deployment-7d9c5b8f6d-x2k9p`,
    `digits-${id.slice(-8)}-r01-deployment-7d9c5b8f6d-x2k9p`,
    `digits-${id.slice(-8)}-r1-deployment-7d9c5b8f6d`,
    `digits-${id.slice(-8)}-r1-debug-7d9c5b8f6d-x2k9p`,
    `digits-${id.slice(-8)}-r1-d`,
    `Digits-${id.slice(-8)}-r1-deployment-7d9c5b8f6d-x2k9p`,
    `../${id.slice(-8)}-r1-deployment-7d9c5b8f6d-x2k9p`,
    jobName('job_01hzy3k2m4n5p6q7r8s9', 1),
  ])('"%s" is no pod of a revision', (name) => {
    expect(readRevisionPod(name)).toBeUndefined();
  });
});

describe('names of jobs on a cluster', () => {
  it('are read back', () => {
    const name = jobName('job_01hzy3k2m4n5p6q7r8s9', 12);
    expect(name).toBe('sluice-job-01hzy3k2m4n5p6q7r8s9-12');
    expect(readJobName(name)).toEqual({ jobId: 'job_01hzy3k2m4n5p6q7r8s9', attempt: 12 });
    expect(readJobPod(`${name}-3-x2k9p`)).toEqual({ jobId: 'job_01hzy3k2m4n5p6q7r8s9', attempt: 12, index: 3 });
    // of a TrainJob
    expect(readJobPod(`${name}-node-0-3-x2k9p`)).toEqual({ jobId: 'job_01hzy3k2m4n5p6q7r8s9', attempt: 12, index: 3 });
  });

  it.each([
    'sluice-job-1',
    'sluice-job-01hzy-0',
    'other-job-01hzy-1',
    'sluice-job-01hzy-1',
    'sluice-job-01hzy-1-0',
    'sluice-job-01hzy-1-00-x2k9p',
    'sluice-job-01-hzy-1-0-x2k9p',
    'sluice-job-01hzy-1-0-x2k9p-more',
  ])('"%s" is no pod of a job', (name) => {
    expect(readJobPod(name)).toBeUndefined();
  });
});
