/** What Sluice's objects are called on a cluster, and whose a pod is by its name. Written and read nowhere else. */

/** Model servers and jobs; a pod shows its account in its token. Neither may do anything on the cluster. */
export const RUNTIME_ACCOUNT = 'sluice-runtime';
export const JOB_ACCOUNT = 'sluice-job';
/** For whom a pod's token is made out: nobody else takes it, and no other token is taken here. */
export const TOKEN_AUDIENCE = 'sluice';

/** Of an endpoint's name; with what follows, every name that Knative makes of it still fits. */
const NAME_LENGTH = 30;
const ID_LENGTH = 8;
/** Kubernetes cuts a pod's name to this before its random end. */
const POD_NAME_LENGTH = 63;

/** The Knative Service of an endpoint: readable by its name, told apart by the end of its id. */
export function serviceName(endpoint: string, endpointId: string): string {
  // the names of Services begin with a letter
  const name = /^[a-z]/.test(endpoint) ? endpoint : `e-${endpoint}`;
  return `${name.slice(0, NAME_LENGTH).replace(/-+$/, '')}-${endpointId.slice(-ID_LENGTH)}`;
}

/** The Knative Revision of a revision. */
export function revisionName(service: string, number: number): string {
  return `${service}-r${number}`;
}

/** The tag under which every kept revision can be reached, whatever its traffic. */
export function revisionTag(number: number): string {
  return `r${number}`;
}

export interface RevisionNamed {
  readonly service: string;
  /** What the id of its endpoint ends in. */
  readonly idEnd: string;
  readonly number: number;
}

const REVISION = new RegExp(`^([a-z][a-z0-9-]*-([0-9a-z]{${ID_LENGTH}}))-r([1-9][0-9]{0,8})$`);

/** Whose Knative Revision this is; undefined for one that Sluice did not make. */
export function readRevisionName(name: string): RevisionNamed | undefined {
  const [, service, idEnd, number] = REVISION.exec(name) ?? [];
  if (service === undefined || idEnd === undefined) return undefined;
  return { service, idEnd, number: Number(number) };
}

/** Whose pod this is: `<revision>-deployment-<hash>-<random>`, of which Kubernetes cuts what is too long. */
export function readRevisionPod(pod: string): RevisionNamed | undefined {
  const [, revision, rest = ''] = /^(.+-r[1-9][0-9]{0,8})-(d.*)$/.exec(pod) ?? [];
  if (revision === undefined) return undefined;
  // hash and end are made of letters that spell no words, so neither looks like the name of a revision
  const whole = /^deployment-[0-9a-z]{1,10}-[0-9a-z]{5}$/.test(rest);
  const cut = pod.length === POD_NAME_LENGTH && /^deployment-[0-9a-z]{1,10}-?[0-9a-z]{5}$/.test(rest);
  const inWord = pod.length === POD_NAME_LENGTH && 'deployment-'.startsWith(rest.slice(0, -5));
  return whole || cut || inWord ? readRevisionName(revision) : undefined;
}

/** The Kubernetes Job of an attempt. */
export function jobName(jobId: string, attempt: number): string {
  return `sluice-${jobId.toLowerCase().replaceAll('_', '-')}-${attempt}`;
}

export interface AttemptNamed {
  readonly jobId: string;
  readonly attempt: number;
}

/** Whose Kubernetes Job this is; undefined for one that Sluice did not make. */
export function readJobName(name: string): AttemptNamed | undefined {
  const [, kind, id, attempt] = /^sluice-([a-z]+)-([0-9a-z]+)-([1-9][0-9]{0,8})$/.exec(name) ?? [];
  return kind === undefined ? undefined : { jobId: `${kind}_${id}`, attempt: Number(attempt) };
}

/** Whose pod this is, and which of an attempt's: `<job>-<index>-<random>`; by way of a TrainJob `<job>-node-0-<index>-<random>`. */
export function readJobPod(pod: string): (AttemptNamed & { readonly index: number }) | undefined {
  const [, name = '', index] = /^(.+?)(?:-node-0)?-(0|[1-9][0-9]{0,5})-[0-9a-z]{5}$/.exec(pod) ?? [];
  const job = readJobName(name);
  return job && { ...job, index: Number(index) };
}
