/** Which pod asks, by the token that the cluster gave it, and what it is there for. */
import { AppError } from '../../errors.js';
import {
  type AttemptNamed,
  JOB_ACCOUNT,
  type RevisionNamed,
  RUNTIME_ACCOUNT,
  readJobPod,
  readRevisionPod,
} from '../cluster-names.js';

/** What the cluster vouches for. */
export interface PodToken {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly pod: string;
  readonly podUid: string;
}

/** Asks the cluster whose token it is. */
export interface PodIdentity {
  /** The only one whose pods are let in. */
  readonly namespace: string;
  /** Rejects with `unauthenticated` for a token that is not good here, `not_ready` while the cluster cannot be asked. */
  verify(token: string): Promise<PodToken>;
}

/** A pod as the gateway knows it. */
export type PodCaller =
  | ({ readonly kind: 'model' } & RevisionNamed)
  | ({ readonly kind: 'job'; readonly index: number } & AttemptNamed);

export type ModelPod = Extract<PodCaller, { kind: 'model' }>;
export type JobPod = Extract<PodCaller, { kind: 'job' }>;

/** Who a pod is: its account says of which kind, its name whose. `forbidden` for any pod that Sluice did not make. */
export function callerOf({ namespace, serviceAccount, pod }: PodToken, ownNamespace: string): PodCaller {
  if (namespace !== ownNamespace) {
    throw new AppError(
      'forbidden',
      `this pod is of namespace "${namespace}"; only those of "${ownNamespace}" may ask`,
      {
        details: { namespace, needed: ownNamespace },
      },
    );
  }
  if (serviceAccount === RUNTIME_ACCOUNT) {
    const named = readRevisionPod(pod);
    if (named) return { kind: 'model', ...named };
  } else if (serviceAccount === JOB_ACCOUNT) {
    const named = readJobPod(pod);
    if (named) return { kind: 'job', ...named };
  } else {
    throw new AppError(
      'forbidden',
      `this pod runs as service account "${serviceAccount}"; only ${RUNTIME_ACCOUNT} and ${JOB_ACCOUNT} may ask`,
      { details: { serviceAccount } },
    );
  }
  throw new AppError('forbidden', `pod "${pod}" of ${serviceAccount} is none that Sluice made, by its name`, {
    details: { pod, serviceAccount },
  });
}
